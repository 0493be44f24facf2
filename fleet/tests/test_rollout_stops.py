"""Rollouts stop by themselves and return nodes."""

import pytest
from release_builders import publish
from rollout_rig import (
    CONFIRMED,
    DEADLINES,
    EVERYWHERE,
    begin,
    confirm_offered,
    current,
    desired,
    offered,
    report,
    report_none,
    stages,
)
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet_rig import (
    ADMIN,
    FakeClock,
    make_poles,
)
from poleward_fleet.adapters.sql.rollout_steps import JOIN_PERIOD_MS
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.rollout import NodeStage, RolloutState
from poleward_fleet.domain.rollout_policy import (
    OnFailure,
    Policy,
    Wave,
)
from poleward_fleet.domain.rollout_views import WaitsFor
from poleward_fleet.services.gateways import GatewayLink


async def test_rollout_stops_at_its_limit_of_failures_and_withdraws(
    fleet: Fleet, link: GatewayLink
) -> None:
    await make_poles(fleet, 4)
    release = await publish(fleet)
    number = await begin(fleet, release, concurrency=3, max_failures=2)
    one, two, three = await offered(fleet, number)
    await report(fleet, link, release, one, NodeStage.REJECTED, "bad signature")
    await report(fleet, link, release, two, NodeStage.RETURNED, "no registration")
    await fleet.rollout_loop.reconcile()
    stopped = await current(fleet, number)
    assert stopped.state is RolloutState.STOPPED
    assert "2 were" in str(stopped.reason)
    found = {n.node_number: n for n in await fleet.rollouts.nodes(ADMIN, number)}
    assert str(found[one].reason) == "bad signature"
    assert str(found[two].reason) == "no registration"
    assert found[three].stage is NodeStage.CANCELLED
    told = [(r.stage, str(r.reason), r.nodes) for r in await fleet.rollouts.reasons(ADMIN, number)]
    assert told == [
        (NodeStage.REJECTED, "bad signature", 1),
        (NodeStage.RETURNED, "no registration", 1),
    ]
    (history,) = await fleet.rollouts.history(ADMIN, found[one].pole_code)
    assert (history.rollout_number, history.state) == (number, RolloutState.STOPPED)
    assert (history.release_version, history.node) == (release.version, found[one])
    assert await fleet.rollouts.history(ADMIN, "nowhere") == []
    assert set((await desired(fleet, link)).values()) == {b""}


async def test_nothing_is_asked_for_any_more_as_soon_as_a_person_stops(
    fleet: Fleet, link: GatewayLink
) -> None:
    await make_poles(fleet, 3)
    release = await publish(fleet)
    number = await begin(fleet, release)
    await report(fleet, link, release, 1, NodeStage.DOWNLOADING)
    await report(fleet, link, release, 2, NodeStage.TRIAL)
    await fleet.rollouts.abort(ADMIN, number)  # and the loop did not come to its rows yet
    assert await desired(fleet, link) == {1: b"", 2: release.digest, 3: b""}


