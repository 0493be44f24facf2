"""Who may do what where: roles, permissions, principals.

Not passwords, sessions and tokens; services/accounts.py keeps those.
"""

from dataclasses import dataclass
from enum import Enum

from poleward_fleet.domain.errors import ForbiddenError, InvalidError


class Role(Enum):
    """What a person or program is trusted with."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    TECHNICIAN = "technician"
    RELEASE_MANAGER = "release_manager"
    SECURITY_OFFICER = "security_officer"
    ADMINISTRATOR = "administrator"


class Permission(Enum):
    """One kind of thing that can be done."""

    SEE = "see"  # poles, readings, events, gateways, releases, rollouts
    COMMAND = "command"  # dim a lamp
    COMMISSION = "commission"  # put a node into a pole
    EDIT_INVENTORY = "edit_inventory"  # areas, poles, factory imports
    PUBLISH = "publish"  # upload and list releases
    ROLL_OUT = "roll_out"  # create, pause, resume, abort
    TRUST_KEYS = "trust_keys"
    ENROLL_GATEWAYS = "enroll_gateways"
    AUDIT = "audit"  # read the audit record
    MANAGE_ACCOUNTS = "manage_accounts"
    APPROVE = "approve"  # agree, as the second person, to what one may do oneself


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.SEE}),
    Role.OPERATOR: frozenset({Permission.SEE, Permission.COMMAND}),
    Role.TECHNICIAN: frozenset({Permission.SEE, Permission.COMMAND, Permission.COMMISSION}),
    Role.RELEASE_MANAGER: frozenset(
        {Permission.SEE, Permission.PUBLISH, Permission.ROLL_OUT, Permission.APPROVE}
    ),
    Role.SECURITY_OFFICER: frozenset(
        {Permission.SEE, Permission.TRUST_KEYS, Permission.AUDIT, Permission.APPROVE}
    ),
    Role.ADMINISTRATOR: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: an account in a session or behind an API token.

    Args:
        name: Account name; it stands in the audit record.
        roles: What it is trusted with.
        area_code: Root of the subtree it may act in; empty for everywhere.
    """

    name: str
    roles: frozenset[Role]
    area_code: str = ""

    def may(self, permission: Permission) -> bool:
        """Tell whether any of the roles carries the permission (deny by default)."""
        return any(permission in PERMISSIONS[role] for role in self.roles)

    def require(self, permission: Permission) -> None:
        """Insist on a permission.

        Raises:
            ForbiddenError: No role carries it; ask an administrator for one that does.
        """
        if not self.may(permission):
            wanted = sorted(role.value for role, has in PERMISSIONS.items() if permission in has)
            raise ForbiddenError(
                f"{self.name} may not {permission.value.replace('_', ' ')}; "
                f"this needs one of: {', '.join(wanted)}"
            )


@dataclass(frozen=True, slots=True)
class Account:
    """Who may sign in, without secrets.

    Args:
        name: Unique.
        roles: What it is trusted with.
        area_code: Root of the subtree it may act in; empty for everywhere.
        api_token_count: API tokens that are valid.
    """

    name: str
    roles: frozenset[Role]
    area_code: str
    api_token_count: int


def check_account_name(name: str) -> None:
    """Insist on a name that can be typed and told apart.

    Raises:
        InvalidError: Choose another.
    """
    if not (0 < len(name) <= 64 and name.isprintable() and not any(c.isspace() for c in name)):
        raise InvalidError("an account name has 1 to 64 printable characters without spaces")


@dataclass(frozen=True, slots=True)
class Session:
    """A login in a browser. The token is a secret: it belongs into a cookie and nowhere else."""

    token: str
    principal: Principal
    expires_at_ms: int

    def __repr__(self) -> str:
        return f"Session(principal={self.principal.name!r})"
