"""Rules without I/O: pole status, rates, audit chain, permissions, rollout decisions."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward_fleet.domain.accounts import Permission, Principal, Role
from poleward_fleet.domain.audit import AuditEntry, AuditRecord, chain_digest, first_broken
from poleward_fleet.domain.errors import ForbiddenError, InvalidError
from poleward_fleet.domain.identity import check_gateway_name, operational_sender_id
from poleward_fleet.domain.inventory import LinkState, PoleMarker, PoleStatus, pole_status, totals
from poleward_fleet.domain.metrics import METRICS, metric_named
from poleward_fleet.domain.rollout import (
    FINAL,
    STAGE_TIMEOUT_MS,
    UNDER_WAY,
    UNSUCCESSFUL,
    Action,
    AlreadyRuns,
    Cancel,
    Conclude,
    NodeFact,
    NodeStage,
    Offer,
    RolloutFacts,
    RolloutState,
    TimeOut,
    next_actions,
)


def status(
    link: LinkState | None,
    level: float | None = None,
    power: float | None = None,
    *,
    heard: int = 1,
    failed: bool = False,
) -> PoleStatus:
    return pole_status(
        link,
        heard_at_ms=heard,
        level_percent=level,
        power_w=power,
        nominal_w=60,
        lamp_failed=failed,
    )


def test_status_follows_link_level_and_power() -> None:
    online = LinkState.ONLINE
    assert status(None) is PoleStatus.NO_NODE
    assert status(online, 50, 30, heard=0) is PoleStatus.WAITING
    assert status(LinkState.BOOTSTRAPPED) is PoleStatus.WAITING
    assert status(LinkState.SILENT, 50, 30) is PoleStatus.SILENT
    assert status(LinkState.OFFLINE, 50, 30) is PoleStatus.OFFLINE
    assert status(online, 0, 0.3) is PoleStatus.DARK
    assert status(online) is PoleStatus.DARK
    assert status(online, 50, 29) is PoleStatus.LIT
    assert status(online, 50, None) is PoleStatus.LIT
    assert status(online, 50, 0.4) is PoleStatus.FAULT
    assert status(online, 50, 29, failed=True) is PoleStatus.FAULT


def marker(state: PoleStatus, level: float | None) -> PoleMarker:
    return PoleMarker("P", "1", 0, 0, state, level, None, 1)


def test_rates_count_what_the_trade_counts() -> None:
    found = totals(
        [
            marker(PoleStatus.LIT, 80),
            marker(PoleStatus.LIT, 80),
            marker(PoleStatus.FAULT, 80),
            marker(PoleStatus.DARK, 0),
            marker(PoleStatus.SILENT, 80),
            marker(PoleStatus.NO_NODE, None),
        ]
    )
    assert found.online_rate == 4 / 5
    assert found.lit_rate == 2 / 4
    assert totals([]).online_rate is None
    assert totals([marker(PoleStatus.DARK, 0)]).lit_rate is None


def test_audit_chain_breaks_where_a_record_was_altered() -> None:
    records: list[AuditRecord] = []
    digest = bytes(32)
    for number in range(1, 6):
        entry = AuditEntry("admin", "lamp.set", f"P-{number}", (("level", "1"),))
        digest = chain_digest(digest, number, entry)
        records.append(AuditRecord(number, number, entry, digest))
    assert first_broken(records) is None
    altered = replace(records[2], entry=replace(records[2].entry, actor="somebody"))
    assert first_broken([*records[:2], altered, *records[3:]]) == 3
    assert first_broken([*records[:2], *records[3:]]) == 4


def test_roles_deny_by_default() -> None:
    viewer = Principal("v", frozenset({Role.VIEWER}))
    viewer.require(Permission.SEE)
    with pytest.raises(ForbiddenError, match="operator"):
        viewer.require(Permission.COMMAND)
    assert not Principal("nobody", frozenset()).may(Permission.SEE)
    assert all(Principal("a", frozenset({Role.ADMINISTRATOR})).may(p) for p in Permission)


@pytest.mark.parametrize(
    ("number", "sender_id"), [(1, "01"), (255, "ff"), (256, "0100"), (70000, "011170")]
)
def test_sender_id_is_the_number_big_endian_and_minimal(number: int, sender_id: str) -> None:
    assert operational_sender_id(number).hex() == sender_id


@pytest.mark.parametrize("name", ["", "GW", "-a", "a b", "a" * 64, "ä", "a\n"])
def test_gateway_names_fit_certificates(name: str) -> None:
    with pytest.raises(InvalidError):
        check_gateway_name(name)


def test_every_metric_has_a_name_in_both_languages() -> None:
    assert all(metric.label_en and metric.label_zh for metric in METRICS.values())
    assert metric_named("new.thing_x").label_en == "new.thing_x"


_nodes = st.lists(
    st.tuples(st.sampled_from(list(NodeStage)), st.integers(0, 4_000_000), st.booleans()),
    max_size=30,
)
_facts = st.builds(
    lambda state, concurrency, max_failures, nodes: RolloutFacts(
        state,
        concurrency,
        max_failures,
        tuple(NodeFact(n + 1, *node) for n, node in enumerate(nodes)),
    ),
    st.sampled_from(list(RolloutState)),
    st.integers(1, 10),
    st.integers(1, 10),
    _nodes,
)


def carried_out(facts: RolloutFacts, actions: tuple[Action, ...], now_ms: int) -> RolloutFacts:
    """Do to the facts what the store does to the database."""
    stages = {n.node_number: n.stage for n in facts.nodes}
    state = facts.state
    for action in actions:
        match action:
            case Offer(nodes):
                stages.update(dict.fromkeys(nodes, NodeStage.OFFERED))
            case TimeOut(nodes):
                stages.update(dict.fromkeys(nodes, NodeStage.TIMED_OUT))
            case AlreadyRuns(nodes):
                stages.update(dict.fromkeys(nodes, NodeStage.CONFIRMED))
            case Cancel(nodes):
                stages.update(dict.fromkeys(nodes, NodeStage.CANCELLED))
            case Conclude(state, _):
                pass
    nodes_after = tuple(
        n
        if stages[n.node_number] is n.stage
        else replace(n, stage=stages[n.node_number], since_ms=now_ms)
        for n in facts.nodes
    )
    return replace(facts, state=state, nodes=nodes_after)


@given(_facts, st.integers(0, 4_000_000))
def test_steps_never_exceed_concurrency_and_never_touch_final_nodes(
    facts: RolloutFacts, now_ms: int
) -> None:
    actions = next_actions(now_ms, facts)
    after = carried_out(facts, actions, now_ms)
    under_way = sum(n.stage in UNDER_WAY for n in after.nodes)
    before = sum(n.stage in UNDER_WAY for n in facts.nodes)
    assert under_way <= max(facts.concurrency, before)
    for old, new in zip(facts.nodes, after.nodes, strict=True):
        if old.stage in FINAL:
            assert new.stage is old.stage
    if facts.state is not RolloutState.RUNNING:
        assert not any(isinstance(action, Offer) for action in actions)


@given(_facts, st.integers(0, 4_000_000))
def test_steps_done_are_not_asked_for_again(facts: RolloutFacts, now_ms: int) -> None:
    for _ in range(4):
        actions = next_actions(now_ms, facts)
        if not actions:
            break
        facts = carried_out(facts, actions, now_ms)
    assert next_actions(now_ms, facts) == ()


@given(_facts, st.integers(0, 4_000_000))
def test_rollout_with_too_many_failures_stops(facts: RolloutFacts, now_ms: int) -> None:
    failures = sum(n.stage in UNSUCCESSFUL for n in facts.nodes)
    after = carried_out(facts, next_actions(now_ms, facts), now_ms)
    if facts.state is RolloutState.RUNNING and failures >= facts.max_failures:
        assert after.state is RolloutState.STOPPED
        assert not any(n.stage is NodeStage.QUEUED for n in after.nodes)


def test_node_on_trial_is_not_confirmed_because_it_runs_the_release() -> None:
    limit_ms = STAGE_TIMEOUT_MS[NodeStage.TRIAL]

    def decided(stage: NodeStage, now_ms: int) -> tuple[Action, ...]:
        node = NodeFact(1, stage, 0, runs_release=True)
        return next_actions(now_ms, RolloutFacts(RolloutState.RUNNING, 1, 1, (node,)))

    assert decided(NodeStage.TRIAL, limit_ms - 1) == ()
    assert decided(NodeStage.TRIAL, limit_ms)[0] == AlreadyRuns((1,))
    assert decided(NodeStage.QUEUED, 0)[0] == AlreadyRuns((1,))


@given(_facts.filter(lambda facts: facts.state is RolloutState.RUNNING))
def test_running_rollout_ends_even_when_every_node_is_silent(facts: RolloutFacts) -> None:
    now_ms = 4_000_000
    for _ in range(len(facts.nodes) + 2):
        facts = carried_out(facts, next_actions(now_ms, facts), now_ms)
        if facts.state is not RolloutState.RUNNING:
            break
        now_ms += max(STAGE_TIMEOUT_MS.values())
    assert facts.state in (RolloutState.FINISHED, RolloutState.STOPPED)
