"""What the services need to keep nodes and their identities.

Not an implementation (adapters).
"""

from collections.abc import Sequence
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.gateway_link import NodeState
from poleward_fleet.domain.identity import DesiredState, ManufacturedNode, NodeIdentity


class NodeStore(Protocol):
    """Identities of nodes and what gateways should make of them."""

    async def import_nodes(self, nodes: Sequence[ManufacturedNode], audit: AuditEntry) -> list[int]:
        """Register nodes, all or none; return their numbers in order. The same row again is fine.

        Raises:
            ConflictError: A MAC is known with another secret or claim code.
        """

    async def identity(self, mac: str) -> NodeIdentity | None:
        """Return a node by MAC."""

    async def commission(
        self,
        node_number: int,
        *,
        pole_code: str,
        gateway_name: str,
        operational_secret: bytes,
        operational_salt: bytes,
        report_interval_s: int,
        audit: AuditEntry,
    ) -> None:
        """Put a node into a pole behind a gateway.

        A node that stood in the pole is swapped out; a gateway that had the node loses it.

        Raises:
            NotFoundError: No such pole or gateway.
        """

    async def desired_state(self, gateway_name: str, after_revision: int) -> DesiredState:
        """Return what changed after a revision; everything for 0 or a revision never given out."""

    async def apply_states(self, gateway_name: str, states: Sequence[NodeState]) -> set[int]:
        """Store reported states and rollout progress; return the rollouts that moved.

        Raises:
            ForbiddenError: A node was never assigned to this gateway; nothing is stored.
        """
