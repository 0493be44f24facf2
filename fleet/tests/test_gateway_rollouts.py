"""Releases for gateways: the same rollouts, whose subjects are gateways."""

from dataclasses import replace

import pytest
from release_builders import KEY, make_key, publish_document, upload
from rollout_rig import DEADLINES, begin, current, stages
from test_people_commands import REFUSED, poleward

from fleet_rig import ADMIN, FakeClock, Rig, hello, make_gateway
from poleward_fleet.adapters.sql.rollout_steps import JOIN_PERIOD_MS
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.alarms import AlarmKind
from poleward_fleet.domain.directives import HOLDS_MS
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.gateway_link import GatewaySoftware, Hello, NodeUpdate
from poleward_fleet.domain.identity import DesiredRelease
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import NodeStage, RolloutState
from poleward_fleet.domain.rollout_policy import OnFailure, Opening, Policy, Target, Wave, Window
from poleward_fleet.services.gateways import GatewayLink
from poleward_manifest import directive, wheel_set
from poleward_manifest.envelope import Component, Manifest, sign

NAMES = ("gw-a", "gw-b", "gw-c")
WHEELS = wheel_set.pack({"poleward-1.5.0-py3-none-any.whl": b"content" * 100})
CANARY = (Wave(nodes=1), Wave())


@pytest.fixture
async def gateways(fleet: Fleet) -> dict[str, GatewayLink]:
    """Three gateways that are connected."""
    links = {}
    for name in NAMES:
        await make_gateway(fleet, name)
        links[name], _ = await fleet.links.open(name, Hello("1.0.0", f"spool {name}", 0, ""))
    return links


async def publish_first(fleet: Fleet) -> Release:
    """Publish release 5 for gateways."""
    await fleet.trust.trust_key(ADMIN, KEY.public_key().public_bytes_raw(), "test")
    await upload(fleet, WHEELS)
    return await publish(fleet, 5)


@pytest.fixture
async def release(fleet: Fleet) -> Release:
    """A published release for gateways, number 5."""
    return await publish_first(fleet)


async def tell(
    fleet: Fleet, link: GatewayLink, release: Release, stage: NodeStage, *, runs: int = 0
) -> None:
    """Tell of a gateway as it does itself."""
    update = NodeUpdate(release.digest, stage, "in its own words")
    await fleet.ingest.software(link, GatewaySoftware("1.5.0", runs, update))
    await fleet.rollout_loop.reconcile()


async def wanted(fleet: Fleet, name: str) -> DesiredRelease:
    return (await fleet.links._nodes.desired_state(name, 0)).gateway_release


async def asked(fleet: Fleet, release: Release) -> set[str]:
    return {name for name in NAMES if (await wanted(fleet, name)).digest == release.digest}


async def publish(fleet: Fleet, sequence: int, downgrade: str = "") -> Release:
    component = Component.of_wheels(WHEELS)
    manifest = Manifest(
        sequence, f"1.{sequence}.0", wheel_set.PROFILE, component, downgrade=downgrade
    )
    return await fleet.releases.publish(ADMIN, sign(manifest, [KEY]), "")


async def direct(fleet: Fleet) -> bytes:
    """Have the fleet sign directives from now on; return its key."""
    key = await make_key(fleet)
    await publish_document(fleet, 1, key)
    return key


def read(wanted: DesiredRelease, key: bytes, name: str) -> directive.Directive:
    return directive.verify(
        wanted.directive, [key], 1, release=wanted.digest, subject=f"gateway:{name}"
    )


async def test_gateways_get_a_release_in_waves_and_confirm_it(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release
) -> None:
    number = await begin(fleet, release, waves=CANARY, deadlines=DEADLINES)
    (canary,) = await asked(fleet, release)
    for stage in (NodeStage.DOWNLOADING, NodeStage.DOWNLOADED, NodeStage.TRIAL):
        await tell(fleet, gateways[canary], release, stage)
        assert await asked(fleet, release) == {canary}
    await tell(fleet, gateways[canary], release, NodeStage.CONFIRMED, runs=5)
    assert await asked(fleet, release) == set(NAMES)
    for name in NAMES:
        await tell(fleet, gateways[name], release, NodeStage.CONFIRMED, runs=5)
    assert (await current(fleet, number)).state is RolloutState.FINISHED
    nodes = await fleet.rollouts.nodes(ADMIN, number)
    assert {node.gateway_name for node in nodes} == set(NAMES)
    assert all(node.pole_code == "" for node in nodes)
    (shown, *_) = await fleet.inventory.gateways(ADMIN)
    assert shown.software_version == "1.5.0"