async def test_what_was_begun_is_taken_back_when_a_person_stops(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    await make_poles(fleet, 5)
    release = await publish(fleet)
    number = await begin(fleet, release, deadlines=DEADLINES)
    began = (NodeStage.DOWNLOADING, NodeStage.DOWNLOADED, NodeStage.DOWNLOADED, NodeStage.TRIAL)
    for node, stage in enumerate(began, start=1):
        await report(fleet, link, release, node, stage)
    await report_none(fleet, link, 1)  # from before the gateway knew of it
    await fleet.rollouts.abort(ADMIN, number)
    await fleet.rollout_loop.reconcile()
    told = await desired(fleet, link)
    assert [told[node] for node in range(1, 6)] == [b"", b"", b"", release.digest, b""]
    # Until gateways say what became of them nobody knows.
    assert await stages(fleet, number) == [*began, NodeStage.CANCELLED]
    await report_none(fleet, link, 1)
    await report_none(fleet, link, 2, runs=release.sequence)  # it was too late for that
    await report_none(fleet, link, 4)
    assert await stages(fleet, number) == [
        NodeStage.CANCELLED, CONFIRMED, NodeStage.DOWNLOADED, NodeStage.TRIAL, NodeStage.CANCELLED,
    ]  # fmt: skip
    clock.pass_ms(60_000)
    await fleet.rollout_loop.reconcile()
    assert (await stages(fleet, number))[2:4] == [NodeStage.TIMED_OUT] * 2


async def test_canary_that_fails_stops_the_rollout(fleet: Fleet, link: GatewayLink) -> None:
    await make_poles(fleet, 20)
    release = await publish(fleet)
    number = await begin(fleet, release, waves=(Wave(nodes=3), Wave()))
    await report(fleet, link, release, (await offered(fleet, number))[0], NodeStage.RETURNED)
    await fleet.rollout_loop.reconcile()
    stopped = await current(fleet, number)
    assert stopped.state is RolloutState.STOPPED
    assert "wave 1" in str(stopped.reason)
    assert stopped.counts[NodeStage.CANCELLED] == 19


async def test_silence_stops_a_rollout(fleet: Fleet, link: GatewayLink, clock: FakeClock) -> None:
    await make_poles(fleet, 10)
    release = await publish(fleet)
    waves = (Wave(nodes=10, success_percent=50), Wave())
    number = await begin(
        fleet, release, waves=waves, max_failures=100, max_failure_percent=30, deadlines=DEADLINES
    )
    nodes = await offered(fleet, number)
    for node in nodes[:7]:
        await report(fleet, link, release, node, NodeStage.TRIAL)
    clock.pass_ms(59_000)
    for node in nodes[:7]:
        await report(fleet, link, release, node, CONFIRMED)
    await fleet.rollout_loop.reconcile()
    clock.pass_ms(1_000)
    await fleet.rollout_loop.reconcile()
    stopped = await current(fleet, number)
    assert stopped.counts == {CONFIRMED: 7, NodeStage.TIMED_OUT: 3}
    assert stopped.state is RolloutState.STOPPED
    assert "3 of 10 in wave 1" in str(stopped.reason)


async def test_updated_nodes_are_returned_to_the_named_release(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    await make_poles(fleet, 5)
    bad, good = await publish(fleet, 2), await publish(fleet, 3)
    policy = Policy(
        waves=(Wave(nodes=3), Wave()),
        on_failure=OnFailure.RETURN,
        return_digest=good.digest,
        max_failures=1,
    )
    number = (await fleet.rollouts.create(ADMIN, bad.digest, EVERYWHERE, policy)).number
    await fleet.rollout_loop.reconcile()
    one, two, three = await offered(fleet, number)
    await report(fleet, link, bad, one, CONFIRMED)
    await report(fleet, link, bad, three, NodeStage.TRIAL)
    await report(fleet, link, bad, two, NodeStage.RETURNED, "it crashed")
    await fleet.rollout_loop.reconcile()
    await fleet.rollout_loop.reconcile()
    back = (await fleet.rollouts.rollouts(ADMIN))[0]
    assert back.returns_rollout == number
    assert await offered(fleet, back.number) == [one]
    assert (await desired(fleet, link))[one] == good.digest
    # One that was on trial confirms the bad release after all, and joins.
    await report(fleet, link, bad, three, CONFIRMED)
    clock.pass_ms(JOIN_PERIOD_MS)
    await fleet.rollout_loop.reconcile()
    assert await confirm_offered(fleet, link, good, back.number) == sorted([one, three])
    assert (await current(fleet, back.number)).state is RolloutState.FINISHED
    await fleet.rollout_loop.reconcile()
    assert len(await fleet.rollouts.rollouts(ADMIN)) == 2


async def test_nothing_is_returned_when_every_node_went_back_by_itself(
    fleet: Fleet, link: GatewayLink
) -> None:
    await make_poles(fleet, 2)
    bad, good = await publish(fleet, 2), await publish(fleet, 3)
    number = await begin(
        fleet, bad, waves=(Wave(nodes=1), Wave()), on_failure=OnFailure.RETURN,
        return_digest=good.digest,
    )  # fmt: skip
    await report(fleet, link, bad, (await offered(fleet, number))[0], NodeStage.RETURNED)
    await fleet.rollout_loop.reconcile()
    assert [r.number for r in await fleet.rollouts.rollouts(ADMIN)] == [number]


async def test_release_to_return_to_has_to_be_newer(fleet: Fleet, link: GatewayLink) -> None:
    await make_poles(fleet, 1)
    old, new = await publish(fleet, 2), await publish(fleet, 3)
    policy = Policy(on_failure=OnFailure.RETURN, return_digest=old.digest)
    with pytest.raises(InvalidError, match="sign the good release again"):
        await fleet.rollouts.create(ADMIN, new.digest, EVERYWHERE, policy)


async def test_paused_by_itself_goes_on_when_a_person_accepts_the_failures(
    fleet: Fleet, link: GatewayLink
) -> None:
    await make_poles(fleet, 4)
    release = await publish(fleet)
    number = await begin(fleet, release, waves=(Wave(nodes=2), Wave()), on_failure=OnFailure.PAUSE)
    one, two = await offered(fleet, number)
    await report(fleet, link, release, one, NodeStage.RETURNED)
    await fleet.rollout_loop.reconcile()
    paused = await current(fleet, number)
    assert (paused.state, paused.waits_for(0)) == (RolloutState.PAUSED, WaitsFor.RESUME)
    await fleet.rollouts.resume(ADMIN, number)
    await fleet.rollout_loop.reconcile()
    assert (await current(fleet, number)).state is RolloutState.RUNNING
    await report(fleet, link, release, two, CONFIRMED)
    await fleet.rollout_loop.reconcile()
    assert len(await offered(fleet, number)) == 2


async def test_rollout_has_one_owner_until_its_lease_ends(
    fleet: Fleet, link: GatewayLink, clock: FakeClock
) -> None:
    await make_poles(fleet, 1)
    number = await begin(fleet, await publish(fleet))
    steps = fleet.rollout_loop._steps

    async def is_mine(owner: str) -> bool:
        step = await steps.step(
            number, owner, lambda _: (), now_ms=clock.now, lease_ms=10, with_health=False
        )
        return step is not None

    clock.pass_ms(60_000)
    assert await is_mine("a")
    assert not await is_mine("b")
    clock.pass_ms(11)
    assert await is_mine("b")
    assert not await is_mine("a")


async def test_counts_always_equal_the_nodes(
    fleet: Fleet, link: GatewayLink, engine: AsyncEngine
) -> None:
    await make_poles(fleet, 7)
    release = await publish(fleet)
    number = await begin(fleet, release, waves=(Wave(nodes=3), Wave()), max_failures=2)
    for node, stage in zip(
        await offered(fleet, number), (CONFIRMED, NodeStage.FAILED), strict=False
    ):
        await report(fleet, link, release, node, stage)
    await fleet.rollouts.abort(ADMIN, number)
    await fleet.rollout_loop.reconcile()
    query = text(
        "SELECT wave, gateway_name, stage, count(*) FROM rollout_node GROUP BY 1, 2, 3 EXCEPT "
        "SELECT wave, gateway_name, stage, nodes FROM rollout_tally"
    )
    async with engine.connect() as connection:
        assert (await connection.execute(query)).all() == []
