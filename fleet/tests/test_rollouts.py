"""Rollouts reach nodes wave by wave, in their windows, with the people they need."""

import pytest
from release_builders import publish
from rollout_rig import (
    CONFIRMED,
    DEADLINES,
    MANAGER,
    OFFERED,
    QUEUED,
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
    FakeClock,
    make_gateway,
    make_poles,
)
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.errors import ConflictError, ForbiddenError
from poleward_fleet.domain.rollout import NodeStage, RolloutState
from poleward_fleet.domain.rollout_policy import (
    Opening,
    Wave,
    Window,
)
from poleward_fleet.domain.rollout_views import WaitsFor
from poleward_fleet.services.gateways import GatewayLink


async def test_rollout_offers_within_its_limits_and_finishes(
    fleet: Fleet, link: GatewayLink
) -> None:
    nodes = await make_poles(fleet, 3)
    release = await publish(fleet)
    number = await begin(fleet, release, concurrency=2)
    first = await offered(fleet, number)
    assert len(first) == 2
    told = await desired(fleet, link)
    assert {n for n in nodes if told[n] == release.digest} == set(first)
    for stage in (NodeStage.DOWNLOADING, NodeStage.TRIAL, CONFIRMED):
        await report(fleet, link, release, first[0], stage)
    await fleet.rollout_loop.reconcile()
    assert (await current(fleet, number)).counts == {OFFERED: 2, CONFIRMED: 1}
    await confirm_offered(fleet, link, release, number)
    finished = await current(fleet, number)
    assert finished.state is RolloutState.FINISHED
    assert str(finished.reason) == "3 of 3 run it"
    # Also nodes that moved in the same moment stand on one page each.
    pages = [await fleet.rollouts.nodes(ADMIN, number, skip=at, many=1) for at in range(4)]
    assert sorted(node.node_number for page in pages for node in page) == sorted(nodes)
    assert finished.waits_for(0) is WaitsFor.NOTHING
    await fleet.rollout_loop.reconcile()


async def test_one_gateway_is_not_asked_for_more_than_its_share(
    fleet: Fleet, link: GatewayLink
) -> None:
    await make_gateway(fleet, "gw-2")
    here = set(await make_poles(fleet, 3))
    await make_poles(fleet, 3, gateway="gw-2", first=11)
    number = await begin(fleet, await publish(fleet), gateway_concurrency=1)
    found = await offered(fleet, number)
    assert len(found) == 2
    assert len(here.intersection(found)) == 1


