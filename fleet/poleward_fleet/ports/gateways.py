"""What the services need to keep gateways.

Not an implementation (adapters).
"""

from collections.abc import Collection
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.gateway_link import Hello, StoredBatches


class GatewayStore(Protocol):
    """Enrolment and presence of gateways."""

    async def put_enrollment_token(
        self,
        token_hash: bytes,
        *,
        gateway_name: str,
        area_code: str,
        expires_at_ms: int,
        audit: AuditEntry,
    ) -> None:
        """Keep the hash of a one-time token.

        Raises:
            NotFoundError: No such area.
        """

    async def redeem(self, token_hash: bytes, now_ms: int) -> str:
        """Use up a token and make the gateway known; return its name.

        Raises:
            UnauthenticatedError: Unknown, used or expired.
        """

    async def record_certificate(
        self, gateway_name: str, *, serial: str, expires_at_ms: int, audit: AuditEntry
    ) -> None:
        """Keep which certificate a gateway holds."""

    async def hello(self, gateway_name: str, hello: Hello, now_ms: int) -> StoredBatches:
        """Note that a gateway connected; return where its spool goes on.

        Raises:
            UnauthenticatedError: No such gateway.
        """

    async def heard(self, gateway_names: Collection[str], now_ms: int) -> None:
        """Note that gateways were heard; one statement for all."""

    async def release_keys(self) -> tuple[bytes, ...]:
        """Return the trusted release keys."""
