"""How a rollout goes on: pure decisions from facts, safe to repeat after a crash at any moment.

Not the loop that carries them out (services/rollouts.py) and not how a node updates itself.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class RolloutState(Enum):
    """Where a rollout stands."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"  # by itself, after too many failures
    ABORTED = "aborted"  # by a person
    FINISHED = "finished"


class NodeStage(Enum):
    """Where one node stands in a rollout."""

    QUEUED = "queued"
    OFFERED = "offered"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    TRIAL = "trial"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    REJECTED = "rejected"
    RETURNED = "returned"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


UNDER_WAY = frozenset(
    {NodeStage.OFFERED, NodeStage.DOWNLOADING, NodeStage.DOWNLOADED, NodeStage.TRIAL}
)
UNSUCCESSFUL = frozenset(
    {NodeStage.FAILED, NodeStage.REJECTED, NodeStage.RETURNED, NodeStage.TIMED_OUT}
)
FINAL = UNSUCCESSFUL | {NodeStage.CONFIRMED, NodeStage.CANCELLED}

# A node may stay this long in a stage before it counts as silent. Offered covers a gateway's own
# pacing and a slow download on NB-IoT; the trial covers reboot, soak and health check.
STAGE_TIMEOUT_MS = {
    NodeStage.OFFERED: 30 * 60_000,
    NodeStage.DOWNLOADING: 30 * 60_000,
    NodeStage.DOWNLOADED: 10 * 60_000,
    NodeStage.TRIAL: 10 * 60_000,
}


@dataclass(frozen=True, slots=True)
class NodeFact:
    """What is known of one node of a rollout."""

    node_number: int
    stage: NodeStage
    since_ms: int
    runs_release: bool = False  # it reports the release's sequence number as running


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """What is known of a rollout at one moment."""

    state: RolloutState
    concurrency: int
    max_failures: int
    nodes: tuple[NodeFact, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """Ask for the release on these nodes."""

    node_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TimeOut:
    """Give these nodes up: they did not move within their stage's time."""

    node_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AlreadyRuns:
    """Count these nodes as confirmed: they run the release already."""

    node_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take these queued nodes out; what nodes have begun is left to finish."""

    node_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Conclude:
    """The rollout reached a final state."""

    state: RolloutState
    reason: str


Action = Offer | TimeOut | AlreadyRuns | Cancel | Conclude


@dataclass(frozen=True, slots=True)
class Rollout:
    """A release on its way, with its counts."""

    number: int
    release_digest: bytes
    release_version: str
    release_sequence: int
    area_code: str
    concurrency: int
    max_failures: int
    state: RolloutState
    reason: str
    counts: tuple[tuple[NodeStage, int], ...]
    created_at_ms: int
    created_by: str


@dataclass(frozen=True, slots=True)
class RolloutNode:
    """One node's progress, for people."""

    node_number: int
    pole_code: str
    stage: NodeStage
    reason: str
    since_ms: int


def next_actions(now_ms: int, facts: RolloutFacts) -> tuple[Action, ...]:
    """Decide what has to be done now; doing it twice, or deciding again after it, is harmless.

    Rules:
    - Never more than `concurrency` nodes are under way; a silent node frees its place when it
      times out.
    - At `max_failures` unsuccessful nodes a running rollout stops; queued nodes are cancelled.
    - A paused rollout offers nothing, but still times out nodes.
    - A queued node that runs the release already is confirmed. A node under way is not, because it
      also runs the release while on trial: it has to say that it confirmed. Only when its time is
      up, and what it said may have been lost, the running version decides.
    - A running rollout whose nodes are all final is finished.
    """
    if facts.state in (RolloutState.FINISHED, RolloutState.STOPPED, RolloutState.ABORTED):
        queued = tuple(n.node_number for n in facts.nodes if n.stage is NodeStage.QUEUED)
        overdue = _overdue(now_ms, facts.nodes)
        return (*_unless_empty(Cancel(queued)), *_unless_empty(TimeOut(overdue)))

    late = set(_overdue(now_ms, facts.nodes))
    arrived = tuple(
        n.node_number
        for n in facts.nodes
        if n.runs_release and (n.stage is NodeStage.QUEUED or n.node_number in late)
    )
    overdue = tuple(sorted(late.difference(arrived)))
    gone = set(arrived) | set(overdue)
    stages = Counter(n.stage for n in facts.nodes if n.node_number not in gone)
    stages[NodeStage.CONFIRMED] += len(arrived)
    stages[NodeStage.TIMED_OUT] += len(overdue)
    queued = tuple(
        n.node_number
        for n in facts.nodes
        if n.stage is NodeStage.QUEUED and n.node_number not in gone
    )
    actions: list[Action] = [
        *_unless_empty(AlreadyRuns(arrived)),
        *_unless_empty(TimeOut(overdue)),
    ]
    failures = sum(stages[stage] for stage in UNSUCCESSFUL)
    if failures >= facts.max_failures:
        actions += _unless_empty(Cancel(queued))
        reason = f"{failures} of {len(facts.nodes)} nodes failed; the limit is {facts.max_failures}"
        actions.append(Conclude(RolloutState.STOPPED, reason))
        return tuple(actions)
    if sum(stages[stage] for stage in FINAL) == len(facts.nodes):
        confirmed = stages[NodeStage.CONFIRMED]
        reason = f"{confirmed} of {len(facts.nodes)} nodes run it"
        actions.append(Conclude(RolloutState.FINISHED, reason))
        return tuple(actions)
    if facts.state is RolloutState.RUNNING:
        room = facts.concurrency - sum(stages[stage] for stage in UNDER_WAY)
        actions += _unless_empty(Offer(queued[: max(0, room)]))
    return tuple(actions)


def _overdue(now_ms: int, nodes: Iterable[NodeFact]) -> tuple[int, ...]:
    return tuple(
        n.node_number
        for n in nodes
        if n.stage in UNDER_WAY and now_ms - n.since_ms >= STAGE_TIMEOUT_MS[n.stage]
    )


def _unless_empty(action: Offer | TimeOut | AlreadyRuns | Cancel) -> tuple[Action, ...]:
    return (action,) if action.node_numbers else ()
