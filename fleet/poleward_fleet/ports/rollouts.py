"""What the services need to keep rollouts.

Not an implementation (adapters).
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import Action, Rollout, RolloutFacts, RolloutNode
from poleward_fleet.ports.areas import AllowedAreas


class RolloutStore(Protocol):
    """Rollouts and the nodes in them."""

    async def create(
        self,
        release: Release,
        *,
        allowed: AllowedAreas,
        area_code: str,
        concurrency: int,
        max_failures: int,
        now_ms: int,
        audit: AuditEntry,
    ) -> int:
        """Create a rollout to the nodes that fit the release; return its number.

        Raises:
            InvalidError: No node fits.
            ConflictError: A node is in another rollout that is not over.
        """

    async def rollouts(self) -> list[Rollout]:
        """Return the rollouts, newest first."""

    async def rollout(self, number: int) -> Rollout | None:
        """Return one rollout."""

    async def nodes(self, number: int) -> tuple[RolloutNode, ...]:
        """Return the nodes of a rollout by number."""

    async def unfinished(self) -> list[int]:
        """Return the rollouts that may need action: not over, or with nodes under way."""

    async def lease(self, number: int, owner: str, *, now_ms: int, until_ms: int) -> bool:
        """Become or stay the owner of a rollout until a time; False when another one is."""

    async def facts(self, number: int) -> RolloutFacts:
        """Return what next_actions needs."""

    async def carry_out(self, number: int, actions: Sequence[Action], now_ms: int) -> list[str]:
        """Store decisions in one transaction; return the gateways that have to be told."""

    async def set_state(
        self, number: int, *, expected: Collection[str], state: str, audit: AuditEntry
    ) -> bool:
        """Move a rollout from one of the expected states; False when it is in another."""
