"""Rollouts as the client gives and takes them: plain values without generated types.

They mirror poleward.v1 messages; `rollout_mapping.py` converts. What is 0 or empty in a policy
takes the fleet's default.
"""

from dataclasses import dataclass

UNDER_WAY = frozenset({"offered", "downloading", "downloaded", "trial"})
"""States of a node that has been offered the release and has not come to its end."""


@dataclass(frozen=True, slots=True)
class RolloutTarget:
    """Which nodes a rollout is for; what is empty does not restrict."""

    area_code: str = ""
    labels: tuple[str, ...] = ()
    pole_codes: tuple[str, ...] = ()
    also_later: bool = False


@dataclass(frozen=True, slots=True)
class RolloutWave:
    """A part of the nodes: a number, a percentage, or with both 0 the rest."""

    nodes: int = 0
    percent: int = 0
    success_percent: int = 100
    wait_s: int = 0
    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class RolloutWindow:
    """A time of the week; weekdays count from 0 for Monday."""

    weekdays: tuple[int, ...]
    start_minute: int
    end_minute: int


@dataclass(frozen=True, slots=True)
class RolloutPolicy:
    """How a rollout goes; on_failure is pause, cancel or return."""

    waves: tuple[RolloutWave, ...] = ()
    concurrency: int = 0
    gateway_concurrency: int = 0
    jitter_s: int = 0
    max_failures: int = 0
    max_failure_percent: int = 0
    max_attempts: int = 0
    retry_s: int = 0
    on_failure: str = "cancel"
    return_digest: bytes = b""
    windows: tuple[RolloutWindow, ...] = ()
    time_zone: str = ""
    needs_approval: bool = False
    offered_s: int = 0
    downloading_s: int = 0
    downloaded_s: int = 0
    trial_s: int = 0


@dataclass(frozen=True, slots=True)
class RolloutNode:
    """One node's progress in a rollout; waves count from 1."""

    node_number: int
    pole_code: str
    state: str
    reason: str
    since_ms: int
    wave: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Update:
    """A rollout in which a node or a gateway is or was, and how far it came there."""

    rollout_number: int
    release_version: str
    rollout_state: str
    node: RolloutNode


@dataclass(frozen=True, slots=True)
class WaveProgress:
    """Where one wave stands; opened_at_ms is 0 before it begins."""

    counts: dict[str, int]
    opened_at_ms: int
    reached_at_ms: int


@dataclass(frozen=True, slots=True)
class Rollout:
    """A release on its way.

    The state is proposed, running, paused, stopped, aborted or finished.
    """

    number: int
    release_digest: bytes
    release_version: str
    state: str
    reason: str
    waits_for: str
    counts: dict[str, int]
    waves: tuple[WaveProgress, ...]
    target: RolloutTarget
    policy: RolloutPolicy
    created_at_ms: int
    created_by: str
    approved_by: str
    returns_rollout: int
    name: str
    nodes: tuple[RolloutNode, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether it goes on no more."""
        return self.state in ("stopped", "aborted", "finished")

    @property
    def is_settled(self) -> bool:
        """Whether it is over and the last node under way came to its end."""
        return self.is_over and not any(self.counts.get(state) for state in {"queued", *UNDER_WAY})


@dataclass(frozen=True, slots=True)
class LinkLoad:
    """What a rollout costs one gateway."""

    gateway_name: str
    nodes: int
    uplink_bytes: int
    downlink_bytes: int


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a rollout would do; nothing was stored."""

    wave_nodes: tuple[int, ...]
    run_already: int
    run_newer: int
    taken: int
    canaries: tuple[str, ...]
    links: tuple[LinkLoad, ...]
    duration_s: int
