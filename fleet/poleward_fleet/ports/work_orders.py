"""What the services need to keep work orders.

Not an implementation (adapters).
"""

from collections.abc import Sequence
from typing import Protocol

from poleward_commissioning.work_order import WorkOrder
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.work_orders import SignedOrder, StockNode, StoredOrder


class WorkOrderStore(Protocol):
    """Work orders of gateways; the newest of each counts."""

    async def stock(self, macs: Sequence[str]) -> list[StockNode]:
        """Return the nodes with these MACs, as far as there are any."""

    async def put(
        self, order: WorkOrder, signed: SignedOrder, *, made_at_ms: int, audit: AuditEntry
    ) -> None:
        """Keep an order; its gateway may speak of its nodes from now on.

        Raises:
            ConflictError: Somebody else made an order for this gateway at the same moment.
        """

    async def order(self, gateway_name: str, revision: int) -> StoredOrder | None:
        """Return an order of a gateway."""

    async def newest(self) -> list[StoredOrder]:
        """Return the newest order of each gateway, by gateway."""

    async def newest_of(self, gateway_name: str) -> StoredOrder | None:
        """Return the newest order of a gateway."""

    async def signed_after(self, gateway_name: str, revision: int) -> SignedOrder | None:
        """Return the newest order of a gateway, if it is newer than a revision."""

    async def site_urls(self) -> dict[str, str]:
        """Return where technicians' devices find gateways, by name; without those that nowhere."""
