"""Directives go down with what nodes should run, once a document names a key of the fleet's."""

import pytest
from release_builders import ROOT, make_key, public, publish, publish_document
from rollout_rig import CONFIRMED, begin, report, stages

from fleet_rig import ADMIN, FakeClock, make_poles, manufactured
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.alarms import AlarmKind
from poleward_fleet.domain.directives import HOLDS_MS
from poleward_fleet.domain.errors import ConflictError
from poleward_fleet.domain.gateway_link import NodeState, NodeUpdate
from poleward_fleet.domain.inventory import LinkState
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import NodeStage
from poleward_fleet.domain.rollout_policy import StageDeadlines
from poleward_fleet.services.gateways import GatewayLink
from poleward_manifest import directive

LONG = StageDeadlines(*[30 * 86_400] * 4)


async def directives(fleet: Fleet, after_revision: int = 0) -> dict[int, bytes]:
    state = await fleet.links._nodes.desired_state("gw-1", after_revision)
    return {node.node_number: node.release.directive for node in state.nodes}


async def revision(fleet: Fleet) -> int:
    return (await fleet.links._nodes.desired_state("gw-1", 0)).revision


def read(signed: bytes, key: bytes, release: Release, number: int) -> directive.Directive:
    node = f"node:{manufactured(number).mac}"
    return directive.verify(signed, [key], 1, release=release.digest, subject=node)


async def test_a_node_is_directed_until_it_runs_the_release(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    one, two = await make_poles(fleet, 2)
    release = await publish(fleet)
    number = await begin(fleet, release)
    assert await directives(fleet) == {one: b"", two: b""}
    key = await make_key(fleet)
    before = await revision(fleet)
    await publish_document(fleet, 1, key)
    # Who was told without a directive is told again.
    found = await directives(fleet, before)
    assert found == await directives(fleet)
    for node in (one, two):
        said = read(found[node], key, release, node)
        assert said.rollout == str(number)
        assert said.holds(clock.now_ms() // 1000)
        assert said.not_after_s == (clock.now_ms() + HOLDS_MS) // 1000
    await report(fleet, link, release, one, CONFIRMED)
    assert await directives(fleet) == {one: b"", two: found[two]}


async def test_a_document_that_names_foreign_directive_keys_only_is_refused(fleet: Fleet) -> None:
    await publish(fleet)
    with pytest.raises(ConflictError, match="has 0 of them"):
        await publish_document(fleet, 1, public(ROOT))
    await publish_document(fleet, 1, public(ROOT), await make_key(fleet))


async def test_the_older_key_signs_until_a_document_drops_it(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    (node,) = await make_poles(fleet, 1)
    release = await publish(fleet)
    await begin(fleet, release)
    await fleet.trust.make_first_directive_key()
    await fleet.trust.make_first_directive_key()
    (first,) = (await fleet.trust.trust(ADMIN)).directive_keys
    clock.pass_ms(1)
    second = await make_key(fleet)
    old = first.public_key
    steps = (((old,), old), ((second, old), old), ((second,), second))
    for version, (named, signs) in enumerate(steps, start=1):
        await publish_document(fleet, version, *named)
        assert (await fleet.trust.trust(ADMIN)).directors == (signs,)
        read((await directives(fleet))[node], signs, release, node)


async def test_a_directive_is_made_anew_when_half_of_it_is_over(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    (node,) = await make_poles(fleet, 1)
    release = await publish(fleet)
    key = await make_key(fleet)
    await publish_document(fleet, 1, key)
    await begin(fleet, release, deadlines=LONG)
    first = (await directives(fleet))[node]
    await fleet.rollout_loop.reconcile()
    before = await revision(fleet)
    clock.pass_ms(HOLDS_MS // 2)
    await fleet.rollout_loop.reconcile()
    assert await revision(fleet) == before
    clock.pass_ms(3_600_000)
    await fleet.rollout_loop.reconcile()
    (second,) = (await directives(fleet, before)).values()
    ends = [read(signed, key, release, node).not_after_s for signed in (first, second)]
    assert ends[1] - ends[0] == HOLDS_MS // 2000 + 3600


async def test_a_frozen_update_raises_an_alarm_until_a_fresh_directive_is_followed(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    (node,) = await make_poles(fleet, 1)
    release = await publish(fleet)
    key = await make_key(fleet)
    await publish_document(fleet, 1, key)
    number = await begin(fleet, release)
    stale = (await directives(fleet))[node]
    update = NodeUpdate(release.digest, NodeStage.FAILED, "it is over", is_frozen=True)
    state = NodeState(node, LinkState.ONLINE, heard_at_ms=1, update=update)
    await fleet.ingest.states(link, [state])
    (alarm,) = await fleet.alarms.alarms(ADMIN)
    assert (alarm.kind, alarm.node_number) == (AlarmKind.UPDATE_FROZEN, node)
    assert await stages(fleet, number) == [NodeStage.QUEUED]
    (again,) = await fleet.rollouts.reasons(ADMIN, number)
    assert (again.stage, again.nodes, again.reason.says("frozen")) == (NodeStage.QUEUED, 1, True)
    clock.pass_ms(600_000)
    await fleet.rollout_loop.reconcile()
    fresh = (await directives(fleet))[node]
    assert read(fresh, key, release, node).not_after_s > read(stale, key, release, node).not_after_s
    assert not await fleet.rollouts.reasons(ADMIN, number)
    await report(fleet, link, release, node, NodeStage.DOWNLOADING)
    assert await fleet.alarms.alarms(ADMIN)
    await report(fleet, link, release, node, NodeStage.DOWNLOADED)
    assert not await fleet.alarms.alarms(ADMIN)


async def test_the_alarm_of_a_frozen_update_ends_with_its_rollout(
    fleet: Fleet, link: GatewayLink
) -> None:
    (node,) = await make_poles(fleet, 1)
    release = await publish(fleet)
    number = await begin(fleet, release)
    update = NodeUpdate(release.digest, NodeStage.FAILED, "it is over", is_frozen=True)
    await fleet.ingest.states(link, [NodeState(node, LinkState.ONLINE, 1, update=update)])
    await fleet.alarms.end_frozen()
    assert await fleet.alarms.alarms(ADMIN)
    await fleet.rollouts.abort(ADMIN, number)
    await fleet.alarms.end_frozen()
    assert not await fleet.alarms.alarms(ADMIN)
