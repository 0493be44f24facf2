"""How a rollout goes on: pure decisions from facts, safe to repeat after a crash at any moment.

Not the loop that carries them out (services/rollout_loop.py), not what one node's report means
(domain/rollout_progress.py) and not how a node updates itself.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from poleward_fleet.domain.rollout_health import WaveHealth, regression
from poleward_fleet.domain.rollout_policy import OnFailure, Policy, Wave, may_offer
from poleward_fleet.domain.words import Words


class RolloutState(Enum):
    """Where a rollout stands."""

    PROPOSED = "proposed"  # a second person has to approve it
    RUNNING = "running"
    PAUSED = "paused"  # by a person, or by itself after failures
    STOPPED = "stopped"  # by itself, after failures
    ABORTED = "aborted"  # by a person
    FINISHED = "finished"


OVER = frozenset({RolloutState.STOPPED, RolloutState.ABORTED, RolloutState.FINISHED})


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
    SUPERSEDED = "superseded"


UNDER_WAY = frozenset(
    {NodeStage.OFFERED, NodeStage.DOWNLOADING, NodeStage.DOWNLOADED, NodeStage.TRIAL}
)
UNSUCCESSFUL = frozenset(
    {NodeStage.FAILED, NodeStage.REJECTED, NodeStage.RETURNED, NodeStage.TIMED_OUT}
)
LEFT_OUT = frozenset({NodeStage.CANCELLED, NodeStage.SUPERSEDED})
FINAL = UNSUCCESSFUL | LEFT_OUT | {NodeStage.CONFIRMED}
# In a list, what tells most comes first.
TELLING_ORDER = (
    NodeStage.FAILED,
    NodeStage.REJECTED,
    NodeStage.RETURNED,
    NodeStage.TIMED_OUT,
    NodeStage.TRIAL,
    NodeStage.DOWNLOADED,
    NodeStage.DOWNLOADING,
    NodeStage.OFFERED,
    NodeStage.QUEUED,
    NodeStage.CONFIRMED,
    NodeStage.CANCELLED,
    NodeStage.SUPERSEDED,
)


@dataclass(frozen=True, slots=True)
class WaveFact:
    """What is known of one wave.

    Args:
        counts: Nodes by stage.
        opened_at_ms: When it began; None before.
        reached_at_ms: When enough of its nodes had confirmed; None before.
        is_approved: A person let the next wave begin.
    """

    counts: Mapping[NodeStage, int]
    opened_at_ms: int | None = None
    reached_at_ms: int | None = None
    is_approved: bool = False

    def count(self, stages: Iterable[NodeStage]) -> int:
        """Count nodes in any of the stages."""
        return sum(self.counts.get(stage, 0) for stage in stages)

    @property
    def concerned(self) -> int:
        """Count the nodes that are not left out."""
        return sum(self.counts.values()) - self.count(LEFT_OUT)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A queued node of an open wave that could be offered the release now."""

    node_number: int
    gateway_name: str
    wave: int
    runs_release: bool = False  # it reports the release's sequence number as running


@dataclass(frozen=True, slots=True)
class Overdue:
    """A node that stayed in its stage for longer than the stage allows."""

    node_number: int
    gateway_name: str
    wave: int
    stage: NodeStage
    runs_release: bool = False


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """What is known of a rollout at one moment. Its size does not grow with the rollout's.

    Args:
        waves: As many as the policy has.
        under_way: Nodes under way by gateway; gateways without any may be missing.
        candidates: In order; of each gateway its share of what may be offered at once.
        overdue: Some of them when there are very many.
        accepted_failures: Failures that a person saw and went on with.
        accepted_wave: Up to this wave shares and health were seen as well; -1 for none.
        may_grow: Nodes may join later.
        is_join_due: It is time to look for nodes that match by now.
        health: Of the newest wave that is watched; None when nothing is.
        is_returning: Returning the updated nodes has begun.
        expired_document: Number of the newest trust document when it has expired; 0 otherwise.
        begun: Some nodes that download or have downloaded the release of a rollout that is over,
            and are still told to run it.
    """

    state: RolloutState
    policy: Policy
    waves: tuple[WaveFact, ...]
    under_way: Mapping[str, int] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    overdue: tuple[Overdue, ...] = ()
    accepted_failures: int = 0
    accepted_wave: int = -1
    may_grow: bool = False
    is_join_due: bool = False
    health: WaveHealth | None = None
    is_returning: bool = False
    expired_document: int = 0
    begun: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """Ask for the release on these queued nodes."""

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
class CancelWaiting:
    """Take nodes out that are queued or only offered."""


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Have these nodes drop the release before they install it; their gateways tell the rest."""

    node_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OpenWave:
    """Let a wave begin."""

    wave: int


@dataclass(frozen=True, slots=True)
class NoteReached:
    """Remember that enough of a wave's nodes confirmed; its waiting time begins."""

    wave: int


