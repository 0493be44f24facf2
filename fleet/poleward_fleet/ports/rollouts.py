"""What the services need to keep rollouts and to carry them on.

Not an implementation (adapters).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import Action, NodeStage, RolloutFacts, RolloutState
from poleward_fleet.domain.rollout_policy import Policy, Target
from poleward_fleet.domain.rollout_views import (
    DryRun,
    NodeRollout,
    ReasonCount,
    Rollout,
    RolloutNode,
)
from poleward_fleet.domain.words import Words
from poleward_fleet.ports.areas import AllowedAreas


class RolloutStore(Protocol):
    """Rollouts and the nodes in them."""

    async def create(
        self,
        release: Release,
        target: Target,
        policy: Policy,
        *,
        areas: AllowedAreas,
        name: str,
        may_supersede: bool,
        now_ms: int,
        audit: AuditEntry,
    ) -> tuple[int, list[str]]:
        """Create a rollout; return its number and the gateways that have to be told.

        `areas` is the target's area with all below it, as far as they are allowed. With
        `may_supersede` nodes that wait in a rollout of an older release leave that one.

        Raises:
            InvalidError: No node fits.
            ConflictError: A node is in another rollout that is not over, or the name is taken.
        """

    async def dry_run(
        self, release: Release, target: Target, policy: Policy, *, areas: AllowedAreas, name: str
    ) -> DryRun:
        """Tell what a rollout would do."""

    async def unknown(
        self, release: Release, codes: Collection[str], areas: AllowedAreas
    ) -> list[str]:
        """Return those codes that no pole in the areas has, or no gateway if it is for those."""

    async def rollouts(self, areas: AllowedAreas, number: int | None = None) -> list[Rollout]:
        """Return the rollouts that concern the areas, newest first, counting only nodes there."""

    async def nodes(
        self,
        number: int,
        areas: AllowedAreas,
        *,
        stages: Sequence[NodeStage],
        skip: int,
        many: int,
    ) -> list[RolloutNode]:
        """Return nodes of a rollout in some stages: stage by stage, the latest move first."""

    async def reasons(self, number: int, areas: AllowedAreas) -> list[ReasonCount]:
        """Return why nodes were not successful, or wait for another try, most frequent first."""

    async def history(self, code: str, areas: AllowedAreas) -> list[NodeRollout]:
        """Return the rollouts of the node in a pole, or of a gateway, newest first."""

    async def set_state(
        self,
        number: int,
        *,
        expected: Collection[RolloutState],
        state: RolloutState,
        reason: Words,
        audit: AuditEntry,
    ) -> bool:
        """Move a rollout from one of the expected states; False when it is in another."""

    async def resume(self, number: int, audit: AuditEntry) -> bool:
        """Let a paused rollout run and accept its failures so far; False when it is not paused."""

    async def approve(self, number: int, person: str, audit: AuditEntry) -> bool:
        """Let a proposed rollout run; False when it is not proposed, or by this person."""

    async def approve_wave(self, number: int, wave: int, person: str, audit: AuditEntry) -> bool:
        """Let the wave after this one begin; False when somebody else did."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did.

    Args:
        actions: What was decided and is stored.
        told: Gateways whose desired state changed.
    """

    actions: tuple[Action, ...]
    told: tuple[str, ...]


class RolloutSteps(Protocol):
    """Carries rollouts on, one step at a time."""

    async def unfinished(self) -> list[int]:
        """Return the rollouts that may need action: not over, or with nodes under way."""

    async def renew_directives(self, *, now_ms: int, directed_before_ms: int) -> Collection[str]:
        """Have directives from before a moment made anew where their nodes still need them.

        Returns:
            The gateways that have to be told.
        """

    async def step(
        self,
        number: int,
        owner: str,
        decide: Callable[[RolloutFacts], tuple[Action, ...]],
        *,
        now_ms: int,
        lease_ms: int,
        with_health: bool,
    ) -> Step | None:
        """Read the facts, decide, store the decisions, all or nothing.

        The owner has the rollout from then on for `lease_ms`; None when another one has it.
        Nothing else changes the rollout in between.
        """