async def test_an_aborted_rollout_is_taken_back_from_a_gateway_too(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release
) -> None:
    number = await begin(fleet, release, waves=CANARY, deadlines=DEADLINES)
    (canary,) = await asked(fleet, release)
    await tell(fleet, gateways[canary], release, NodeStage.DOWNLOADING)
    await fleet.rollouts.abort(ADMIN, number)
    await fleet.rollout_loop.reconcile()
    assert await asked(fleet, release) == set()
    assert (await current(fleet, number)).counts[NodeStage.DOWNLOADING] == 1
    none = GatewaySoftware("1.4.0", 0, NodeUpdate(b"", None, ""))
    await fleet.ingest.software(gateways[canary], none)
    assert (await current(fleet, number)).counts == {NodeStage.CANCELLED: 3}


async def test_a_bad_release_stops_at_its_canary_and_is_wanted_of_nobody(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release
) -> None:
    number = await begin(fleet, release, waves=CANARY, deadlines=DEADLINES, max_failures=1)
    (canary,) = await asked(fleet, release)
    await tell(fleet, gateways[canary], release, NodeStage.TRIAL)
    await tell(fleet, gateways[canary], release, NodeStage.RETURNED)
    rollout = await current(fleet, number)
    assert rollout.state is RolloutState.STOPPED
    assert rollout.counts == {NodeStage.RETURNED: 1, NodeStage.CANCELLED: 2}
    assert await asked(fleet, release) == set()


async def test_gateways_are_returned_to_the_named_release(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release, clock: FakeClock
) -> None:
    good = await publish(fleet, 6)
    number = await begin(
        fleet, release, waves=CANARY, deadlines=DEADLINES, max_failures=1,
        on_failure=OnFailure.RETURN, return_digest=good.digest,
    )  # fmt: skip
    (canary,) = await asked(fleet, release)
    await tell(fleet, gateways[canary], release, NodeStage.CONFIRMED, runs=5)
    one, other = sorted(set(NAMES) - {canary})
    await tell(fleet, gateways[other], release, NodeStage.TRIAL)
    await tell(fleet, gateways[one], release, NodeStage.RETURNED)
    assert (await current(fleet, number)).state is RolloutState.STOPPED
    await fleet.rollout_loop.reconcile()
    (back, _) = await fleet.rollouts.rollouts(ADMIN)
    assert (back.returns_rollout, back.is_for_gateways) == (number, True)
    assert await asked(fleet, good) == {canary}
    await tell(fleet, gateways[canary], good, NodeStage.CONFIRMED, runs=6)
    # One that was on trial confirms the bad release after all, and comes back, too.
    await tell(fleet, gateways[other], release, NodeStage.CONFIRMED, runs=5)
    clock.pass_ms(JOIN_PERIOD_MS)
    await fleet.rollout_loop.reconcile()
    assert await asked(fleet, good) == {canary, other}


async def test_a_gateway_that_reports_what_it_was_not_given_is_not_believed(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release
) -> None:
    number = await begin(
        fleet, release, Target(pole_codes=("gw-a",)), deadlines=DEADLINES, max_failures=1
    )
    link = gateways["gw-a"]
    # It says that it confirmed, but runs something else: it is wanted of it as before.
    await tell(fleet, link, release, NodeStage.CONFIRMED, runs=4)
    assert await stages(fleet, number) == [NodeStage.OFFERED]
    assert await asked(fleet, release) == {"gw-a"}
    await tell(fleet, link, release, NodeStage.CONFIRMED, runs=5)
    assert (await current(fleet, number)).state is RolloutState.FINISHED


