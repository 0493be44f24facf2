"""Rollouts as people see them: one rollout, its nodes, a plan that was only tried.

Not the facts that decisions are made from (domain/rollout.py).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from poleward_fleet.domain.releases import GATEWAYS
from poleward_fleet.domain.rollout import (
    OVER,
    UNDER_WAY,
    Gate,
    NodeStage,
    RolloutState,
    WaveFact,
    gate_after,
    newest_open,
)
from poleward_fleet.domain.rollout_policy import Policy, Target, may_offer
from poleward_fleet.domain.words import Words

# A node takes about so long on a quiet link: download, installation, reboot, soak.
_UPDATE_S = 90


class WaitsFor(Enum):
    """What a rollout that is not over waits for."""

    NOTHING = "nothing"
    SECOND_PERSON = "second_person"
    RESUME = "resume"
    PATCHES = "patches"
    WINDOW = "window"
    NODES = "nodes"
    TIME = "time"
    APPROVAL = "approval"
    LATE_NODES = "late_nodes"


@dataclass(frozen=True, slots=True)
class Rollout:
    """A release on its way, with its counts.

    Args:
        name: What directives and downgrade permissions call it: its number unless it was named.
        board_profile: Of the release.
        returns_rollout: Number of the rollout whose updated nodes it returns; 0 for none.
        approved_by: Who let it begin, if that was needed.
        patches_in_work: Patches to the release that the fleet still makes.
    """

    number: int
    name: str
    release_digest: bytes
    release_version: str
    release_sequence: int
    board_profile: str
    target: Target
    policy: Policy
    state: RolloutState
    reason: Words
    waves: tuple[WaveFact, ...]
    returns_rollout: int
    accepted_wave: int
    created_at_ms: int
    created_by: str
    approved_by: str
    patches_in_work: int = 0

    @property
    def is_for_gateways(self) -> bool:
        """Whether gateways are updated, not nodes."""
        return self.board_profile == GATEWAYS

    @property
    def given_name(self) -> str:
        """What a person called it; empty for nothing."""
        return "" if self.name == str(self.number) else self.name

    def is_found_by(self, text: str) -> bool:
        """Tell whether who types this may mean it: number, part of its name, release's version."""
        wanted = text.strip().lower()
        return (
            wanted == str(self.number)
            or wanted in self.given_name
            or self.release_version.lower().startswith(wanted)
        )

    @property
    def counts(self) -> Mapping[NodeStage, int]:
        """Nodes by stage, in the order of the stages; those that have none are left out."""
        counts: Counter[NodeStage] = Counter()
        for wave in self.waves:
            counts.update(wave.counts)
        return {stage: counts[stage] for stage in NodeStage if counts[stage]}

    def waits_for(self, now_ms: int) -> WaitsFor:
        """Tell what has to happen for it to go on."""
        if self.state in OVER:
            return WaitsFor.NOTHING
        if self.state is RolloutState.PROPOSED:
            return WaitsFor.SECOND_PERSON
        if self.state is RolloutState.PAUSED:
            return WaitsFor.RESUME
        newest = newest_open(self.waves)
        if newest < 0:
            return WaitsFor.NODES
        queued = any(wave.counts.get(NodeStage.QUEUED) for wave in self.waves[: newest + 1])
        under_way = any(wave.count(UNDER_WAY) for wave in self.waves)
        began = any(wave.count(UNDER_WAY - {NodeStage.OFFERED}) for wave in self.waves)
        if self.patches_in_work and under_way and not began:
            return WaitsFor.PATCHES
        held = any(wave.counts.get(NodeStage.DOWNLOADED) for wave in self.waves)
        moving = any(wave.count(UNDER_WAY - {NodeStage.DOWNLOADED}) for wave in self.waves)
        if (queued or held) and not moving and not may_offer(self.policy, now_ms):
            return WaitsFor.WINDOW
        gate = gate_after(
            now_ms,
            self.policy.waves[newest],
            self.waves[newest],
            is_last=newest == len(self.waves) - 1,
            is_accepted=newest <= self.accepted_wave,
        )
        if gate is Gate.OPEN and self.target.also_later and not (queued or under_way):
            return WaitsFor.LATE_NODES
        return {Gate.TIME: WaitsFor.TIME, Gate.APPROVAL: WaitsFor.APPROVAL}.get(
            gate, WaitsFor.NODES
        )


@dataclass(frozen=True, slots=True)
class RolloutNode:
    """One node's progress, or one gateway's, for people."""

    node_number: int
    pole_code: str
    wave: int  # counted from 0
    stage: NodeStage
    reason: Words
    since_ms: int
    attempts: int
    gateway_name: str = ""  # only where it is a gateway


@dataclass(frozen=True, slots=True)
class NodeRollout:
    """A rollout in which a node is or was, and how far it came there."""

    rollout_number: int
    release_version: str
    state: RolloutState
    node: RolloutNode


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How many nodes are in a stage for the same reason."""

    stage: NodeStage
    reason: Words
    nodes: int


@dataclass(frozen=True, slots=True)
class LinkLoad:
    """What a rollout costs one gateway.

    Args:
        nodes: Nodes behind it.
        uplink_bytes: From the fleet to the gateway, once.
        downlink_bytes: From the gateway to its nodes, without repetitions.
    """

    gateway_name: str
    nodes: int
    uplink_bytes: int
    downlink_bytes: int


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a rollout would do; nothing was stored.

    Args:
        wave_nodes: Nodes of each wave.
        run_already: Nodes that run the release and count as confirmed.
        run_newer: Nodes that are left out because they run a newer release.
        taken: Nodes that are in another rollout which is not over.
        canaries: Poles of the first wave, at most 50.
        links: By gateway name.
    """

    wave_nodes: tuple[int, ...]
    run_already: int
    run_newer: int
    taken: int
    canaries: tuple[str, ...]
    links: tuple[LinkLoad, ...]
    duration_s: int


def estimated_duration_s(policy: Policy, wave_nodes: tuple[int, ...], gateways: int) -> int:
    """Estimate how long a rollout takes when every node answers and windows are always open."""
    at_once = max(1, min(policy.concurrency, policy.gateway_concurrency * gateways))
    seconds = 0
    for rule, nodes in zip(policy.waves, wave_nodes, strict=True):
        rounds = -(-nodes // at_once)
        seconds += max(rounds * _UPDATE_S, policy.jitter_s if nodes else 0) + rule.wait_s
    return seconds
