"""Lives of nodes: which steps are possible, what they do to keys, who may take them."""

import itertools

import pytest

from fleet_rig import (
    ADMIN,
    DISTRICT,
    OTHER_DISTRICT,
    FakeClock,
    hello,
    make_gateway,
    make_poles,
    manufactured,
)
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.approvals import ApprovalNeededError
from poleward_fleet.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from poleward_fleet.domain.gateway_link import NodeState
from poleward_fleet.domain.identity import DesiredNode, NodeTask
from poleward_fleet.domain.inventory import LifeState, LinkState
from poleward_fleet.domain.life_cycle import (
    ALONE_AT_MOST,
    CLONED_EVENT,
    DECOMMISSION_WINDOW_MS,
    RULES,
    WIPED_EVENT,
    Keys,
    Step,
    transition,
)
from poleward_fleet.domain.telemetry import NodeEvent, Severity

OFFICER = Principal("officer", frozenset({Role.SECURITY_OFFICER}))
TECHNICIAN = Principal("technician", frozenset({Role.TECHNICIAN}))


def event(number: int, kind: str) -> NodeEvent:
    return NodeEvent(number, 1, 1, 1, kind, Severity.CRITICAL)


async def desired(fleet: Fleet, gateway: str = "gw-1", after: int = 0) -> dict[int, DesiredNode]:
    state = await fleet.links._nodes.desired_state(gateway, after)
    return {node.node_number: node for node in state.nodes}


def test_each_pair_of_state_and_step_either_has_a_rule_or_is_refused() -> None:
    for step, state in itertools.product(Step, LifeState):
        if state in RULES[step].sources:
            after = transition(step, state, name="x", stands_in_pole=False)
            assert after.before is state
        else:
            with pytest.raises(ConflictError, match="is possible for"):
                transition(step, state, name="x", stands_in_pole=False)


def test_nothing_leads_out_of_decommissioned_and_everything_leads_there() -> None:
    assert not any(LifeState.DECOMMISSIONED in rule.sources for rule in RULES.values())
    assert RULES[Step.DECOMMISSION].sources == set(LifeState) - {LifeState.DECOMMISSIONED}


@pytest.mark.parametrize("step", Step)
def test_only_a_working_node_keeps_living_keys(step: Step) -> None:
    working = {LifeState.CLAIMED, LifeState.COMMISSIONED, LifeState.IN_SERVICE}
    for state in RULES[step].sources:
        for stands in (True, False):
            after = transition(step, state, name="x", stands_in_pole=stands)
            assert (after.keys in (Keys.KEPT, Keys.FRESH)) is (after.after in working)


async def test_node_goes_from_the_factory_into_service(fleet: Fleet) -> None:
    await make_gateway(fleet)
    await make_poles(fleet, 1)
    await fleet.provisioning.import_nodes(ADMIN, [manufactured(2)])
    number = await fleet.provisioning.claim(
        TECHNICIAN, mac=manufactured(2).mac, claim_code="cla im-2", pole_code="P-1", swap=True
    )
    assert (await fleet.lives.node(ADMIN, str(number))).life_state is LifeState.CLAIMED
    online = [NodeState(number, LinkState.ONLINE, 5)]
    await fleet.links._nodes.apply_states("gw-1", online)
    assert (await fleet.lives.node(ADMIN, str(number))).life_state is LifeState.CLAIMED
    await fleet.lives.take_step(TECHNICIAN, Step.COMMISSION, [manufactured(2).mac])
    await fleet.links._nodes.apply_states("gw-1", online)
    assert (await fleet.lives.node(ADMIN, str(number))).life_state is LifeState.IN_SERVICE
    actions = [record.entry.action for record in await fleet.audit.records(ADMIN, limit=3)]
    assert actions == ["node.serve", "node.commission", "node.claim"]


async def test_rotated_node_gets_other_keys_at_the_same_gateway(fleet: Fleet) -> None:
    await make_gateway(fleet)
    (number,) = await make_poles(fleet, 1)
    before = (await desired(fleet))[number].operational
    await fleet.lives.take_step(OFFICER, Step.ROTATE, [str(number)])
    after = (await desired(fleet))[number].operational
    assert before is not None
    assert after is not None
    assert before.master_secret != after.master_secret
    assert before.node_id == after.node_id


async def test_moved_node_is_handed_over_and_then_forgotten(fleet: Fleet) -> None:
    await make_gateway(fleet, "gw-1")
    await make_gateway(fleet, "gw-2")
    (number,) = await make_poles(fleet, 1)
    await fleet.links.open("gw-2", hello())
    with pytest.raises(ConflictError, match="served by gw-1 already"):
        await fleet.lives.take_step(ADMIN, Step.MOVE, [str(number)], gateway_name="gw-1")
    await fleet.lives.take_step(ADMIN, Step.MOVE, [str(number)], gateway_name="gw-2")
    old, new = (await desired(fleet))[number], (await desired(fleet, "gw-2"))[number]
    assert (old.task, old.gateway_uri) == (NodeTask.HAND_OVER, "coap://127.0.0.1:5683")
    assert (new.task, new.gateway_uri) == (NodeTask.SERVE, "")
    assert old.operational == new.operational
    applied = await fleet.links._nodes.apply_states(
        "gw-2", [NodeState(number, LinkState.ONLINE, 5)]
    )
    assert applied.gateways == {"gw-1"}
    assert await desired(fleet) == {}


