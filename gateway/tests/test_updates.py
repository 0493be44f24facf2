"""A release on its way from the fleet to a node that plays the firmware's part."""

import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiocoap.numbers import codes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateway_fakes.desired import desired_node, desired_release
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import FakeNode, MakeNode, until

from nodelink import firmware_update as states
from poleward.v1 import artifact_service_pb2 as artifact_pb
from poleward.v1 import gateway_link_service_pb2 as pb
from poleward_gateway import bootstrap
from poleward_gateway.adapters.storage.artifacts import DiskArtifactStore
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.errors import ArtifactDamagedError
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.services.pace import Pace
from poleward_manifest import bundle, image
from poleward_manifest.envelope import Component, Manifest, sign

BUNDLE = bundle.pack({"node/app.mpy": bytes(range(256)) * 40})
PIECES = (65536, 65536, 256 * 600 - 2 * 65536)
KEY = Ed25519PrivateKey.generate()
PUBLIC_KEY = KEY.public_key().public_bytes_raw()


def publish(fleet: FakeFleet, *, key: Ed25519PrivateKey = KEY, sequence: int = 2) -> bytes:
    manifest = Manifest(
        sequence=sequence,
        version=f"1.{sequence}.0",
        board_profile="pole-basic",
        bundle=Component.of_bundle(BUNDLE),
    )
    envelope = sign(manifest, [key])
    digest = hashlib.sha256(envelope).digest()
    fleet.artifacts[digest] = envelope
    fleet.artifacts[hashlib.sha256(BUNDLE).digest()] = BUNDLE
    return digest


def give_patch(fleet: FakeFleet, release: bytes, content: bytes) -> None:
    digest = hashlib.sha256(content).digest()
    fleet.artifacts[digest] = content
    fleet.patches[(release, 1)] = artifact_pb.GetPatchResponse(
        state=artifact_pb.PATCH_STATE_READY, digest=digest, size_bytes=len(content)
    )


async def get(node: FakeNode, *path: str) -> Any:
    return await node.request(node.operational_context, codes.GET, path)


def offers(node: FakeNode) -> int:
    return [name for name, _ in node.writes].count("/5/0/1")


def desire(fleet: FakeFleet, digest: bytes, *install_times_s: int, revision: int = 2) -> None:
    first = desired_node(1, release=desired_release(digest, b"", *install_times_s))
    nodes = [first, desired_node(2), desired_node(3)]
    fleet.desire(nodes, revision=revision, release_keys=(PUBLIC_KEY,))


def reported(fleet: FakeFleet, state: int) -> Callable[[], bool]:
    return lambda: 1 in fleet.states and fleet.states[1].update.state == state


def wants_a_release(gateway: bootstrap.Gateway) -> bool:
    desired = gateway.registry.desired(NodeNumber(1))
    return desired is not None and bool(desired.release.digest)


def reported_none(fleet: FakeFleet) -> Callable[[], bool]:
    none = pb.NodeUpdate(state=pb.UPDATE_STATE_IDLE)
    return lambda: 1 in fleet.states and fleet.states[1].update == none


