"""Releases and rollouts of the made-up city.

Not the fleet's decisions: nodes move on by chance, or as a test says.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from poleward_fleet.adapters.web.pages import unix_ms
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.errors import NotFoundError
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import NodeStage, Rollout, RolloutNode, RolloutState


class Record(Protocol):
    """Writes the audit record."""

    def __call__(self, principal: Principal, action: str, subject: str, **detail: object) -> None:
        """Record a change."""


class FakeRollouts:
    """Releases and rollouts in memory.

    Args:
        nodes_by_pole: Number and pole code of each node in service.
        record: Writes the audit record.
        chance: Decides which nodes move on.
        published: Whether there are releases.
    """

    def __init__(
        self,
        nodes_by_pole: Callable[[], list[tuple[int, str]]],
        record: Record,
        chance: random.Random,
        *,
        published: bool,
    ) -> None:
        self.nodes_by_pole = nodes_by_pole
        self.record = record
        self.chance = chance
        self.release_list = (
            [self._release("1.1.0", 2), self._release("1.0.0", 1)] if published else []
        )
        self.rollout_list: list[Rollout] = []
        self.rollout_nodes: dict[int, tuple[RolloutNode, ...]] = {}

    def _release(self, version: str, sequence: int) -> Release:
        digest = hashlib.sha256(version.encode()).digest()
        return Release(
            digest,
            version,
            sequence,
            "pole-basic",
            unix_ms() - (3 - sequence) * 86_400_000,
            "Softer fades at dusk." if sequence == 2 else "First release.",
            digest,
            83_211 + sequence * 977,
        )

    async def releases(self, principal: Principal) -> list[Release]:
        return self.release_list

    async def create(
        self,
        principal: Principal,
        release_digest: bytes,
        *,
        area_code: str = "",
        concurrency: int = 0,
        max_failures: int = 0,
    ) -> Rollout:
        principal.require(Permission.ROLL_OUT)
        release = next((r for r in self.release_list if r.digest == release_digest), None)
        if release is None:
            raise NotFoundError("there is no such release")
        number = len(self.rollout_list) + 1
        nodes = tuple(
            RolloutNode(number, code, NodeStage.QUEUED, "", unix_ms())
            for number, code in self.nodes_by_pole()
        )
        self.rollout_list.insert(
            0,
            Rollout(
                number,
                release.digest,
                release.version,
                release.sequence,
                area_code,
                concurrency,
                max_failures,
                RolloutState.RUNNING,
                "",
                ((NodeStage.QUEUED, len(nodes)),),
                unix_ms(),
                principal.name,
            ),
        )
        self.rollout_nodes[number] = nodes
        self.record(principal, "rollout.create", str(number), release=release.version)
        return self.rollout_list[0]

    async def rollouts(self, principal: Principal) -> list[Rollout]:
        return self.rollout_list

    async def rollout(
        self, principal: Principal, number: int
    ) -> tuple[Rollout, tuple[RolloutNode, ...]]:
        for rollout in self.rollout_list:
            if rollout.number == number:
                return rollout, self.rollout_nodes[number]
        raise NotFoundError(f"there is no rollout {number}")

    def set_rollout(self, number: int, **fields: object) -> Rollout:
        """Change a rollout and count its nodes again."""
        index = next(i for i, r in enumerate(self.rollout_list) if r.number == number)
        stages = [node.stage for node in self.rollout_nodes[number]]
        counts = tuple((stage, stages.count(stage)) for stage in NodeStage if stage in stages)
        self.rollout_list[index] = replace(self.rollout_list[index], counts=counts, **fields)  # type: ignore[arg-type]
        return self.rollout_list[index]

    async def pause(self, principal: Principal, number: int) -> Rollout:
        principal.require(Permission.ROLL_OUT)
        await self.rollout(principal, number)
        self.record(principal, "rollout.pause", str(number))
        return self.set_rollout(number, state=RolloutState.PAUSED)

    async def resume(self, principal: Principal, number: int) -> Rollout:
        await self.rollout(principal, number)
        return self.set_rollout(number, state=RolloutState.RUNNING)

    async def abort(self, principal: Principal, number: int) -> Rollout:
        await self.rollout(principal, number)
        self.record(principal, "rollout.abort", str(number))
        return self.set_rollout(number, state=RolloutState.ABORTED, reason=f"by {principal.name}")

    def advance_rollouts(self) -> None:
        """Move some nodes of each running rollout one stage on."""
        path = [
            NodeStage.QUEUED,
            NodeStage.OFFERED,
            NodeStage.DOWNLOADING,
            NodeStage.DOWNLOADED,
            NodeStage.TRIAL,
            NodeStage.CONFIRMED,
        ]
        for rollout in self.rollout_list:
            if rollout.state is not RolloutState.RUNNING:
                continue
            nodes = list(self.rollout_nodes[rollout.number])
            moving = [i for i, node in enumerate(nodes) if node.stage in path[:-1]]
            for i in moving[: max(6, rollout.concurrency // 2)]:
                if self.chance.random() < 0.5:
                    stage, reason = path[path.index(nodes[i].stage) + 1], ""
                    if stage is NodeStage.CONFIRMED and self.chance.random() < 0.03:
                        stage, reason = NodeStage.RETURNED, "lamp self-test failed on trial"
                    nodes[i] = replace(nodes[i], stage=stage, reason=reason, since_ms=unix_ms())
            self.rollout_nodes[rollout.number] = tuple(nodes)
            state = RolloutState.RUNNING if moving else RolloutState.FINISHED
            self.set_rollout(rollout.number, state=state)
