"""What the rollout engine decides, over its state space; no I/O.

A small model keeps nodes as the database does and lets them answer, fail or stay silent; the fleet
may crash before any decision is stored.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from poleward_fleet.domain.rollout import (
    FINAL,
    OVER,
    UNDER_WAY,
    UNSUCCESSFUL,
    Action,
    AlreadyRuns,
    CancelWaiting,
    Candidate,
    Conclude,
    Join,
    NodeStage,
    NoteReached,
    Offer,
    OpenWave,
    Overdue,
    ReturnUpdated,
    RolloutFacts,
    RolloutState,
    TakeBack,
    TimeOut,
    WaveFact,
    newest_open,
    next_actions,
)
from poleward_fleet.domain.rollout_health import HealthFigures, WaveHealth, regression
from poleward_fleet.domain.rollout_policy import (
    HealthLimits,
    OnFailure,
    Policy,
    StageDeadlines,
    Wave,
    Window,
    check_policy,
    may_offer,
    must_have_installed,
    openings,
    wave_ends,
)
from poleward_fleet.domain.rollout_progress import Move, Standing, move_after
from poleward_fleet.domain.words import NO_WORDS, Words

DEADLINES = StageDeadlines(60, 60, 60, 60)
QUEUED, TRIAL = NodeStage.QUEUED, NodeStage.TRIAL
STEP_MS = 30_000
# What a node says when it is asked, in order; after the last word it is silent.
PATHS = {
    "good": (NodeStage.DOWNLOADING, NodeStage.DOWNLOADED, NodeStage.TRIAL, NodeStage.CONFIRMED),
    "rejects": (NodeStage.REJECTED,),
    "goes back": (NodeStage.DOWNLOADED, NodeStage.TRIAL, NodeStage.RETURNED),
    "loses its link": (NodeStage.DOWNLOADING, NodeStage.FAILED),
    "dies on trial": (NodeStage.DOWNLOADING, NodeStage.TRIAL),
    "never answers": (),
}


@dataclass
class ModelNode:
    """A node as the database knows it, and how it is going to behave."""

    number: int
    wave: int
    gateway: str
    path: str
    stage: NodeStage = NodeStage.QUEUED
    since_ms: int = 0
    not_before_ms: int = 0
    attempts: int = 0
    said: int = 0
    runs_release: bool = False
    is_wanted: bool = False


@dataclass
class Model:
    """A rollout with few nodes, kept as the store keeps it."""

    policy: Policy
    nodes: list[ModelNode]
    state: RolloutState = RolloutState.RUNNING
    opened_at_ms: dict[int, int] = field(default_factory=dict)
    reached_at_ms: dict[int, int] = field(default_factory=dict)
    is_returning: bool = False
    offers: list[tuple[int, RolloutState]] = field(default_factory=list)

    def facts(self, now_ms: int) -> RolloutFacts:
        waves = tuple(
            WaveFact(
                Counter(n.stage for n in self.nodes if n.wave == wave),
                self.opened_at_ms.get(wave),
                self.reached_at_ms.get(wave),
                is_approved=True,
            )
            for wave in range(len(self.policy.waves))
        )
        newest = newest_open(waves)
        return RolloutFacts(
            state=self.state,
            policy=self.policy,
            waves=waves,
            under_way=Counter(n.gateway for n in self.nodes if n.stage in UNDER_WAY),
            candidates=tuple(
                Candidate(n.number, n.gateway, n.wave, n.runs_release)
                for n in self.nodes
                if n.stage is NodeStage.QUEUED and n.wave <= newest and n.not_before_ms <= now_ms
            ),
            overdue=tuple(
                Overdue(n.number, n.gateway, n.wave, n.stage, n.runs_release)
                for n in self.nodes
                if n.stage in UNDER_WAY and now_ms - n.since_ms >= 60_000
            ),
            is_returning=self.is_returning,
            begun=tuple(
                n.number
                for n in self.nodes
                if self.state in OVER
                and n.is_wanted
                and n.stage in (NodeStage.DOWNLOADING, NodeStage.DOWNLOADED)
            ),
        )

    def carry_out(self, actions: tuple[Action, ...], now_ms: int) -> None:
        by_number = {node.number: node for node in self.nodes}
        for action in actions:
            match action:
                case Offer(numbers):
                    for number in numbers:
                        node = by_number[number]
                        assert node.stage is NodeStage.QUEUED
                        node.attempts += 1
                        node.said = 0
                        node.is_wanted = True
                        self.offers.append((number, self.state))
                        self._move(node, NodeStage.OFFERED, now_ms)
                case TimeOut(numbers):
                    for number in numbers:
                        self._move(by_number[number], NodeStage.TIMED_OUT, now_ms)
                case AlreadyRuns(numbers):
                    for number in numbers:
                        self._move(by_number[number], NodeStage.CONFIRMED, now_ms)
                case CancelWaiting():
                    for node in self.nodes:
                        if node.stage in (NodeStage.QUEUED, NodeStage.OFFERED):
                            self._move(node, NodeStage.CANCELLED, now_ms)
                case TakeBack(numbers):
                    for number in numbers:
                        by_number[number].is_wanted = False
                case OpenWave(wave):
                    assert wave not in self.opened_at_ms
                    self.opened_at_ms[wave] = now_ms
                case NoteReached(wave):
                    self.reached_at_ms[wave] = now_ms
                case Conclude(state, _):
                    self.state = state
                case ReturnUpdated():
                    self.is_returning = True
                case Join():
                    raise AssertionError("nobody may join here")

    def let_nodes_speak(self, now_ms: int) -> None:
        for node in self.nodes:
            path = PATHS[node.path]
            if node.stage not in UNDER_WAY or node.said >= len(path):
                continue
            is_taken_back = node.stage is not NodeStage.TRIAL and not node.is_wanted
            told, node.said = path[node.said], node.said + 1
            if not is_taken_back:
                node.runs_release = told in (NodeStage.TRIAL, NodeStage.CONFIRMED)
            runs = int(node.runs_release)
            standing = Standing(
                node.stage, node.attempts, runs, 1, self.policy, is_taken_back=is_taken_back
            )
            move = move_after(standing, told, NO_WORDS)
            if move is not None:
                node.not_before_ms = now_ms + move.delay_ms
                self._move(node, move.stage, now_ms)

    def _move(self, node: ModelNode, stage: NodeStage, now_ms: int) -> None:
        node.stage, node.since_ms = stage, now_ms


policies = st.builds(
    lambda sizes, success, wait_s, **rest: Policy(
        waves=(
            *(Wave(nodes=size, success_percent=success, wait_s=wait_s) for size in sizes),
            Wave(),
        ),
        deadlines=DEADLINES,
        return_digest=b"good" if rest["on_failure"] is OnFailure.RETURN else b"",
        **rest,
    ),
    st.lists(st.integers(1, 6), max_size=3),
    st.integers(0, 100),
    st.sampled_from([0, 45]),
    concurrency=st.integers(1, 8),
    gateway_concurrency=st.integers(1, 4),
    max_failures=st.integers(1, 8),
    max_failure_percent=st.integers(1, 100),
    max_attempts=st.integers(1, 3),
    retry_s=st.integers(1, 60),
    on_failure=st.sampled_from(list(OnFailure)),
)


@st.composite
def models(draw: st.DrawFn, paths: tuple[str, ...] = tuple(PATHS)) -> Model:
    policy = draw(policies)
    drawn = draw(
        st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(paths)), min_size=1, max_size=20)
    )
    ends = wave_ends(len(drawn), policy.waves)
    nodes = [
        ModelNode(n + 1, next(w for w, end in enumerate(ends) if n < end), gateway, path)
        for n, (gateway, path) in enumerate(drawn)
    ]
    return Model(policy, nodes)


def run(model: Model, *, crashes: frozenset[int] = frozenset(), steps: int = 600) -> None:
    """Let the loop and the nodes go on; a crash loses what was decided but not stored."""
    now_ms = 0
    for step in range(steps):
        facts = model.facts(now_ms)
        actions = next_actions(now_ms, facts)
        check(facts, actions)
        if step not in crashes:
            model.carry_out(actions, now_ms)
            assert sum(n.stage in UNDER_WAY for n in model.nodes) <= max(
                model.policy.concurrency, sum(facts.under_way.values())
            )
        if not actions:
            is_done = model.state in OVER or model.state is RolloutState.PAUSED
            if is_done and all(n.stage not in UNDER_WAY for n in model.nodes):
                return
            model.let_nodes_speak(now_ms)
            now_ms += STEP_MS
    raise AssertionError(f"it does not come to an end: {model}")


def check(facts: RolloutFacts, actions: tuple[Action, ...]) -> None:
    """Insist on what holds for every single decision."""
    offers = [action for action in actions if isinstance(action, Offer)]
    if facts.state is not RolloutState.RUNNING:
        assert not offers
    if any(isinstance(action, Conclude) for action in actions):
        assert not offers
    gateway_of = {candidate.node_number: candidate.gateway_name for candidate in facts.candidates}
    busy = Counter(facts.under_way)
    for node in facts.overdue:
        busy[node.gateway_name] -= 1
    for offer in offers:
        for number in offer.node_numbers:
            busy[gateway_of[number]] += 1
            assert busy[gateway_of[number]] <= facts.policy.gateway_concurrency


@given(models(), st.frozensets(st.integers(0, 60)))
def test_every_rollout_ends_whatever_nodes_do_and_wherever_the_fleet_crashes(
    model: Model, crashes: frozenset[int]
) -> None:
    run(model, crashes=crashes)
    stages = Counter(node.stage for node in model.nodes)
    if model.state is RolloutState.FINISHED:
        assert sum(stages[stage] for stage in FINAL) == len(model.nodes)
    if model.state in OVER:
        assert not stages[NodeStage.QUEUED]
    else:
        assert model.policy.on_failure is OnFailure.PAUSE
    stopped = model.state is RolloutState.STOPPED
    assert model.is_returning == (stopped and model.policy.on_failure is OnFailure.RETURN)


@given(models(("good",)))
def test_rollout_finishes_when_all_nodes_answer(model: Model) -> None:
    run(model)
    assert model.state is RolloutState.FINISHED
    assert all(node.stage is NodeStage.CONFIRMED for node in model.nodes)


@given(models(), st.frozensets(st.integers(0, 60)))
def test_a_crash_changes_nothing_but_the_time(model: Model, crashes: frozenset[int]) -> None:
    """A lost decision is made again: nothing happens to a node because of the crash."""
    run(model, crashes=crashes)
    offers = Counter(number for number, _ in model.offers)
    for node in model.nodes:
        assert offers[node.number] == node.attempts <= model.policy.max_attempts
        if node.path == "rejects":
            assert offers[node.number] <= 1
        if node.stage is NodeStage.CONFIRMED:
            assert node.path == "good" or node.runs_release


@given(models(("never answers",)))
def test_silence_stops_a_rollout_in_bounded_time(model: Model) -> None:
    run(model, steps=60 + 8 * len(model.nodes))
    assert model.state is not RolloutState.RUNNING
    failed = sum(node.stage in UNSUCCESSFUL for node in model.nodes)
    # What was under way when the limit was reached also runs into its deadline.
    assert failed <= model.policy.max_failures - 1 + model.policy.concurrency


@given(models(), st.integers(0, 200_000))
def test_decisions_carried_out_are_not_made_again(model: Model, now_ms: int) -> None:
    for _ in range(40):
        actions = next_actions(now_ms, model.facts(now_ms))
        if not actions:
            return
        model.carry_out(actions, now_ms)
    raise AssertionError("it goes on deciding at one moment")


def test_node_on_trial_is_not_confirmed_because_it_runs_the_release() -> None:
    node = ModelNode(1, 0, "a", "dies on trial", NodeStage.TRIAL, runs_release=True)
    model = Model(Policy(deadlines=DEADLINES), [node], opened_at_ms={0: 0})
    assert next_actions(59_999, model.facts(59_999)) == ()
    assert next_actions(60_000, model.facts(60_000))[0] == AlreadyRuns((1,))


def test_what_was_begun_is_taken_back_when_a_rollout_is_over() -> None:
    policy = Policy(deadlines=DEADLINES)
    nodes = [
        ModelNode(number, 0, "a", "good", stage, is_wanted=True)
        for number, stage in enumerate((NodeStage.DOWNLOADING, NodeStage.DOWNLOADED, QUEUED, TRIAL))
    ]
    model = Model(policy, nodes, RolloutState.ABORTED, opened_at_ms={0: 0})
    actions = next_actions(0, model.facts(0))
    assert actions == (CancelWaiting(), TakeBack((0, 1)))
    model.carry_out(actions, 0)
    assert next_actions(0, model.facts(0)) == ()
    # What it runs decides, when the gateway has nothing in hand any more.
    for stage, runs, after in (
        (NodeStage.DOWNLOADING, 0, NodeStage.CANCELLED),
        (NodeStage.DOWNLOADED, 1, NodeStage.CONFIRMED),
        (NodeStage.CONFIRMED, 1, None),
    ):
        standing = Standing(stage, 1, runs, 1, policy, is_taken_back=True)
        move = move_after(standing, None, NO_WORDS)
        assert (move and move.stage) is after


def test_a_node_that_says_why_it_waits_moves_once_for_each_reason() -> None:
    told = NodeStage.DOWNLOADED
    standing = Standing(told, 1, 0, 1, Policy())
    assert move_after(standing, told, NO_WORDS) is None
    move = move_after(standing, told, Words.told("an emergency call is active"))
    assert move is not None
    assert move.stage is told
    waiting = replace(standing, reason=move.reason)
    assert move_after(waiting, told, Words.told("an emergency call is active")) is None
    assert move_after(waiting, told, NO_WORDS) == Move(told)


def test_confirmed_node_went_back_only_when_it_runs_something_older() -> None:
    def moved(running: int) -> NodeStage | None:
        move = move_after(Standing(NodeStage.CONFIRMED, 1, running, 5, Policy()), None, NO_WORDS)
        return None if move is None else move.stage

    assert [moved(4), moved(5), moved(6)] == [NodeStage.RETURNED, None, None]


def test_under_an_expired_trust_document_nothing_is_offered() -> None:
    nodes = [ModelNode(1, 0, "a", "good", TRIAL), ModelNode(2, 0, "a", "good")]
    model = Model(Policy(), nodes, opened_at_ms={0: 0})
    (paused,) = next_actions(0, replace(model.facts(0), expired_document=3))
    assert isinstance(paused, Conclude)
    assert paused.state is RolloutState.PAUSED
    assert "`poleward keys publish`" in str(paused.reason)
    # Nothing is left to offer: it goes on.
    model.nodes.pop()
    assert next_actions(0, replace(model.facts(0), expired_document=3)) == ()


def test_proposed_rollout_does_nothing() -> None:
    model = Model(Policy(), [ModelNode(1, 0, "a", "good")], RolloutState.PROPOSED)
    assert next_actions(0, model.facts(0)) == ()


@given(st.integers(0, 5_000), st.lists(st.integers(1, 100), max_size=5), st.integers(1, 50))
def test_waves_share_out_every_node_once(nodes: int, percents: list[int], canaries: int) -> None:
    waves = (Wave(nodes=canaries), *(Wave(percent=p) for p in percents), Wave())
    ends = wave_ends(nodes, waves)
    assert list(ends) == sorted(ends)
    assert ends[-1] == nodes
    assert ends[0] == min(canaries, nodes)


def test_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    # 2027-01-15 is a Friday; 17:30 UTC there is 01:30 on Saturday in Shanghai.
    policy = Policy(windows=(Window((4,), 23 * 60, 2 * 60),), time_zone="Asia/Shanghai")
    check_policy(policy)
    friday_1730_utc_ms = 1_800_034_200_000
    assert may_offer(policy, friday_1730_utc_ms)
    assert not may_offer(policy, friday_1730_utc_ms + 3_600_000)
    assert not may_offer(policy, friday_1730_utc_ms + 86_400_000)


@given(
    st.lists(
        st.builds(
            Window,
            st.sets(st.integers(0, 6), min_size=1).map(tuple),
            st.integers(0, 1439),
            st.integers(0, 1439),
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1_800_000_000, 1_800_700_000),
    st.integers(0, 13 * 86_400),
)
def test_gateways_are_told_of_the_times_in_which_windows_are_open(
    windows: list[Window], now_s: int, ahead_s: int
) -> None:
    policy = Policy(windows=tuple(windows), time_zone="Asia/Shanghai")
    told = openings(policy, now_s * 1000)
    at_s = now_s + ahead_s
    assert may_offer(policy, at_s * 1000) is any(o.from_s <= at_s < o.until_s for o in told)


def test_a_node_that_waits_for_its_window_is_not_silent() -> None:
    # Every night from 01:00 to 05:00 UTC; it has ten minutes to install.
    policy = Policy(windows=(Window(tuple(range(7)), 60, 300),))
    midnight_ms = 1_800_057_600_000
    counts = [must_have_installed(policy, midnight_ms + m * 60_000) for m in (30, 65, 71, 299, 301)]
    assert counts == [False, False, True, True, False]


HEALTHY = WaveHealth(
    wave=0,
    nodes=20,
    silent=0,
    reboots=0.0,
    before=HealthFigures(2, 20.0, 120.0, 0.6, 9.0),
    after=HealthFigures(2, 20.0, 118.0, 0.6, 9.0),
)


def test_worse_health_is_named() -> None:
    limits = HealthLimits()
    assert regression(HEALTHY, limits) is None
    worse = {
        "rebooted": replace(HEALTHY, reboots=1.5),
        "memory": replace(HEALTHY, after=replace(HEALTHY.after, memory_free_kib=60.0)),
        "alarms": replace(HEALTHY, after=replace(HEALTHY.after, alarms=9)),
        "draw": replace(HEALTHY, after=replace(HEALTHY.after, power_per_level=0.1)),
        "values": replace(HEALTHY, after=replace(HEALTHY.after, values_per_report=7.0)),
    }
    for word, health in worse.items():
        found = regression(health, limits)
        assert found is not None
        assert word in str(found)


def test_silence_after_the_update_and_bad_health_stop_a_rollout() -> None:
    nodes = [ModelNode(n, 0, "a", "good", NodeStage.CONFIRMED) for n in range(4)]
    waves = (Wave(nodes=4, wait_s=60), Wave())
    model = Model(Policy(waves=waves, max_failures=2), nodes, opened_at_ms={0: 0})
    for health in (replace(HEALTHY, silent=2), replace(HEALTHY, reboots=9.0)):
        (action,) = next_actions(0, replace(model.facts(0), health=health))
        assert isinstance(action, Conclude)
        assert action.state is RolloutState.STOPPED
