"""Rollouts bring a release to nodes that run a newer one, where its permission covers them."""

import pytest
from release_builders import BUNDLE, KEY, publish, upload
from rollout_rig import CONFIRMED, EVERYWHERE, begin, current, offered, report, stages

from fleet_rig import ADMIN, make_poles, manufactured
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.errors import ConflictError, InvalidError
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import RolloutState
from poleward_fleet.domain.rollout_policy import Policy, Target
from poleward_fleet.services.gateways import GatewayLink
from poleward_manifest.bundle import pack
from poleward_manifest.envelope import Component, Manifest, sign


async def publish_for(fleet: Fleet, permission: str, bundle: bytes = BUNDLE) -> Release:
    """Publish release 2 once more, with a permission to go back to it."""
    await upload(fleet, bundle)
    component = Component.of_bundle(bundle)
    manifest = Manifest(2, "1.2.0", "pole-basic", component, downgrade=permission)
    return await fleet.releases.publish(ADMIN, sign(manifest, [KEY]), "")


async def roll_out(fleet: Fleet, release: Release, name: str = "") -> int:
    made = await fleet.rollouts.create(ADMIN, release.digest, EVERYWHERE, Policy(), name=name)
    await fleet.rollout_loop.reconcile()
    return made.number


async def bring_newer(fleet: Fleet, link: GatewayLink) -> tuple[int, int]:
    """Have two nodes run release 5, by a rollout that stays open."""
    await publish(fleet)
    one, two = await make_poles(fleet, 2)
    newer = await publish(fleet, 5)
    for node in (one, two):
        await report(fleet, link, newer, node, None, runs=5)
    return one, two


async def test_without_a_permission_that_covers_them_nodes_stay(
    fleet: Fleet, link: GatewayLink
) -> None:
    await bring_newer(fleet, link)
    for permission in ("rollout:back", "node:0a0b0c0d0e0f"):
        release = await publish_for(fleet, permission)
        with pytest.raises(InvalidError, match="no node"):
            await roll_out(fleet, release, "forth")
    would = await fleet.rollouts.dry_run(ADMIN, release.digest, EVERYWHERE, Policy())
    assert (would.wave_nodes, would.run_newer) == ((0,), 2)


async def test_a_named_rollout_takes_every_node_back_once(fleet: Fleet, link: GatewayLink) -> None:
    one, two = await bring_newer(fleet, link)
    release = await publish_for(fleet, "rollout:back")
    would = await fleet.rollouts.dry_run(ADMIN, release.digest, EVERYWHERE, Policy(), name="back")
    assert (would.wave_nodes, would.run_newer) == ((2,), 0)
    number = await roll_out(fleet, release, "back")
    assert (await current(fleet, number)).name == "back"
    assert await offered(fleet, number) == [one, two]
    await report(fleet, link, release, one, CONFIRMED, runs=5)
    assert (await stages(fleet, number))[0] is not CONFIRMED
    for node in (one, two):
        await report(fleet, link, release, node, CONFIRMED)
    await fleet.rollout_loop.reconcile()
    assert (await current(fleet, number)).state is RolloutState.FINISHED
    with pytest.raises(ConflictError, match="already"):
        await roll_out(fleet, release, "back")


async def test_one_node_goes_back_without_counting_as_returned(
    fleet: Fleet, link: GatewayLink
) -> None:
    newer = await publish(fleet, 5)
    one, _ = await make_poles(fleet, 2)
    first = await begin(fleet, newer)
    await report(fleet, link, newer, one, CONFIRMED)
    release = await publish_for(fleet, f"node:{manufactured(one).mac}")
    assert (await current(fleet, first)).state is RolloutState.RUNNING
    number = await begin(fleet, release, Target(pole_codes=("P-1",)))
    assert await offered(fleet, number) == [one]
    await report(fleet, link, release, one, CONFIRMED)
    assert (await stages(fleet, first))[0] is CONFIRMED
    # By itself it may not go further back.
    await report(fleet, link, release, one, None, runs=1)
    assert (await current(fleet, first)).counts.keys() != {CONFIRMED}


async def test_a_number_is_published_again_with_the_same_components_only(fleet: Fleet) -> None:
    release = await publish(fleet)
    again = await publish_for(fleet, "rollout:back")
    assert (again.sequence, again.downgrade) == (release.sequence, "rollout:back")
    with pytest.raises(ConflictError, match="sequence number 2"):
        await publish_for(fleet, "rollout:other", pack({"node/app.mpy": b"another"}))


@pytest.mark.parametrize("name", ["7", "Back", "two words", "-", "x" * 33])
async def test_a_name_that_is_none_is_refused(fleet: Fleet, name: str) -> None:
    release = await publish(fleet)
    with pytest.raises(InvalidError, match="name has"):
        await fleet.rollouts.create(ADMIN, release.digest, EVERYWHERE, Policy(), name=name)
