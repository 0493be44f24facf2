"""Whom an identity provider vouches for, and what that person may do here.

Not how the provider is asked (adapters/openid.py).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from poleward_fleet.domain.accounts import Role


@dataclass(frozen=True, slots=True)
class ProvedIdentity:
    """Somebody who has signed in at the provider.

    Args:
        issuer: The provider.
        subject: Who it is there, for ever.
        name: How the account is to be called here.
        values: Values of the claim that roles depend on, e.g. names of groups.
    """

    issuer: str
    subject: str
    name: str
    values: frozenset[str]

    @property
    def external_id(self) -> str:
        """Name the person across providers (OpenID Connect Core 1.0, 5.7: both claims together)."""
        return f"{self.issuer} {self.subject}"


@dataclass(frozen=True, slots=True)
class Grant:
    """What whoever has a value of the claim may do here."""

    value: str
    roles: frozenset[Role]
    area_code: str = ""


def grant_of(values: Collection[str], grants: Sequence[Grant]) -> Grant | None:
    """Return the first grant whose value is there; None gives no role at all."""
    return next((grant for grant in grants if grant.value in values), None)
