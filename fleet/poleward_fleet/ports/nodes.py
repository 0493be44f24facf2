"""What the services need to keep nodes and their identities.

Not an implementation (adapters).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.gateway_link import NodeState
from poleward_fleet.domain.identity import DesiredState, ManufacturedNode, StationPermit


@dataclass(frozen=True, slots=True)
class AppliedStates:
    """What reported states changed besides themselves."""

    rollouts: frozenset[int]
    gateways: frozenset[str]  # whose desired state changed


class NodeStore(Protocol):
    """Identities of nodes and what gateways should make of them."""

    async def import_nodes(
        self,
        nodes: Sequence[ManufacturedNode],
        audit: AuditEntry,
        permit: StationPermit | None = None,
    ) -> list[int]:
        """Register nodes, all or none; return their numbers in order. The same row again is fine.

        New nodes count for the station of the permit in the same step.

        Raises:
            ConflictError: A MAC is known with another secret or claim code, or the new nodes are
                more than the permit allows the station in all.
        """

    async def desired_state(self, gateway_name: str, after_revision: int) -> DesiredState:
        """Return what changed after a revision; everything for 0 or a revision never given out."""

    async def wiped(self, gateway_name: str, node_numbers: Collection[int]) -> None:
        """Take nodes off a gateway that says it wiped them, where it was to."""

    async def apply_states(self, gateway_name: str, states: Sequence[NodeState]) -> AppliedStates:
        """Store reported states and rollout progress; tell what else that changed.

        A node that is online here needs no other gateway any more.

        Raises:
            ForbiddenError: A node was never assigned to this gateway; nothing is stored.
        """