@pytest.mark.parametrize("step", [Step.LOSE, Step.DECOMMISSION])
async def test_node_taken_out_is_wiped_and_its_pole_is_free(fleet: Fleet, step: Step) -> None:
    await make_gateway(fleet)
    (number,) = await make_poles(fleet, 1)
    await fleet.lives.take_step(ADMIN, step, [str(number)], reason="knocked down")
    left = (await desired(fleet))[number]
    assert (left.task, left.bootstrap) == (NodeTask.WIPE, None)
    assert left.operational is not None
    node = await fleet.lives.node(ADMIN, str(number))
    assert (node.pole_code, node.gateway_name, node.life_reason) == ("", "", "knocked down")
    await fleet.lives.take_events("gw-1", [event(number, WIPED_EVENT)])
    assert await desired(fleet) == {}


async def test_clone_is_quarantined_by_its_own_gateway_only(fleet: Fleet) -> None:
    await make_gateway(fleet, "gw-1")
    await make_gateway(fleet, "gw-2")
    (number,) = await make_poles(fleet, 1)
    await fleet.lives.take_events("gw-2", [event(number, CLONED_EVENT)])
    assert (await fleet.lives.node(ADMIN, str(number))).life_state is LifeState.COMMISSIONED
    for _ in range(2):
        await fleet.lives.take_events("gw-1", [event(number, CLONED_EVENT)])
    node = await fleet.lives.node(ADMIN, str(number))
    assert (node.life_state, node.pole_code) == (LifeState.QUARANTINED, "P-1")
    assert await desired(fleet) == {}
    with pytest.raises(ForbiddenError):
        await fleet.lives.take_step(TECHNICIAN, Step.RELEASE, [str(number)])
    (released,) = await fleet.lives.take_step(OFFICER, Step.RELEASE, [str(number)])
    assert released.life_state is LifeState.COMMISSIONED
    assert (await desired(fleet))[number].task is NodeTask.SERVE


async def test_one_person_takes_few_nodes_out_of_service(fleet: Fleet, clock: FakeClock) -> None:
    await make_gateway(fleet)
    numbers = await make_poles(fleet, ALONE_AT_MOST + 2)
    names = [str(number) for number in numbers]
    with pytest.raises(ApprovalNeededError, match="second person"):
        await fleet.lives.take_step(ADMIN, Step.DECOMMISSION, names)
    assert len(await desired(fleet)) == len(numbers), "nothing was changed"
    await fleet.lives.take_step(ADMIN, Step.DECOMMISSION, names[:ALONE_AT_MOST])
    with pytest.raises(ApprovalNeededError, match="second person") as needed:
        await fleet.lives.take_step(ADMIN, Step.DECOMMISSION, names[-1:])
    await fleet.approvals.approve(OFFICER, needed.value.approval.number)
    await fleet.lives.take_step(ADMIN, Step.DECOMMISSION, names[-1:])
    clock.pass_ms(DECOMMISSION_WINDOW_MS + 1)
    await fleet.lives.take_step(ADMIN, Step.DECOMMISSION, names[-2:-1])


async def test_steps_end_at_the_area_and_change_nothing_when_one_is_wrong(fleet: Fleet) -> None:
    await make_gateway(fleet)
    inside, outside = (
        await make_poles(fleet, 1),
        await make_poles(fleet, 1, first=9, area=OTHER_DISTRICT),
    )
    local = Principal("local", frozenset({Role.ADMINISTRATOR}), DISTRICT)
    with pytest.raises(NotFoundError):
        await fleet.lives.take_step(local, Step.LOSE, [str(inside[0]), str(outside[0])])
    with pytest.raises(InvalidError):
        await fleet.lives.take_step(local, Step.CLAIM, [str(inside[0])])
    with pytest.raises(NotFoundError, match="gateway nowhere"):
        await fleet.lives.take_step(local, Step.MOVE, [str(inside[0])], gateway_name="nowhere")
    assert (await fleet.lives.node(local, str(inside[0]))).pole_code == "P-1"
    # A node that left its pole has left the area too; who took it out still sees what became of it.
    (lost,) = await fleet.lives.take_step(local, Step.LOSE, [str(inside[0])])
    assert lost.life_state is LifeState.LOST
    with pytest.raises(NotFoundError):
        await fleet.lives.node(local, str(inside[0]))


async def test_nearest_gateway_serves_when_none_is_named(fleet: Fleet) -> None:
    await make_gateway(fleet, "gw-city", "330100000000")
    await make_gateway(fleet, "gw-1", DISTRICT)
    (number,) = await make_poles(fleet, 1, gateway="")
    (other,) = await make_poles(fleet, 1, gateway="", first=5, area=OTHER_DISTRICT)
    assert (await fleet.lives.node(ADMIN, str(number))).gateway_name == "gw-1"
    assert (await fleet.lives.node(ADMIN, str(other))).gateway_name == "gw-city"


async def test_replaced_gateway_loses_its_nodes_to_its_successor(fleet: Fleet) -> None:
    await make_gateway(fleet, "gw-1")
    await make_gateway(fleet, "gw-2")
    working, guarded = await make_poles(fleet, 2)
    await fleet.lives.take_step(ADMIN, Step.QUARANTINE, [str(guarded)])
    before = (await desired(fleet))[working].operational
    assert await fleet.enrollment.replace(ADMIN, "gw-1", "gw-2") == 1
    assert await fleet.enrollment.replace(ADMIN, "gw-1", "gw-2") == 0, "it was done"
    assert await desired(fleet) == {}
    after = (await desired(fleet, "gw-2"))[working]
    assert after.task is NodeTask.SERVE
    assert before is not None
    assert after.operational is not None
    assert after.operational.master_secret != before.master_secret, "the old gateway knows them"
    await fleet.lives.take_step(ADMIN, Step.RELEASE, [str(guarded)])
    assert set(await desired(fleet, "gw-2")) == {working, guarded}
    with pytest.raises(NotFoundError, match="was revoked"):
        await fleet.lives.take_step(ADMIN, Step.MOVE, [str(working)], gateway_name="gw-1")