@dataclass(frozen=True, slots=True)
class Join:
    """Take in nodes that match by now."""


@dataclass(frozen=True, slots=True)
class Conclude:
    """The rollout reached a state by itself."""

    state: RolloutState
    reason: Words


@dataclass(frozen=True, slots=True)
class ReturnUpdated:
    """Bring the nodes that run the release to the policy's good one, by a rollout of its own."""


Action = (
    Offer
    | TimeOut
    | AlreadyRuns
    | CancelWaiting
    | TakeBack
    | OpenWave
    | NoteReached
    | Join
    | Conclude
    | ReturnUpdated
)


class Gate(Enum):
    """What the step after a wave waits for."""

    SUCCESS = "success"  # more nodes have to confirm
    TIME = "time"  # they are watched for a while
    APPROVAL = "approval"  # a person has to look
    OPEN = "open"


def next_actions(now_ms: int, facts: RolloutFacts) -> tuple[Action, ...]:
    """Decide what has to be done now; deciding again after it was done changes nothing.

    Rules:
    - A node that overstays a stage is timed out, in every state; only when it runs the release by
      then it counts as confirmed. A node on trial runs it too, so before that it has to say so.
    - Too many failures, silence included, or worse health stop the rollout, as its policy says.
    - When it is over, waiting nodes are cancelled, what others have begun is taken back and, if so
      decided, updated nodes are returned. A node on trial decides for itself.
    - Running, it opens waves as their gates allow and offers to no more nodes than allowed.
    - Under an expired trust document it pauses before it offers anything: gateways and nodes would
      refuse for good what they may have later.
    """
    settled, waves, under_way = _settle(facts)
    if facts.state in OVER:
        return (*settled, *_wind_up(facts, waves))
    if facts.state is RolloutState.PROPOSED:
        return ()
    trouble = _trouble(facts, waves)
    if trouble is not None:
        if facts.policy.on_failure is not OnFailure.PAUSE:
            return (*settled, Conclude(RolloutState.STOPPED, trouble))
        if facts.state is RolloutState.RUNNING:
            return (*settled, Conclude(RolloutState.PAUSED, trouble))
    if facts.state is RolloutState.PAUSED:
        return settled
    offers = _offers(now_ms, facts, under_way)
    if facts.expired_document and any(isinstance(action, Offer) for action in offers):
        reason = Words.of("trust_expired", document=facts.expired_document)
        return (*settled, Conclude(RolloutState.PAUSED, reason))
    join = (Join(),) if facts.is_join_due else ()
    return (*settled, *join, *_advance(now_ms, facts, waves), *offers)


def newest_open(waves: tuple[WaveFact, ...]) -> int:
    """Return the newest wave that began; -1 when none did."""
    return sum(wave.opened_at_ms is not None for wave in waves) - 1


def gate_after(
    now_ms: int, rule: Wave, wave: WaveFact, *, is_last: bool, is_accepted: bool
) -> Gate:
    """Tell what the step after a wave waits for: the next wave, or the end after the last.

    Args:
        now_ms: Time.
        rule: What the policy says about the wave.
        wave: Where it stands.
        is_last: All of its nodes have to come to an end, successful or not.
        is_accepted: A person saw its failures and went on: the same holds.
    """
    if is_last or is_accepted:
        enough = wave.count(FINAL) == sum(wave.counts.values())
    else:
        enough = wave.counts.get(NodeStage.CONFIRMED, 0) >= _needed(rule, wave)
    if not enough:
        return Gate.SUCCESS
    if rule.wait_s and (
        wave.reached_at_ms is None or now_ms - wave.reached_at_ms < rule.wait_s * 1000
    ):
        return Gate.TIME
    if rule.needs_approval and not wave.is_approved and not is_last:
        return Gate.APPROVAL
    return Gate.OPEN