async def test_an_image_is_fetched_once_and_served_in_pieces(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    content = bytes(range(256)) * 600
    manifest = Manifest(
        2, "1.2.0", "pole-basic", Component.of_bundle(BUNDLE), Component.of_image(content)
    )
    envelope = sign(manifest, [KEY])
    digest = hashlib.sha256(envelope).digest()
    name = hashlib.sha256(content).hexdigest()
    for part in (envelope, BUNDLE, content):
        fleet.artifacts[hashlib.sha256(part).digest()] = part
    desire(fleet, digest)
    await until(lambda: offers(node) == 1)
    pieces = [await node.fetch("a", "d", name, str(number)) for number in range(3)]
    plain = [bundle.inflate(piece, size) for piece, size in zip(pieces, PIECES, strict=True)]
    assert b"".join(plain) == content
    for path in ((name,), (name, "3"), (name, "x"), (name, "0", "0")):
        assert (await get(node, "a", "d", *path)).code == codes.NOT_FOUND
    component = hashlib.sha256(BUNDLE).hexdigest()
    assert (await get(node, "a", "d", component, "0")).code == codes.NOT_FOUND
    assert await node.fetch("a", "d", component) == bundle.deflate(BUNDLE)


def test_pieces_of_an_image_are_found_by_their_number() -> None:
    content = os.urandom(70_000)
    encoded = image.encode(content)
    assert image.piece(encoded, 0) == bundle.deflate(content[:65536])
    assert image.piece(encoded, 1) == bundle.deflate(content[65536:])
    assert image.piece(encoded, 2) is None


async def test_a_node_is_brought_to_a_release_and_confirms_it(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    digest = publish(fleet)
    desire(fleet, digest)
    await until(lambda: ("/5/0/1", f"coap:///r/{digest.hex()}") in node.writes)

    assert await node.fetch("r", digest.hex()) == fleet.artifacts[digest]
    component = hashlib.sha256(BUNDLE).digest()
    transfer = await node.fetch("a", "d", component.hex(), szx=4)
    assert transfer == bundle.deflate(BUNDLE)

    await until(lambda: "/5/0/5" in node._observers)
    node.notify("/5/0/3", states.STATE_DOWNLOADED)
    await until(lambda: node.executed == ["/5/0/2"])

    # The node restarts into the new slot, on trial.
    node.resources |= {"/5/0/3": 0, "/26243/0/0": 2, "/26243/0/2": True, "/3/0/3": "1.2.0"}
    await node.register()
    await until(reported(fleet, pb.UPDATE_STATE_TRIAL))
    await until(lambda: "/5/0/5" in node._observers)
    node.resources["/26243/0/2"] = False
    await node.register()
    await until(reported(fleet, pb.UPDATE_STATE_CONFIRMED))
    await until(lambda: fleet.states[1].release_sequence == 2)
    assert fleet.states[1].bundle_version == "1.2.0"


async def test_what_was_downloaded_is_installed_in_the_next_window(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    digest = publish(fleet)
    now_s = int(time.time())
    desire(fleet, digest, now_s + 3600, now_s + 7200)
    for _ in range(2):
        await until(lambda: "/5/0/5" in node._observers)
        node.notify("/5/0/3", states.STATE_DOWNLOADED)
        await until(reported(fleet, pb.UPDATE_STATE_DOWNLOADED))
        await node.register()
    assert node.executed == []
    desire(fleet, digest, 0, now_s, 0, now_s + 3600, revision=3)
    await until(lambda: node.executed == ["/5/0/2"])


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (states.STATE_DOWNLOADING, pb.UPDATE_STATE_DOWNLOADING),
        (states.STATE_DOWNLOADED, pb.UPDATE_STATE_DOWNLOADED),
    ],
)
async def test_an_offer_is_taken_back_when_nobody_wants_the_release_there(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode, state: int, told: int
) -> None:
    digest = publish(fleet)
    # A window that is far away: what was downloaded stays where it is.
    desire(fleet, digest, 2**32, 2**32 + 3600)
    await until(lambda: "/5/0/5" in node._observers)
    node.notify("/5/0/3", state)
    await until(reported(fleet, told))
    desire(fleet, b"", revision=3)
    await until(lambda: ("/5/0/1", "") in node.writes)
    await until(reported_none(fleet))


async def test_what_a_node_installs_is_not_taken_back(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    desire(fleet, publish(fleet))
    await until(lambda: "/5/0/5" in node._observers)
    node.notify("/5/0/3", states.STATE_UPDATING)
    await until(reported(fleet, pb.UPDATE_STATE_DOWNLOADED))
    desire(fleet, b"", revision=3)
    await until(lambda: not wants_a_release(gateway))
    # It restarts, on trial, and decides.
    node.resources |= {"/26243/0/0": 2, "/26243/0/2": True}
    await node.register()
    await until(lambda: "/5/0/5" in node._observers)
    node.resources |= {"/5/0/3": 0, "/26243/0/2": False}
    await node.register()
    await until(reported_none(fleet))
    assert fleet.states[1].release_sequence == 2
    assert ("/5/0/1", "") not in node.writes


async def test_an_offer_is_taken_back_after_a_restart_of_the_gateway(
    config: GatewayConfig, fleet: FakeFleet, make_node: MakeNode
) -> None:
    desire(fleet, publish(fleet), revision=1)
    async with bootstrap.running(config) as gateway:
        await until(lambda: len(gateway.table) == 6)
        port = gateway.endpoint.port
        node = await make_node(port)
        await node.bootstrap()
        await node.register()
        await until(reported(fleet, pb.UPDATE_STATE_OFFERED))
        node.silent = True
        node.resources["/5/0/3"] = states.STATE_DOWNLOADED
        desire(fleet, b"", revision=2)
        await until(lambda: not wants_a_release(gateway))
    node.silent = False
    async with bootstrap.running(replace(config, coap_port=port)):
        await until(lambda: ("/5/0/1", "") in node.writes)
        await until(reported_none(fleet))
    assert node.executed == []


async def test_a_newer_release_takes_the_place_of_what_was_downloaded(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    old, new = publish(fleet), publish(fleet, sequence=3)
    node.resources |= {"/5/0/1": f"coap:///r/{old.hex()}", "/5/0/3": states.STATE_DOWNLOADED}
    desire(fleet, new)
    await until(lambda: ("/5/0/1", f"coap:///r/{new.hex()}") in node.writes)
    assert node.executed == []


async def test_why_a_node_does_not_install_is_told(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poleward_gateway.services.updates.LOOK_AGAIN_S", 0.1)
    monkeypatch.setattr("poleward_gateway.services.upkeep.TICK_S", 0.05)
    node.refused["/5/0/2"] = "an emergency call is active"
    node.resources["/5/0/3"] = states.STATE_DOWNLOADED
    desire(fleet, publish(fleet))
    await until(reported(fleet, pb.UPDATE_STATE_DOWNLOADED))
    await until(lambda: "an emergency call is active" in fleet.states[1].update.reason)
    node.refused.clear()
    await until(lambda: node.executed == ["/5/0/2"])
    node.resources["/5/0/3"] = states.STATE_UPDATING
    await until(lambda: not fleet.states[1].update.reason)


async def test_an_artifact_is_fetched_once_and_a_cut_download_goes_on(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poleward_gateway.services.updates.LOOK_AGAIN_S", 0.1)
    monkeypatch.setattr("poleward_gateway.services.upkeep.TICK_S", 0.05)
    component = hashlib.sha256(BUNDLE).digest()
    fleet.cut_download_after = 4000
    digest = publish(fleet)
    desire(fleet, digest)
    await until(lambda: any(name == "/5/0/1" for name, _ in node.writes))
    assert [offset for asked, offset in fleet.downloads if asked == component] == [0, 4000]
    assert len([asked for asked, _ in fleet.downloads if asked == digest]) == 1


async def test_a_patch_is_fetched_once_instead_of_the_component(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    digest = publish(fleet)
    give_patch(fleet, digest, b"patch" * 500)
    desire(fleet, digest)
    await until(lambda: offers(node) == 1)
    component = hashlib.sha256(BUNDLE).digest()
    patch = hashlib.sha256(b"patch" * 500).digest()
    assert [asked for asked, _ in fleet.downloads] == [digest, patch]
    for _ in range(2):
        assert await node.fetch("a", "p", component.hex(), "1") == b"patch" * 500
    assert [asked for asked, _ in fleet.downloads] == [digest, patch]
    for path in (("1", "1"), ("x",), ("2",), ()):
        answer = await get(node, "a", "p", component.hex(), *path)
        assert answer.code == codes.NOT_FOUND


async def test_a_node_that_has_no_use_for_the_patch_waits_for_the_component(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    digest = publish(fleet)
    give_patch(fleet, digest, b"patch")
    desire(fleet, digest)
    await until(lambda: offers(node) == 1)
    component = hashlib.sha256(BUNDLE).digest()
    answer = await get(node, "a", "d", component.hex())
    assert (answer.code, answer.opt.max_age) == (codes.SERVICE_UNAVAILABLE, 10)
    await until(lambda: gateway.artifacts.whole(component) is not None)
    assert await node.fetch("a", "d", component.hex()) == bundle.deflate(BUNDLE)


async def test_a_node_is_offered_the_release_when_its_patch_is_made(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poleward_gateway.services.updates.LOOK_AGAIN_S", 0.1)
    monkeypatch.setattr("poleward_gateway.services.upkeep.TICK_S", 0.05)
    digest = publish(fleet)
    making = artifact_pb.GetPatchResponse(state=artifact_pb.PATCH_STATE_MAKING)
    fleet.patches[(digest, 1)] = making
    desire(fleet, digest)
    await until(lambda: len(fleet.patches_asked_for) > 2)
    assert offers(node) == 0
    give_patch(fleet, digest, b"patch")
    await until(lambda: offers(node) == 1)


@pytest.mark.parametrize(
    "content",
    [BUNDLE[:-1] + b"x", BUNDLE[:-1], bundle.pack({"node/app.mpy": b"another"}), BUNDLE * 2, b""],
    ids=["altered", "truncated", "of another release", "longer", "empty"],
)
async def test_a_component_that_is_not_the_signed_one_is_never_offered(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode, content: bytes
) -> None:
    digest = publish(fleet)
    fleet.artifacts[hashlib.sha256(BUNDLE).digest()] = content
    desire(fleet, digest)
    await until(reported(fleet, pb.UPDATE_STATE_FAILED))
    assert "publish the release again" in fleet.states[1].update.reason
    assert offers(node) == 0


async def test_a_release_that_the_fleet_lost_is_asked_for_again_when_it_is_there(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    digest = publish(fleet)
    envelope = fleet.artifacts.pop(digest)
    desire(fleet, digest)
    await until(reported(fleet, pb.UPDATE_STATE_FAILED))
    assert "has no copy" in fleet.states[1].update.reason
    fleet.artifacts[digest] = envelope
    fleet.desire([desired_node(number) for number in (1, 2, 3)], revision=3)
    desire(fleet, digest, revision=4)
    await until(lambda: offers(node) == 1)


async def test_an_altered_patch_gives_way_to_the_whole(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    digest, component = publish(fleet), hashlib.sha256(BUNDLE).digest()
    give_patch(fleet, digest, b"patch")
    fleet.artifacts[hashlib.sha256(b"patch").digest()] = b"other"
    desire(fleet, digest)
    await until(lambda: offers(node) == 1)
    assert (await get(node, "a", "p", component.hex(), "1")).code == codes.NOT_FOUND
    assert await node.fetch("a", "d", component.hex()) == bundle.deflate(BUNDLE)


async def test_what_a_crash_tore_is_fetched_again(
    gateway: bootstrap.Gateway, fleet: FakeFleet
) -> None:
    publish(fleet)
    component = hashlib.sha256(BUNDLE).digest()
    gateway.artifacts._store.append_partial(component, 0, bytes(3000))
    assert await gateway.artifacts.fetch(component) == BUNDLE
    assert [offset for _, offset in fleet.downloads] == [3000, 0]


async def test_a_fleet_that_never_stops_sending_is_cut_off(
    gateway: bootstrap.Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []

    async def download(digest: bytes, offset: int) -> AsyncIterator[bytes]:
        while True:
            sent.append(offset)
            yield bytes(1000)

    monkeypatch.setattr(gateway.artifacts._source, "download", download)
    with pytest.raises(ArtifactDamagedError, match="do not hash"):
        await gateway.artifacts.fetch(bytes(32), limit_bytes=50_000)
    assert (len(sent), sent[0]) == (51, 0)


def test_the_cache_removes_what_was_not_read_for_longest(tmp_path: Path) -> None:
    store = DiskArtifactStore(tmp_path, limit_bytes=2500)
    digests = [bytes([number]) * 32 for number in range(4)]
    for age_s, digest in zip((30, 20), digests[:2], strict=True):
        store.write("whole", digest, bytes(1000))
        path = tmp_path / "whole" / digest.hex()
        os.utime(path, (path.stat().st_atime - age_s,) * 2)
    assert store.read("whole", digests[0]) is not None
    store.write("whole", digests[2], bytes(1000))
    assert store.read("whole", digests[1]) is None
    assert store.read("whole", digests[0]) is not None
    store.write("whole", digests[3], bytes(4000))
    assert [store.read("whole", digest) is not None for digest in digests] == [0, 0, 0, 1]


def test_turns_are_handed_out_at_a_steady_rate() -> None:
    class Clock:
        now_s = 0.0

        def now_ms(self) -> int:
            return int(self.now_s * 1000)

        def monotonic_s(self) -> float:
            return self.now_s

    clock = Clock()
    pace = Pace(clock, bytes_per_s=1000)
    assert [pace.delay_s(500) for _ in range(3)] == [0, 0.5, 1.0]
    clock.now_s = 10
    assert [pace.delay_s(500) for _ in range(2)] == [0, 0.5]


async def test_a_release_signed_by_a_stranger_is_never_offered(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    digest = publish(fleet, key=Ed25519PrivateKey.generate())
    desire(fleet, digest)
    await until(reported(fleet, pb.UPDATE_STATE_REJECTED))
    assert "trusted" in fleet.states[1].update.reason
    assert not any(name == "/5/0/1" for name, _ in node.writes)
    assert gateway.artifacts.envelope(digest) is None


async def test_a_node_that_returned_is_not_offered_the_release_again(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    digest = publish(fleet)
    desire(fleet, digest)
    await until(lambda: any(name == "/5/0/1" for name, _ in node.writes))
    await until(lambda: "/5/0/5" in node._observers)
    node.notify("/5/0/3", states.STATE_DOWNLOADED)
    await until(lambda: bool(node.executed))
    node.resources |= {
        "/5/0/3": 0,
        "/5/0/5": states.RESULT_FAILED,
        "/26243/0/3": "no sensor answered",
    }
    await node.register()
    await until(reported(fleet, pb.UPDATE_STATE_RETURNED))
    assert fleet.states[1].update.reason == "no sensor answered"
    offers = [name for name, _ in node.writes].count("/5/0/1")
    await node.register()
    gateway.updates.tick()
    await until(lambda: gateway.registry.state(1).device is not None)  # type: ignore[union-attr, arg-type]
    assert [name for name, _ in node.writes].count("/5/0/1") == offers
