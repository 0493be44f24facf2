"""What the services need to keep gateways.

Not an implementation (adapters).
"""

from collections.abc import Collection
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.gateway_link import (
    GatewayCertificate,
    GatewaySoftware,
    Hello,
    StoredBatches,
)
from poleward_fleet.domain.inventory import LifeState
from poleward_fleet.ports.nodes import AppliedStates


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
        self,
        gateway_name: str,
        *,
        serial: str,
        expires_at_ms: int,
        renews: bool,
        audit: AuditEntry,
    ) -> None:
        """Keep which certificate a gateway holds; when it renews, the one before counts too.

        Raises:
            UnauthenticatedError: No such gateway, or it was revoked.
        """

    async def require_current(self, certificate: GatewayCertificate) -> None:
        """Insist on a certificate that was neither revoked nor replaced.

        Raises:
            UnauthenticatedError: It was; the gateway has to enrol again.
        """

    async def area_of(self, gateway_name: str) -> str | None:
        """Return the area that a gateway serves; None when there is none or it was revoked."""

    async def revoke(self, gateway_name: str, now_ms: int, audit: AuditEntry) -> None:
        """Make every certificate of a gateway worthless; doing it twice changes nothing."""

    async def nodes_of(self, gateway_name: str) -> list[tuple[int, LifeState]]:
        """Return the nodes that are assigned to a gateway, by number."""

    async def reassign_quarantined(self, gateway_name: str, successor: str) -> None:
        """Have another gateway serve nodes once they are released from quarantine."""

    async def hello(self, gateway_name: str, hello: Hello, now_ms: int) -> StoredBatches:
        """Note that a gateway connected; return where its spool goes on.

        Raises:
            UnauthenticatedError: No such gateway.
        """

    async def software(
        self, gateway_name: str, software: GatewaySoftware, now_ms: int
    ) -> tuple[int, AppliedStates]:
        """Store what a gateway runs and its rollout progress.

        Returns:
            Its number, and what else that changed.
        """

    async def heard(self, gateway_names: Collection[str], now_ms: int) -> None:
        """Note that gateways were heard; one statement for all."""