def _settle(
    facts: RolloutFacts,
) -> tuple[tuple[Action, ...], tuple[WaveFact, ...], Counter[str]]:
    """Decide about overdue nodes; return that and the counts as they are after it."""
    counts = [Counter(wave.counts) for wave in facts.waves]
    under_way = Counter(facts.under_way)
    arrived: list[int] = []
    silent: list[int] = []
    for node in facts.overdue:
        counts[node.wave][node.stage] -= 1
        under_way[node.gateway_name] -= 1
        after = NodeStage.CONFIRMED if node.runs_release else NodeStage.TIMED_OUT
        counts[node.wave][after] += 1
        (arrived if node.runs_release else silent).append(node.node_number)
    actions: list[Action] = []
    if arrived:
        actions.append(AlreadyRuns(tuple(arrived)))
    if silent:
        actions.append(TimeOut(tuple(silent)))
    waves = tuple(
        WaveFact(count, wave.opened_at_ms, wave.reached_at_ms, wave.is_approved)
        for count, wave in zip(counts, facts.waves, strict=True)
    )
    return tuple(actions), waves, under_way


def _wind_up(facts: RolloutFacts, waves: tuple[WaveFact, ...]) -> tuple[Action, ...]:
    actions: list[Action] = []
    if any(wave.count((NodeStage.QUEUED, NodeStage.OFFERED)) for wave in waves):
        actions.append(CancelWaiting())
    if facts.begun:
        actions.append(TakeBack(facts.begun))
    if (
        facts.state is RolloutState.STOPPED
        and facts.policy.on_failure is OnFailure.RETURN
        and not facts.is_returning
    ):
        actions.append(ReturnUpdated())
    return tuple(actions)


def _trouble(facts: RolloutFacts, waves: tuple[WaveFact, ...]) -> Words | None:
    """Say why the rollout must not go on; None when it may."""
    policy, health = facts.policy, facts.health
    failures = [wave.count(UNSUCCESSFUL) for wave in waves]
    if health is not None:
        failures[health.wave] += health.silent
    total = sum(failures) - facts.accepted_failures
    if total >= policy.max_failures:
        return Words.of("too_many_failures", failures=total, limit=policy.max_failures)
    for number in range(facts.accepted_wave + 1, len(waves)):
        wave, rule, failed = waves[number], policy.waves[number], failures[number]
        said = {"wave": number + 1, "failures": failed, "nodes": wave.concerned}
        if failed and failed * 100 >= policy.max_failure_percent * wave.concerned:
            return Words.of("failure_share", percent=policy.max_failure_percent, **said)
        is_last = number == len(waves) - 1
        if not is_last and wave.concerned - failed < _needed(rule, wave):
            return Words.of("out_of_reach", percent=rule.success_percent, **said)
    if health is not None and health.wave > facts.accepted_wave:
        return regression(health, policy.health)
    return None


def _needed(rule: Wave, wave: WaveFact) -> int:
    return math.ceil(wave.concerned * rule.success_percent / 100)


def _advance(now_ms: int, facts: RolloutFacts, waves: tuple[WaveFact, ...]) -> tuple[Action, ...]:
    """Open the next wave or finish, when the gate of the newest one allows it."""
    newest, last = newest_open(waves), len(waves) - 1
    if newest < 0:
        return (OpenWave(0),)
    gate = gate_after(
        now_ms,
        facts.policy.waves[newest],
        waves[newest],
        is_last=newest == last,
        is_accepted=newest <= facts.accepted_wave,
    )
    if gate is Gate.TIME and waves[newest].reached_at_ms is None:
        return (NoteReached(newest),)
    if gate is not Gate.OPEN:
        return ()
    if newest < last:
        return (OpenWave(newest + 1),)
    nodes = sum(sum(wave.counts.values()) for wave in waves)
    if facts.may_grow or sum(wave.count(FINAL) for wave in waves) < nodes:
        return ()
    confirmed = sum(wave.counts.get(NodeStage.CONFIRMED, 0) for wave in waves)
    reason = Words.of("completed", confirmed=confirmed, nodes=nodes)
    return (Conclude(RolloutState.FINISHED, reason),)


def _offers(now_ms: int, facts: RolloutFacts, under_way: Counter[str]) -> tuple[Action, ...]:
    policy = facts.policy
    running = tuple(c.node_number for c in facts.candidates if c.runs_release)
    actions: list[Action] = [AlreadyRuns(running)] if running else []
    room = policy.concurrency - under_way.total()
    offered: list[int] = []
    if may_offer(policy, now_ms):
        for candidate in facts.candidates:
            if len(offered) >= room:
                break
            gateway = candidate.gateway_name
            if not candidate.runs_release and under_way[gateway] < policy.gateway_concurrency:
                under_way[gateway] += 1
                offered.append(candidate.node_number)
    if offered:
        actions.append(Offer(tuple(offered)))
    return tuple(actions)