async def test_next_wave_waits_for_success_time_and_a_person(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    await make_poles(fleet, 6)
    release = await publish(fleet)
    waves = (Wave(nodes=1, wait_s=60), Wave(percent=50, needs_approval=True), Wave())
    number = await begin(fleet, release, waves=waves)
    assert len(await confirm_offered(fleet, link, release, number)) == 1
    assert await offered(fleet, number) == []
    assert (await current(fleet, number)).waits_for(clock.now) is WaitsFor.TIME
    clock.pass_ms(60_000)
    await fleet.rollout_loop.reconcile()
    assert len(await confirm_offered(fleet, link, release, number)) == 3
    assert (await current(fleet, number)).waits_for(clock.now) is WaitsFor.APPROVAL
    await fleet.rollouts.approve(ADMIN, number)
    await fleet.rollout_loop.reconcile()
    assert len(await confirm_offered(fleet, link, release, number)) == 2
    assert (await current(fleet, number)).state is RolloutState.FINISHED


async def test_a_rollout_says_that_its_patches_are_still_made(
    fleet: Fleet, link: GatewayLink
) -> None:
    await make_poles(fleet, 1)
    await publish(fleet, 1)
    release = await publish(fleet, 2)
    number = await begin(fleet, release)
    assert (await current(fleet, number)).waits_for(0) is WaitsFor.NODES
    # The gateway asks for it before it offers anything; nobody makes it here.
    await fleet.patches.patch(release.digest, release.bundle_digest, 1)
    waiting = await current(fleet, number)
    assert (waiting.waits_for(0), waiting.patches_in_work) == (WaitsFor.PATCHES, 1)
    await report(fleet, link, release, 1, NodeStage.DOWNLOADING)
    assert (await current(fleet, number)).waits_for(0) is WaitsFor.NODES


async def test_failure_on_the_way_is_tried_again_later_and_a_rejection_never(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    await make_poles(fleet, 2)
    release = await publish(fleet)
    number = await begin(fleet, release, max_attempts=2, retry_s=60, max_failures=5)
    one, two = await offered(fleet, number)
    await report(fleet, link, release, one, NodeStage.FAILED, "link lost")
    await report(fleet, link, release, two, NodeStage.REJECTED, "too big")
    await fleet.rollout_loop.reconcile()
    assert await stages(fleet, number) == [QUEUED, NodeStage.REJECTED]
    again = (await fleet.rollouts.nodes(ADMIN, number, stages=[QUEUED]))[0]
    assert str(again.reason) == "link lost; it is asked again"
    assert (await desired(fleet, link))[one] == b""
    clock.pass_ms(60_000)
    await fleet.rollout_loop.reconcile()
    assert await offered(fleet, number) == [one]
    await report(fleet, link, release, one, NodeStage.FAILED, "link lost")
    assert await stages(fleet, number) == [NodeStage.FAILED, NodeStage.REJECTED]


async def test_confirmed_is_believed_only_of_a_node_that_runs_the_release(
    fleet: Fleet, link: GatewayLink
) -> None:
    await make_poles(fleet, 2)
    release = await publish(fleet)
    number = await begin(fleet, release, max_failures=5)
    await report(fleet, link, release, 1, CONFIRMED, runs=1)
    assert await stages(fleet, number) == [OFFERED, OFFERED]
    await report(fleet, link, release, 1, CONFIRMED)
    await report(fleet, link, release, 1, CONFIRMED, runs=1)
    assert await stages(fleet, number) == [NodeStage.RETURNED, OFFERED]
    assert "release 1 again" in str((await fleet.rollouts.nodes(ADMIN, number))[0].reason)


async def test_paused_rollout_offers_nothing_and_ends_when_aborted(
    fleet: Fleet, link: GatewayLink
) -> None:
    await make_poles(fleet, 2)
    number = await begin(fleet, await publish(fleet), concurrency=1)
    await fleet.rollouts.pause(ADMIN, number)
    await fleet.rollout_loop.reconcile()
    assert sorted(s.value for s in await stages(fleet, number)) == ["offered", "queued"]
    with pytest.raises(ConflictError, match="is paused"):
        await fleet.rollouts.pause(ADMIN, number)
    await fleet.rollouts.resume(ADMIN, number)
    await fleet.rollouts.abort(ADMIN, number)
    await fleet.rollout_loop.reconcile()
    assert await stages(fleet, number) == [NodeStage.CANCELLED] * 2
    assert set((await desired(fleet, link)).values()) == {b""}
    with pytest.raises(ConflictError, match="is aborted"):
        await fleet.rollouts.resume(ADMIN, number)


async def test_a_second_person_approves(fleet: Fleet, link: GatewayLink) -> None:
    await make_poles(fleet, 1)
    release = await publish(fleet)
    number = await begin(fleet, release, needs_approval=True)
    assert await stages(fleet, number) == [QUEUED]
    with pytest.raises(ConflictError, match="somebody else"):
        await fleet.rollouts.approve(ADMIN, number)
    with pytest.raises(ForbiddenError):
        await fleet.rollouts.approve(Principal("v", frozenset({Role.VIEWER})), number)
    approved = await fleet.rollouts.approve(MANAGER, number)
    assert (approved.state, approved.approved_by) == (RolloutState.RUNNING, "manager")
    with pytest.raises(ConflictError, match="does not wait"):
        await fleet.rollouts.approve(MANAGER, number)


async def test_nothing_is_offered_outside_the_window(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    await make_poles(fleet, 1)
    # The clock stands at Friday 2027-01-15 08:00 UTC, 16:00 in Shanghai.
    window = Window((4,), 17 * 60, 2 * 60)
    number = await begin(fleet, await publish(fleet), windows=(window,), time_zone="Asia/Shanghai")
    assert await offered(fleet, number) == []
    assert (await current(fleet, number)).waits_for(clock.now) is WaitsFor.WINDOW
    clock.pass_ms(3_600_000)
    await fleet.rollout_loop.reconcile()
    assert await offered(fleet, number) == [1]


async def test_what_was_downloaded_waits_for_the_next_window_and_is_not_silent(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    await make_poles(fleet, 1)
    release = await publish(fleet)
    # Friday 08:00 UTC lies in it, for one hour more.
    number = await begin(fleet, release, windows=(Window((4, 5), 7 * 60, 9 * 60),))
    (told,) = (await fleet.links._nodes.desired_state(link.gateway_name, 0)).nodes
    opens_s = clock.now_ms() // 1000 - 3600
    assert told.release.install_times[:2] == (
        Opening(opens_s, opens_s + 7200),
        Opening(opens_s + 86_400, opens_s + 93_600),
    )
    await report(fleet, link, release, 1, NodeStage.DOWNLOADED)
    for passes_s, stage in (
        (7200, NodeStage.DOWNLOADED),
        (76_199, NodeStage.DOWNLOADED),
        (2, NodeStage.TIMED_OUT),
    ):
        clock.pass_ms(passes_s * 1000)
        await fleet.rollout_loop.reconcile()
        assert await stages(fleet, number) == [stage], passes_s
        is_held = passes_s == 7200
        assert ((await current(fleet, number)).waits_for(clock.now) is WaitsFor.WINDOW) is is_held


async def test_a_node_that_says_why_it_does_not_install_is_not_silent_while_it_is_heard(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    await make_poles(fleet, 1)
    release = await publish(fleet)
    number = await begin(fleet, release, deadlines=DEADLINES)
    waits = "an emergency call is active"
    for _ in range(3):
        await report(fleet, link, release, 1, NodeStage.DOWNLOADED, waits)
        clock.pass_ms(40_000)
        await fleet.rollout_loop.reconcile()
    (node,) = await fleet.rollouts.nodes(ADMIN, number)
    assert (node.stage, str(node.reason)) == (NodeStage.DOWNLOADED, waits)
    # From the end of the call on it has its time, as every node.
    await report(fleet, link, release, 1, NodeStage.DOWNLOADED)
    clock.pass_ms(59_000)
    await fleet.rollout_loop.reconcile()
    assert await stages(fleet, number) == [NodeStage.DOWNLOADED]
    # One that waits and is not heard any more is silent.
    await report(fleet, link, release, 1, NodeStage.DOWNLOADED, waits)
    clock.pass_ms(60_000)
    await fleet.rollout_loop.reconcile()
    assert await stages(fleet, number) == [NodeStage.TIMED_OUT]


async def test_jitter_spreads_the_offers(fleet: Fleet, link: GatewayLink, clock: FakeClock) -> None:
    await make_poles(fleet, 12)
    number = await begin(fleet, await publish(fleet), jitter_s=3600)
    assert len(await offered(fleet, number)) < 12
    clock.pass_ms(3_600_000)
    await fleet.rollout_loop.reconcile()
    assert (await current(fleet, number)).counts.get(QUEUED, 0) == 0
