"""What the services need to keep the lives of nodes.

Not an implementation (adapters).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.identity import FreshKeys, NodeIdentity
from poleward_fleet.domain.inventory import LifeState
from poleward_fleet.domain.life_cycle import Transition


@dataclass(frozen=True, slots=True)
class Claim:
    """A node that goes into a pole behind a gateway.

    Args:
        node_number: The node.
        before: Its state until now.
        after: Its state from now on.
        pole_code: Where it stands from now on.
        gateway_name: Serves it.
        keys: Its operational keys.
        report_interval_s: Between two reports.
        swapped: The node that stood in the pole and what happens to that.
        audit: The record of it.
    """

    node_number: int
    before: LifeState
    after: LifeState
    pole_code: str
    gateway_name: str
    keys: FreshKeys
    report_interval_s: int
    swapped: tuple[int, Transition] | None
    audit: AuditEntry


class LifeStore(Protocol):
    """States of nodes, where they stand, and which gateway owes them what."""

    async def identity(self, name: str) -> NodeIdentity | None:
        """Return a node by MAC, endpoint name or number."""

    async def claim(self, claim: Claim) -> None:
        """Put a node into a pole behind a gateway, all of it or nothing.

        Raises:
            NotFoundError: No such gateway, or it was revoked.
            ConflictError: Somebody else changed the node or the pole at the same moment.
        """

    async def change(
        self,
        node_number: int,
        transition: Transition,
        *,
        reason: str,
        gateway_name: str = "",
        keys: FreshKeys | None = None,
        audit: AuditEntry,
    ) -> frozenset[str]:
        """Carry out a step, all of it or nothing; return the gateways whose desired state changed.

        Args:
            node_number: The node.
            transition: What happens.
            reason: For people.
            gateway_name: That serves it from now on; empty for the same.
            keys: With a transition to fresh keys.
            audit: The record of it.

        Raises:
            NotFoundError: No such gateway, or it was revoked.
            ConflictError: Somebody else changed the node at the same moment.
        """

    async def gateway_for(
        self, area_codes: Sequence[str], connected: Collection[str]
    ) -> str | None:
        """Return a gateway in the first of these areas that has one.

        Connected ones come first, among them the one with the fewest nodes.
        """

    async def count_steps(self, actor: str, action: str, since_ms: int) -> int:
        """Count how often somebody did something since a moment, from the audit record."""
