"""Releases are verified before they are listed; rollouts reach nodes and stop by themselves."""

import hashlib
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet_rig import (
    ADMIN,
    DISTRICT,
    OTHER_DISTRICT,
    FakeClock,
    hello,
    make_gateway,
    make_poles,
)
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.errors import ConflictError, InvalidError, ReleaseRefusedError
from poleward_fleet.domain.gateway_link import NodeState, NodeUpdate
from poleward_fleet.domain.inventory import LinkState
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import STAGE_TIMEOUT_MS, NodeStage, RolloutState
from poleward_fleet.services.gateways import GatewayLink
from poleward_manifest.envelope import Component, Manifest, sign

KEY = Ed25519PrivateKey.generate()
BUNDLE = b"bundle" * 1000


async def upload(fleet: Fleet, content: bytes = BUNDLE) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1024):
            yield content[start : start + 1024]

    digest = hashlib.sha256(content).digest()
    assert await fleet.artifacts.write(digest, len(content), 0, pieces()) == (len(content), True)


def envelope(sequence: int = 2, key: Ed25519PrivateKey = KEY, bundle: bytes = BUNDLE) -> bytes:
    manifest = Manifest(sequence, f"1.{sequence}.0", "pole-basic", Component.of_bundle(bundle))
    return sign(manifest, [key])


async def publish(fleet: Fleet, sequence: int = 2) -> Release:
    await fleet.releases.trust_key(ADMIN, KEY.public_key().public_bytes_raw(), "test")
    await upload(fleet)
    return await fleet.releases.publish(ADMIN, envelope(sequence), "notes")


async def test_signed_release_is_listed_once(fleet: Fleet) -> None:
    release = await publish(fleet)
    again = await fleet.releases.publish(ADMIN, envelope(), "other notes")
    assert again == release
    assert (release.version, release.sequence, release.bundle_bytes) == ("1.2.0", 2, len(BUNDLE))
    assert await fleet.releases.releases(ADMIN) == [release]
    assert await fleet.artifacts.size(release.digest) == len(envelope())


async def test_bad_releases_are_refused_with_the_reason_and_recorded(fleet: Fleet) -> None:
    with pytest.raises(ReleaseRefusedError, match="no release key is trusted"):
        await fleet.releases.publish(ADMIN, envelope(), "")
    await publish(fleet)
    altered = bytearray(envelope(3))
    altered[-1] ^= 1
    for bad, reason in (
        (bytes(altered), "altered|digest|fit"),
        (envelope(3, Ed25519PrivateKey.generate()), "trusted"),
        (envelope(3)[:-5], "."),
        (b"", "."),
        (b"garbage" * 99, "."),
        (envelope(3, bundle=b"never uploaded"), "not uploaded"),
    ):
        with pytest.raises(ReleaseRefusedError, match=reason):
            await fleet.releases.publish(ADMIN, bad, "")
    assert len(await fleet.releases.releases(ADMIN)) == 1
    actions = [record.entry.action for record in await fleet.audit.records(ADMIN)]
    assert actions.count("release.refused") == 7


async def test_sequence_number_belongs_to_one_release(fleet: Fleet) -> None:
    await publish(fleet)
    await upload(fleet, b"other")
    with pytest.raises(ConflictError, match="higher"):
        await fleet.releases.publish(ADMIN, envelope(2, bundle=b"other"), "")


async def test_broken_upload_goes_on_where_it_stopped(fleet: Fleet) -> None:
    digest = hashlib.sha256(BUNDLE).digest()

    async def broken() -> AsyncIterator[bytes]:
        yield BUNDLE[:1000]
        raise ConnectionResetError

    async def rest() -> AsyncIterator[bytes]:
        yield BUNDLE[1000:]

    with pytest.raises(ConnectionResetError):
        await fleet.artifacts.write(digest, len(BUNDLE), 0, broken())
    assert await fleet.artifacts.stored_bytes(digest) == (1000, False)
    with pytest.raises(InvalidError, match="1000 bytes are stored"):
        await fleet.artifacts.write(digest, len(BUNDLE), 500, rest())
    assert await fleet.artifacts.write(digest, len(BUNDLE), 1000, rest()) == (len(BUNDLE), True)
    read = b"".join([piece async for piece in fleet.artifacts.read(digest, 10)])
    assert read == BUNDLE[10:]


async def test_upload_with_another_digest_starts_over(fleet: Fleet) -> None:
    digest = hashlib.sha256(BUNDLE).digest()

    async def wrong() -> AsyncIterator[bytes]:
        yield bytes(len(BUNDLE))

    with pytest.raises(InvalidError, match="starts over"):
        await fleet.artifacts.write(digest, len(BUNDLE), 0, wrong())
    assert await fleet.artifacts.stored_bytes(digest) == (0, False)


async def report(
    fleet: Fleet, link: GatewayLink, release: Release, node: int, stage: NodeStage, reason: str = ""
) -> None:
    done = stage is NodeStage.CONFIRMED
    await fleet.ingest.states(
        link,
        [
            NodeState(
                node_number=node,
                link_state=LinkState.ONLINE,
                heard_at_ms=1,
                release_sequence=release.sequence if done else None,
                update=NodeUpdate(release.digest, stage, reason),
            )
        ],
    )


async def stages(fleet: Fleet, number: int) -> list[NodeStage]:
    _, nodes = await fleet.rollouts.rollout(ADMIN, number)
    return [node.stage for node in nodes]