async def test_a_gateway_that_went_back_counts_as_returned(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release
) -> None:
    number = await begin(fleet, release, waves=CANARY, deadlines=DEADLINES, max_failures=1)
    (canary,) = await asked(fleet, release)
    await tell(fleet, gateways[canary], release, NodeStage.CONFIRMED, runs=5)
    await fleet.ingest.software(gateways[canary], GatewaySoftware("1.0.0", 0))
    await fleet.rollout_loop.reconcile()
    rollout = await current(fleet, number)
    assert rollout.state is RolloutState.STOPPED
    assert rollout.counts[NodeStage.RETURNED] == 1


async def test_a_dry_run_counts_gateways_and_no_last_link(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release
) -> None:
    would = await fleet.rollouts.dry_run(ADMIN, release.digest, Target(), Policy(waves=CANARY))
    assert would.wave_nodes == (1, 2)
    assert set(would.canaries) < set(NAMES)
    assert {(load.nodes, load.uplink_bytes, load.downlink_bytes) for load in would.links} == {
        (1, len(WHEELS), 0)
    }


async def test_gateways_that_are_not_there_or_not_in_the_area_are_named(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release
) -> None:
    with pytest.raises(InvalidError, match="gateways do not exist: gw-x"):
        await begin(fleet, release, Target(pole_codes=("gw-a", "gw-x")))


async def test_a_revoked_gateway_gets_nothing(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release
) -> None:
    await fleet.enrollment.revoke(ADMIN, "gw-c", reason="stolen")
    would = await fleet.rollouts.dry_run(ADMIN, release.digest, Target(), Policy())
    assert would.wave_nodes == (2,)


