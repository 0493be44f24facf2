"""Releases and rollouts of the made-up city.

Not the fleet's decisions: nodes move on by chance, or as a test says.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from poleward_fleet.adapters.web.pages import unix_ms
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.errors import ConflictError, NotFoundError
from poleward_fleet.domain.releases import GATEWAYS, Release, ReleaseDetail
from poleward_fleet.domain.rollout import (
    TELLING_ORDER,
    UNSUCCESSFUL,
    NodeStage,
    RolloutState,
    WaveFact,
)
from poleward_fleet.domain.rollout_policy import Policy, Target, check_name, check_policy, wave_ends
from poleward_fleet.domain.rollout_views import (
    DryRun,
    LinkLoad,
    NodeRollout,
    ReasonCount,
    Rollout,
    RolloutNode,
)
from poleward_fleet.domain.sbom import SoftwareComponent
from poleward_fleet.domain.trust import ReleaseKey, Trust
from poleward_fleet.domain.words import NO_WORDS, Words


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
            [
                self._release("1.1.0", 2),
                self._release("1.0.0", 1),
                self._release("2.0.0", 1, GATEWAYS),
            ]
            if published
            else []
        )
        self.rollout_list: list[Rollout] = []
        self.rollout_nodes: dict[int, tuple[RolloutNode, ...]] = {}

    def _release(self, version: str, sequence: int, profile: str = "pole-basic") -> Release:
        digest = hashlib.sha256(version.encode()).digest()
        return Release(
            digest,
            version,
            sequence,
            profile,
            unix_ms() - (3 - sequence) * 86_400_000,
            "Softer fades at dusk." if sequence == 2 else "First release.",
            digest,
            83_211 + sequence * 977,
        )

    async def trust(self, principal: Principal) -> Trust:
        return Trust((), (), ())

    async def releases(self, principal: Principal) -> list[Release]:
        return self.release_list

    async def detail(self, principal: Principal, digest: bytes) -> ReleaseDetail:
        for release in self.release_list:
            if release.digest == digest:
                key = ReleaseKey(b"k" * 32, "release team", unix_ms())
                parts = (SoftwareComponent("mpy-cross", "1.26.0"),)
                return ReleaseDetail(release, ((key.key_id, key), (b"unknown!", None)), parts)
        raise NotFoundError.of("no_release", digest=digest.hex()[:16])

    async def create(
        self,
        principal: Principal,
        release_digest: bytes,
        target: Target,
        policy: Policy,
        *,
        name: str = "",
        may_supersede: bool = False,
    ) -> Rollout:
        check_name(name)
        release = self._checked(principal, release_digest, policy)
        number = len(self.rollout_list) + 1
        poles = self.nodes_by_pole()
        ends = wave_ends(len(poles), policy.waves)
        self.rollout_nodes[number] = tuple(
            RolloutNode(
                node_number=node,
                pole_code=code,
                wave=next(wave for wave, end in enumerate(ends) if position < end),
                stage=NodeStage.QUEUED,
                reason=NO_WORDS,
                since_ms=unix_ms(),
                attempts=0,
            )
            for position, (node, code) in enumerate(poles)
        )
        proposed = policy.needs_approval
        self.rollout_list.insert(
            0,
            Rollout(
                number=number,
                name=name or str(number),
                release_digest=release.digest,
                release_version=release.version,
                release_sequence=release.sequence,
                board_profile=release.board_profile,
                target=target,
                policy=policy,
                state=RolloutState.PROPOSED if proposed else RolloutState.RUNNING,
                reason=NO_WORDS,
                waves=(),
                returns_rollout=0,
                accepted_wave=-1,
                created_at_ms=unix_ms(),
                created_by=principal.name,
                approved_by="",
            ),
        )
        self.record(principal, "rollout.create", str(number), release=release.version)
        return self.set_rollout(number)

    async def dry_run(
        self,
        principal: Principal,
        release_digest: bytes,
        target: Target,
        policy: Policy,
        *,
        name: str = "",
    ) -> DryRun:
        check_name(name)
        release = self._checked(principal, release_digest, policy)
        poles = self.nodes_by_pole()
        ends = wave_ends(len(poles), policy.waves)
        sizes = tuple(end - start for start, end in zip((0, *ends), ends, strict=False))
        load = LinkLoad("gw-01", len(poles), release.bundle_bytes, 10 * release.bundle_bytes)
        return DryRun(
            wave_nodes=sizes,
            run_already=2,
            run_newer=1,
            taken=3,
            canaries=tuple(code for _, code in poles[: sizes[0]]),
            links=(load,),
            duration_s=660,
        )

    def _checked(self, principal: Principal, release_digest: bytes, policy: Policy) -> Release:
        principal.require(Permission.ROLL_OUT)
        check_policy(policy)
        release = next((r for r in self.release_list if r.digest == release_digest), None)
        if release is None:
            raise NotFoundError.of("no_release", digest=release_digest.hex()[:16])
        return release

    async def rollouts(self, principal: Principal) -> list[Rollout]:
        return self.rollout_list

    async def rollout(self, principal: Principal, number: int) -> Rollout:
        for rollout in self.rollout_list:
            if rollout.number == number:
                return rollout
        raise NotFoundError.of("no_rollout", rollout=number)

    async def nodes(
        self,
        principal: Principal,
        number: int,
        *,
        stages: Sequence[NodeStage] = (),
        skip: int = 0,
        many: int = 1000,
    ) -> list[RolloutNode]:
        order = list(stages or TELLING_ORDER)
        found = [node for node in self.rollout_nodes[number] if node.stage in order]
        return sorted(found, key=lambda node: order.index(node.stage))[skip : skip + many]

    async def reasons(self, principal: Principal, number: int) -> list[ReasonCount]:
        found = Counter(
            (node.stage, node.reason)
            for node in self.rollout_nodes[number]
            if node.stage in UNSUCCESSFUL
            or (node.stage is NodeStage.QUEUED and node.reason != NO_WORDS)
        )
        return [ReasonCount(stage, words, count) for (stage, words), count in found.most_common()]

    async def history(self, principal: Principal, code: str) -> list[NodeRollout]:
        return [
            NodeRollout(rollout.number, rollout.release_version, rollout.state, node)
            for rollout in self.rollout_list
            for node in self.rollout_nodes[rollout.number]
            if code in (node.pole_code, node.gateway_name)
        ]

    def set_rollout(self, number: int, **fields: object) -> Rollout:
        """Change a rollout and count its nodes again."""
        index = next(i for i, r in enumerate(self.rollout_list) if r.number == number)
        rollout = self.rollout_list[index]
        nodes = self.rollout_nodes[number]
        waves = tuple(
            WaveFact(
                Counter(node.stage for node in nodes if node.wave == wave),
                opened_at_ms=rollout.created_at_ms if wave == 0 else None,
            )
            for wave in range(len(rollout.policy.waves))
        )
        self.rollout_list[index] = replace(rollout, **{"waves": waves} | fields)  # type: ignore[arg-type]
        return self.rollout_list[index]

    async def approve(self, principal: Principal, number: int) -> Rollout:
        if (await self.rollout(principal, number)).created_by == principal.name:
            raise ConflictError.of("second_person", rollout=number, person=principal.name)
        return self.set_rollout(number, state=RolloutState.RUNNING, approved_by=principal.name)

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
        reason = Words.of("by_person", person=principal.name)
        return self.set_rollout(number, state=RolloutState.ABORTED, reason=reason)

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
            for i in moving[: max(6, rollout.policy.concurrency // 2)]:
                if self.chance.random() < 0.5:
                    stage, reason = path[path.index(nodes[i].stage) + 1], NO_WORDS
                    if stage is NodeStage.CONFIRMED and self.chance.random() < 0.03:
                        stage = NodeStage.RETURNED
                        reason = Words.told("lamp self-test failed on trial")
                    nodes[i] = replace(nodes[i], stage=stage, reason=reason, since_ms=unix_ms())
            self.rollout_nodes[rollout.number] = tuple(nodes)
            state = RolloutState.RUNNING if moving else RolloutState.FINISHED
            self.set_rollout(rollout.number, state=state)
