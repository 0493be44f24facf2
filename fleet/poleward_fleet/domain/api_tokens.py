"""API tokens: what may be known of one, and what one can be for.

Not the tokens themselves (services/accounts.py) nor who may make one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from poleward_fleet.domain.accounts import Permission
from poleward_fleet.domain.errors import InvalidError

TOKEN_DAYS = 90
MAX_TOKEN_DAYS = 366
MAX_CALLS_PER_S = 100_000
DAY_MS = 24 * 3600_000
_LABEL_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What may be known of an API token: everything but the token.

    Args:
        number: For people to name it.
        account_name: In whose name it acts.
        label: What it is for, in words.
        scopes: What it may do, of what the account may.
        calls_per_s: How many calls it may make; 0 for any number.
        created_at_ms: When it was made.
        created_by: Who made it.
        expires_at_ms: When it becomes worthless.
        used_at_ms: When it was last used, to the minute; 0 for never.
    """

    number: int
    account_name: str
    label: str
    scopes: frozenset[Permission]
    calls_per_s: int
    created_at_ms: int
    created_by: str
    expires_at_ms: int
    used_at_ms: int = 0


def token_scopes(
    names: Iterable[str], *, givable: frozenset[Permission], carried: frozenset[Permission]
) -> frozenset[Permission]:
    """Return what a token is for.

    Args:
        names: Values of Permission; none for everything that can be given.
        givable: What can be given.
        carried: What the account may do.

    Raises:
        InvalidError: A name is none, nothing is left, or the account may not do it anyway.
    """
    known = {permission.value: permission for permission in Permission}
    wanted = set(names)
    if not wanted <= set(known):
        raise InvalidError.of("token_scopes", permissions=", ".join(known))
    scopes = frozenset(known[name] for name in wanted) if wanted else givable
    if not scopes:
        raise InvalidError.of("token_for_nothing")
    if beyond := scopes - carried:
        raise InvalidError.of("beyond_account", permissions=words(beyond))
    return scopes


def token_label(label: str) -> str:
    """Return a token's label.

    Raises:
        InvalidError: It is too long or cannot be printed.
    """
    if len(label) > _LABEL_CHARACTERS or not label.isprintable():
        raise InvalidError.of("token_label", most=_LABEL_CHARACTERS)
    return label


def token_valid_ms(days: int) -> int:
    """Return how long a token is valid; 0 days take the default.

    Raises:
        InvalidError: It is too long.
    """
    if not 0 <= days <= MAX_TOKEN_DAYS:
        raise InvalidError.of("token_days", most=MAX_TOKEN_DAYS)
    return (days or TOKEN_DAYS) * DAY_MS


def token_rate(calls_per_s: int) -> int:
    """Return how many calls a second a token may make; 0 for any number.

    Raises:
        InvalidError: It is too many.
    """
    if not 0 <= calls_per_s <= MAX_CALLS_PER_S:
        raise InvalidError.of("token_rate", most=MAX_CALLS_PER_S)
    return calls_per_s


def words(permissions: Iterable[Permission]) -> str:
    """Name permissions for people."""
    return ", ".join(sorted(permission.value for permission in permissions))
