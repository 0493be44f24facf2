"""Which nodes a rollout takes, and who may see and change it."""

import pytest
from release_builders import publish
from rollout_rig import (
    CONFIRMED,
    EVERYWHERE,
    OFFERED,
    begin,
    confirm_offered,
    current,
    desired,
    offered,
    report,
    stages,
)

from fleet_rig import (
    ADMIN,
    CITY,
    DISTRICT,
    OTHER_DISTRICT,
    FakeClock,
    make_poles,
)
from poleward_fleet.adapters.sql.rollout_steps import JOIN_PERIOD_MS
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.errors import ConflictError, InvalidError, NotFoundError
from poleward_fleet.domain.rollout import NodeStage, RolloutState
from poleward_fleet.domain.rollout_policy import (
    Policy,
    Target,
    Wave,
)
from poleward_fleet.domain.rollout_views import WaitsFor
from poleward_fleet.services.gateways import GatewayLink


async def test_canaries_are_online_and_of_different_areas(fleet: Fleet, link: GatewayLink) -> None:
    await make_poles(fleet, 6)
    there = await make_poles(fleet, 3, first=11, area=OTHER_DISTRICT)
    release = await publish(fleet)
    heard = [2, 5, there[1]]
    for node in heard:
        await report(fleet, link, release, node, None, runs=1)
    would = await fleet.rollouts.dry_run(
        ADMIN, release.digest, EVERYWHERE, Policy(waves=(Wave(nodes=2), Wave()))
    )
    number = await begin(fleet, release, waves=(Wave(nodes=2), Wave()))
    canaries = await offered(fleet, number)
    assert len(canaries) == 2
    assert set(canaries) <= set(heard)
    assert there[1] in canaries
    codes = {node.pole_code for node in await fleet.rollouts.nodes(ADMIN, number, stages=[OFFERED])}
    assert set(would.canaries) == codes