async def test_gateways_are_directed_until_they_run_the_release(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release, clock: FakeClock
) -> None:
    key = await direct(fleet)
    # Friday 08:00 UTC lies in it, for one hour more.
    number = await begin(fleet, release, windows=(Window((4, 5), 7 * 60, 9 * 60),))
    now_s = clock.now_ms() // 1000
    for name in NAMES:
        told = await wanted(fleet, name)
        said = read(told, key, name)
        assert (said.rollout, said.holds(now_s)) == (str(number), True)
        assert told.install_times[0] == Opening(now_s - 3600, now_s + 3600)
    await tell(fleet, gateways["gw-a"], release, NodeStage.CONFIRMED, runs=5)
    assert await wanted(fleet, "gw-a") == DesiredRelease(release.digest)
    before = await wanted(fleet, "gw-b")
    await tell(fleet, gateways["gw-b"], release, NodeStage.DOWNLOADED)  # waits for its window
    clock.pass_ms(HOLDS_MS // 2 + 3_600_000)
    await fleet.rollout_loop.reconcile()
    fresh = await wanted(fleet, "gw-b")
    assert read(fresh, key, "gw-b").not_before_s > read(before, key, "gw-b").not_before_s
    assert (await wanted(fleet, "gw-a")).directive == b""


async def test_a_gateway_that_is_held_back_raises_an_alarm_until_it_follows_a_fresh_directive(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release, clock: FakeClock
) -> None:
    await direct(fleet)
    number = await begin(fleet, release, Target(pole_codes=("gw-a",)))
    update = NodeUpdate(release.digest, NodeStage.FAILED, "it is over", is_frozen=True)
    await fleet.ingest.software(gateways["gw-a"], GatewaySoftware("1.0.0", 0, update))
    (alarm,) = await fleet.alarms.alarms(ADMIN)
    assert (alarm.kind, alarm.gateway_name) == (AlarmKind.UPDATE_FROZEN, "gw-a")
    assert await stages(fleet, number) == [NodeStage.QUEUED]
    assert (await wanted(fleet, "gw-a")).digest == b""
    clock.pass_ms(600_000)
    await fleet.rollout_loop.reconcile()
    assert (await wanted(fleet, "gw-a")).directive
    await tell(fleet, gateways["gw-a"], release, NodeStage.DOWNLOADING)
    assert await fleet.alarms.alarms(ADMIN)
    await tell(fleet, gateways["gw-a"], release, NodeStage.DOWNLOADED)
    assert not await fleet.alarms.alarms(ADMIN)


async def test_an_older_release_is_gone_back_to_with_a_permission_only(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release
) -> None:
    await tell(fleet, gateways["gw-a"], release, NodeStage.CONFIRMED, runs=5)
    for permission in ("", "rollout:other", "gateway:gw-b"):
        older = await publish(fleet, 4, permission)
        would = await fleet.rollouts.dry_run(
            ADMIN, older.digest, Target(pole_codes=("gw-a",)), Policy(), name="back"
        )
        assert (would.wave_nodes, would.run_newer) == ((0,), 1), permission
    for permission, name in (("gateway:gw-a", ""), ("rollout:back", "back")):
        older = await publish(fleet, 4, permission)
        would = await fleet.rollouts.dry_run(
            ADMIN, older.digest, Target(pole_codes=("gw-a",)), Policy(), name=name
        )
        assert (would.wave_nodes, would.run_newer) == ((1,), 0), permission


async def test_a_rollout_takes_its_gateways_back_to_a_lower_number_where_it_is_permitted(
    fleet: Fleet, gateways: dict[str, GatewayLink], release: Release
) -> None:
    policy = Policy(max_failures=1, on_failure=OnFailure.RETURN)
    one, everywhere = Target(pole_codes=("gw-a",)), Target()

    async def create(good: Release, target: Target, name: str) -> int:
        returning = replace(policy, return_digest=good.digest)
        made = await fleet.rollouts.create(ADMIN, release.digest, target, returning, name=name)
        await fleet.rollout_loop.reconcile()
        return made.number

    good = await publish(fleet, 4, "rollout:spring")
    with pytest.raises(InvalidError, match="without directives"):
        await create(good, everywhere, "spring")
    key = await direct(fleet)
    own = await publish(fleet, 4, "gateway:gw-a")
    for unfit, target, name, words in (
        (await publish(fleet, 4), everywhere, "spring", "downgrade rollout:spring and name this"),
        (good, everywhere, "", "rollout:NAME and name"),
        (own, everywhere, "spring", "not above 5"),
        (release, everywhere, "spring", "not above 5"),
    ):
        with pytest.raises(InvalidError, match=words):
            await create(unfit, target, name)
    await fleet.rollouts.dry_run(
        ADMIN, release.digest, one, replace(policy, return_digest=own.digest)
    )
    number = await create(good, everywhere, "spring")
    await tell(fleet, gateways["gw-a"], release, NodeStage.CONFIRMED, runs=5)
    await tell(fleet, gateways["gw-b"], release, NodeStage.REJECTED)
    await fleet.rollout_loop.reconcile()
    # Stopping is one change: who was offered it and took nothing is not asked any more.
    assert await asked(fleet, release) == set()
    told = await wanted(fleet, "gw-a")
    assert (told.digest, read(told, key, "gw-a").rollout) == (good.digest, "spring")
    await tell(fleet, gateways["gw-a"], good, NodeStage.CONFIRMED, runs=4)
    (back, _) = await fleet.rollouts.rollouts(ADMIN)
    assert (back.returns_rollout, back.state) == (number, RolloutState.FINISHED)
    assert NodeStage.RETURNED not in (await current(fleet, number)).counts


@pytest.mark.system
async def test_the_updates_of_a_gateway_are_listed(rig: Rig) -> None:
    await make_gateway(rig.fleet, "gw-a")
    link, _ = await rig.fleet.links.open("gw-a", hello())
    release = await publish_first(rig.fleet)
    number = await begin(rig.fleet, release)
    await tell(rig.fleet, link, release, NodeStage.RETURNED)
    (found,) = (await poleward(rig, "gateway", "updates", "gw-a", "--json")).json["updates"]
    assert (found["rollout_number"], found["release_version"]) == (number, "1.5.0")
    assert (found["node"]["state"], found["node"]["reason"]) == ("returned", "in its own words")
    assert "in its own words" in (await poleward(rig, "gateway", "updates", "gw-a")).out
    unknown = await poleward(rig, "gateway", "updates", "gw-x")
    assert (unknown.code, "known: gw-a" in unknown.complaint) == (REFUSED, True)
