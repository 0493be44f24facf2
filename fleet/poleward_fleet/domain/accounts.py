"""Who may do what where: roles, permissions, principals.

Not passwords, sessions and tokens; services/accounts.py keeps those.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from poleward_fleet.domain.errors import ForbiddenError, InvalidError

PASSWORD_CHARACTERS = 12


class Role(Enum):
    """What a person or program is trusted with."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    TECHNICIAN = "technician"
    RELEASE_MANAGER = "release_manager"
    SECURITY_OFFICER = "security_officer"
    ADMINISTRATOR = "administrator"
    INTEGRATOR = "integrator"  # a program: API tokens only, nobody signs in with it


class Permission(Enum):
    """One kind of thing that can be done."""

    SEE = "see"  # poles, readings, events, gateways, releases, rollouts
    COMMAND = "command"  # dim a lamp
    COMMISSION = "commission"  # put a node into a pole, move it, report it lost
    GUARD_NODES = "guard_nodes"  # quarantine, release, other keys, decommission
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
        {
            Permission.SEE,
            Permission.TRUST_KEYS,
            Permission.GUARD_NODES,
            Permission.AUDIT,
            Permission.APPROVE,
        }
    ),
    Role.ADMINISTRATOR: frozenset(Permission),
    Role.INTEGRATOR: frozenset({Permission.SEE}),
}


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """Return everything that any of the roles carries."""
    return frozenset().union(*(PERMISSIONS[role] for role in roles))


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: an account in a session or behind an API token.

    Args:
        name: Account name; it stands in the audit record.
        roles: What it is trusted with.
        area_code: Root of the subtree it may act in; empty for everywhere.
        scopes: What an API token is for; None in a session, which has all that the roles carry.
    """

    name: str
    roles: frozenset[Role]
    area_code: str = ""
    scopes: frozenset[Permission] | None = None

    def may(self, permission: Permission) -> bool:
        """Tell whether a role carries the permission and the token, if any, is for it."""
        return permission in self.permissions

    @property
    def permissions(self) -> frozenset[Permission]:
        """Everything that is allowed (deny by default)."""
        carried = permissions_of(self.roles)
        return carried if self.scopes is None else carried & self.scopes

    def require(self, permission: Permission) -> None:
        """Insist on a permission.

        Raises:
            ForbiddenError: No role carries it; ask an administrator for one that does.
        """
        if permission not in permissions_of(self.roles):
            wanted = sorted(role.value for role, has in PERMISSIONS.items() if permission in has)
            raise ForbiddenError.of(
                "may_not",
                person=self.name,
                permission=permission.value.replace("_", " "),
                roles=", ".join(wanted),
            )
        if not self.may(permission):
            raise ForbiddenError.of("token_not_for", person=self.name, permission=permission.value)


class SignIn(Enum):
    """How somebody proves in a browser who they are."""

    PASSWORD = "password"  # noqa: S105 — a word, not a secret
    SINGLE_SIGN_ON = "single_sign_on"
    NEVER = "never"  # a program


@dataclass(frozen=True, slots=True)
class Account:
    """Who may sign in, without secrets.

    Args:
        name: Unique.
        roles: What it is trusted with.
        area_code: Root of the subtree it may act in; empty for everywhere.
        api_token_count: API tokens that are valid.
        signs_in: Which of the ways to sign in is theirs.
    """

    name: str
    roles: frozenset[Role]
    area_code: str
    api_token_count: int
    signs_in: SignIn


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """What may be known of a login in a browser: everything but its token."""

    number: int
    account_name: str
    started_at_ms: int
    seen_at_ms: int  # to the minute
    expires_at_ms: int
    remote: str
    agent: str


def check_account_name(name: str) -> None:
    """Insist on a name that can be typed and told apart.

    Raises:
        InvalidError: Choose another.
    """
    if not (0 < len(name) <= 64 and name.isprintable() and not any(c.isspace() for c in name)):
        raise InvalidError.of("account_name")


def check_password(password: str) -> None:
    """Insist on a password that is long enough.

    Raises:
        InvalidError: Choose a longer one.
    """
    if len(password) < PASSWORD_CHARACTERS:
        raise InvalidError.of("password_length", least=PASSWORD_CHARACTERS)


@dataclass(frozen=True, slots=True)
class Session:
    """A login in a browser. The token is a secret: it belongs into a cookie and nowhere else."""

    token: str
    principal: Principal
    expires_at_ms: int

    def __repr__(self) -> str:
        return f"Session(principal={self.principal.name!r})"