async def test_nodes_that_match_later_join(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    await make_poles(fleet, 1)
    release = await publish(fleet)
    number = await begin(fleet, release, Target(area_code=CITY, also_later=True))
    await confirm_offered(fleet, link, release, number)
    assert (await current(fleet, number)).waits_for(clock.now) is WaitsFor.LATE_NODES
    later = await make_poles(fleet, 2, first=21, area=OTHER_DISTRICT)
    clock.pass_ms(JOIN_PERIOD_MS)
    await fleet.rollout_loop.reconcile()
    assert await offered(fleet, number) == later
    assert (await current(fleet, number)).state is RolloutState.RUNNING


async def test_node_that_ends_in_a_rollout_that_is_over_is_waited_for(
    fleet: Fleet, link: GatewayLink
) -> None:
    await make_poles(fleet, 2)
    older, newer = await publish(fleet, 2), await publish(fleet, 3)
    first = await begin(fleet, older)
    one, two = await offered(fleet, first)
    await report(fleet, link, older, one, NodeStage.TRIAL)
    await fleet.rollouts.abort(ADMIN, first)
    await fleet.rollout_loop.reconcile()
    second = await begin(fleet, newer)
    assert await offered(fleet, second) == [two]
    await report(fleet, link, older, one, NodeStage.RETURNED)
    await fleet.rollout_loop.reconcile()
    assert await offered(fleet, second) == [one, two]


async def test_newer_rollout_supersedes_all_but_what_is_on_trial(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    await make_poles(fleet, 4)
    older, newer = await publish(fleet, 2), await publish(fleet, 3)
    first = await begin(fleet, older, concurrency=3)
    tries, began, waits = await offered(fleet, first)
    await report(fleet, link, older, tries, NodeStage.TRIAL)
    await report(fleet, link, older, began, NodeStage.DOWNLOADING)
    with pytest.raises(ConflictError, match="supersede it"):
        await fleet.rollouts.create(ADMIN, newer.digest, EVERYWHERE, Policy())
    made = await fleet.rollouts.create(
        ADMIN, newer.digest, EVERYWHERE, Policy(), may_supersede=True
    )
    await fleet.rollout_loop.reconcile()
    assert (await current(fleet, first)).counts == {
        NodeStage.TRIAL: 1, NodeStage.SUPERSEDED: 3,
    }  # fmt: skip
    assert tries not in await offered(fleet, made.number)
    assert len(await offered(fleet, made.number)) == 3
    told = await desired(fleet, link)
    assert [told[node] for node in (tries, began, waits)] == [
        older.digest, newer.digest, newer.digest,
    ]  # fmt: skip
    await report(fleet, link, older, tries, CONFIRMED)
    await fleet.rollout_loop.reconcile()
    assert (await current(fleet, first)).state is RolloutState.FINISHED
    assert tries in await offered(fleet, made.number)


async def test_rollout_needs_nodes_and_takes_those_that_run_the_release_as_done(
    fleet: Fleet, link: GatewayLink
) -> None:
    await make_poles(fleet, 3)
    release = await publish(fleet)
    with pytest.raises(InvalidError, match="no node"):
        await fleet.rollouts.create(
            ADMIN, release.digest, Target(area_code=OTHER_DISTRICT), Policy()
        )
    with pytest.raises(NotFoundError, match="not published"):
        await fleet.rollouts.create(ADMIN, bytes(32), EVERYWHERE, Policy())
    with pytest.raises(InvalidError, match="P-99"):
        await fleet.rollouts.create(
            ADMIN, release.digest, Target(pole_codes=("P-1", "P-99")), Policy()
        )
    await report(fleet, link, release, 1, None, runs=release.sequence)
    await report(fleet, link, release, 2, None, runs=release.sequence + 1)
    would = await fleet.rollouts.dry_run(ADMIN, release.digest, EVERYWHERE, Policy())
    assert (would.wave_nodes, would.run_already, would.run_newer) == ((1,), 1, 1)
    assert [(load.gateway_name, load.nodes) for load in would.links] == [("gw-1", 1)]
    number = await begin(fleet, release)
    assert await stages(fleet, number) == [CONFIRMED, OFFERED]


async def test_target_of_named_poles_and_labels(fleet: Fleet, link: GatewayLink) -> None:
    await make_poles(fleet, 4)
    release = await publish(fleet)
    await fleet.labels.change(ADMIN, ["P-1", "P-2"], add=["night"])
    await fleet.labels.change(ADMIN, ["P-2"], add=["old-lamp"])
    target = Target(labels=("night", "old-lamp"))
    would = await fleet.rollouts.dry_run(ADMIN, release.digest, target, Policy())
    assert would.canaries == ("P-2",)
    number = await begin(fleet, release, Target(pole_codes=("P-3", "P-4")))
    assert await offered(fleet, number) == [3, 4]


async def test_people_see_and_change_only_what_is_in_their_area(
    fleet: Fleet, link: GatewayLink
) -> None:
    await make_poles(fleet, 2)
    await make_poles(fleet, 1, first=11, area=OTHER_DISTRICT)
    release = await publish(fleet)
    number = await begin(fleet, release)
    here = Principal("here", frozenset({Role.RELEASE_MANAGER}), DISTRICT)
    empty = Principal("empty", frozenset({Role.RELEASE_MANAGER}), OTHER_DISTRICT)
    assert (await fleet.rollouts.rollout(here, number)).counts == {OFFERED: 2}
    assert len(await fleet.rollouts.nodes(empty, number)) == 1
    with pytest.raises(ConflictError, match="beyond your area"):
        await fleet.rollouts.abort(here, number)
    await fleet.rollouts.abort(ADMIN, number)
    await fleet.rollout_loop.reconcile()
    own = await fleet.rollouts.create(here, release.digest, EVERYWHERE, Policy())
    assert own.target.area_code == DISTRICT
    assert [r.number for r in await fleet.rollouts.rollouts(empty)] == [number]
    with pytest.raises(NotFoundError):
        await fleet.rollouts.rollout(empty, own.number)
    assert (await fleet.rollouts.abort(here, own.number)).state is RolloutState.ABORTED