async def test_rollout_offers_within_its_limit_and_finishes(fleet: Fleet) -> None:
    await make_gateway(fleet)
    nodes = await make_poles(fleet, 3)
    release = await publish(fleet)
    link, _ = await fleet.links.open("gw-1", hello())
    rollout = await fleet.rollouts.create(ADMIN, release.digest, concurrency=2)
    await fleet.rollouts.reconcile()
    offered, queued = NodeStage.OFFERED, NodeStage.QUEUED
    assert await stages(fleet, rollout.number) == [offered, offered, queued]
    state = await anext(aiter(fleet.links.messages(link)))
    assert [n.release_digest for n in state.nodes] == [release.digest, release.digest, b""]  # type: ignore[union-attr]
    await report(fleet, link, release, nodes[0], NodeStage.DOWNLOADING)
    await report(fleet, link, release, nodes[0], NodeStage.TRIAL)
    await report(fleet, link, release, nodes[0], NodeStage.CONFIRMED)
    await fleet.rollouts.reconcile()
    assert await stages(fleet, rollout.number) == [NodeStage.CONFIRMED, offered, offered]
    for node in nodes[1:]:
        await report(fleet, link, release, node, NodeStage.CONFIRMED)
    await fleet.rollouts.reconcile()
    finished, _ = await fleet.rollouts.rollout(ADMIN, rollout.number)
    assert finished.state is RolloutState.FINISHED
    assert finished.counts == ((NodeStage.CONFIRMED, 3),)
    await fleet.rollouts.reconcile()


async def test_rollout_stops_at_its_limit_of_failures_and_withdraws(fleet: Fleet) -> None:
    await make_gateway(fleet)
    nodes = await make_poles(fleet, 4)
    release = await publish(fleet)
    link, _ = await fleet.links.open("gw-1", hello())
    rollout = await fleet.rollouts.create(ADMIN, release.digest, concurrency=2, max_failures=2)
    await fleet.rollouts.reconcile()
    await report(fleet, link, release, nodes[0], NodeStage.REJECTED, "bad signature")
    await report(fleet, link, release, nodes[1], NodeStage.RETURNED, "no registration")
    await fleet.rollouts.reconcile()
    stopped, found = await fleet.rollouts.rollout(ADMIN, rollout.number)
    assert stopped.state is RolloutState.STOPPED
    assert "2 of 4" in stopped.reason
    assert [(n.stage.value, n.reason) for n in found] == [
        ("rejected", "bad signature"),
        ("returned", "no registration"),
        ("cancelled", ""),
        ("cancelled", ""),
    ]
    state = await anext(aiter(fleet.links.messages(link)))
    assert all(node.release_digest == b"" for node in state.nodes)  # type: ignore[union-attr]


async def test_silent_node_times_out(fleet: Fleet, clock: FakeClock) -> None:
    await make_gateway(fleet)
    await make_poles(fleet, 2)
    release = await publish(fleet)
    rollout = await fleet.rollouts.create(ADMIN, release.digest, concurrency=1, max_failures=5)
    await fleet.rollouts.reconcile()
    clock.pass_ms(STAGE_TIMEOUT_MS[NodeStage.OFFERED])
    await fleet.rollouts.reconcile()
    await fleet.rollouts.reconcile()
    assert await stages(fleet, rollout.number) == [NodeStage.TIMED_OUT, NodeStage.OFFERED]


async def test_paused_rollout_offers_nothing_until_resumed_and_ends_when_aborted(
    fleet: Fleet,
) -> None:
    await make_gateway(fleet)
    await make_poles(fleet, 2)
    release = await publish(fleet)
    number = (await fleet.rollouts.create(ADMIN, release.digest, concurrency=1)).number
    await fleet.rollouts.pause(ADMIN, number)
    await fleet.rollouts.reconcile()
    assert await stages(fleet, number) == [NodeStage.QUEUED, NodeStage.QUEUED]
    with pytest.raises(ConflictError, match="is paused"):
        await fleet.rollouts.pause(ADMIN, number)
    await fleet.rollouts.resume(ADMIN, number)
    await fleet.rollouts.reconcile()
    assert await stages(fleet, number) == [NodeStage.OFFERED, NodeStage.QUEUED]
    await fleet.rollouts.abort(ADMIN, number)
    await fleet.rollouts.reconcile()
    assert await stages(fleet, number) == [NodeStage.OFFERED, NodeStage.CANCELLED]


async def test_rollout_needs_nodes_that_are_free(fleet: Fleet) -> None:
    await make_gateway(fleet)
    await make_poles(fleet, 1)
    release = await publish(fleet)
    with pytest.raises(InvalidError, match="no node"):
        await fleet.rollouts.create(ADMIN, release.digest, area_code=OTHER_DISTRICT)
    await fleet.rollouts.create(ADMIN, release.digest, area_code=DISTRICT)
    with pytest.raises(ConflictError, match="not over"):
        await fleet.rollouts.create(ADMIN, release.digest)


async def test_rollout_has_one_owner_until_its_lease_ends(fleet: Fleet, clock: FakeClock) -> None:
    await make_gateway(fleet)
    await make_poles(fleet, 1)
    release = await publish(fleet)
    number = (await fleet.rollouts.create(ADMIN, release.digest)).number
    store = fleet.rollouts._store
    assert await store.lease(number, "a", now_ms=clock.now, until_ms=clock.now + 10)
    assert not await store.lease(number, "b", now_ms=clock.now, until_ms=clock.now + 10)
    assert await store.lease(number, "a", now_ms=clock.now, until_ms=clock.now + 20)
    clock.pass_ms(21)
    assert await store.lease(number, "b", now_ms=clock.now, until_ms=clock.now + 10)
