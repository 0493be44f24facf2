"""The gateway brings itself to a release: what it fetches, tries, confirms and refuses."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateway_fakes.desired import desired_node
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import MakeNode, until
from gateway_fakes.shelf import FakeShelf

from poleward.v1 import gateway_link_service_pb2 as pb
from poleward_gateway import bootstrap
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.software import INSTALLED, begin
from poleward_manifest import bundle, wheel_set
from poleward_manifest.envelope import Component, Manifest, sign

KEY = Ed25519PrivateKey.generate()
WHEELS = wheel_set.pack({"poleward-1.2.0-py3-none-any.whl": bytes(5000)})
BUNDLE = bundle.pack({"node/app.mpy": b"code"})
Start = Callable[[], AbstractAsyncContextManager[bootstrap.Gateway]]


def publish(fleet: FakeFleet, *, sequence: int = 2, key: Ed25519PrivateKey = KEY) -> bytes:
    return publish_component(fleet, Component.of_wheels(WHEELS), "gateway", sequence, key)


def publish_component(
    fleet: FakeFleet, component: Component, profile: str, sequence: int, key: Ed25519PrivateKey
) -> bytes:
    envelope = sign(Manifest(sequence, f"1.{sequence}.0", profile, component), [key])
    digest = hashlib.sha256(envelope).digest()
    fleet.artifacts[digest] = envelope
    fleet.artifacts[component.digest] = BUNDLE if profile != "gateway" else WHEELS
    return digest


def want(fleet: FakeFleet, release: bytes, *, revision: int = 2) -> None:
    fleet.desire(
        [desired_node(number) for number in (1, 2, 3)],
        revision=revision,
        release_keys=(KEY.public_key().public_bytes_raw(),),
        gateway_release=release,
    )


def told(fleet: FakeFleet, state: int) -> Callable[[], bool]:
    return lambda: (
        fleet.gateway_software is not None and fleet.gateway_software.update.state == state
    )


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> FakeShelf:
    made = FakeShelf()
    monkeypatch.setattr(bootstrap, "SoftwareShelf", lambda _: made)
    return made


@pytest.fixture
def start(config: GatewayConfig, shelf: FakeShelf) -> Start:
    """Start the gateway as the launcher does."""

    @asynccontextmanager
    async def starting() -> AsyncIterator[bootstrap.Gateway]:
        shelf.written, shelf.running = begin(shelf.written, shelf.is_whole)
        async with bootstrap.running(config) as gateway:
            yield gateway

    return starting


@pytest.fixture
def bring(fleet: FakeFleet, start: Start) -> Callable[[bytes], Awaitable[None]]:
    """Bring the gateway to a release up to the moment at which it ends itself."""

    async def bringing(release: bytes) -> None:
        async with start() as gateway:
            want(fleet, release)
            await until(gateway.replaced.is_set)

    return bringing


async def test_a_release_is_fetched_tried_by_a_restart_and_confirmed(
    fleet: FakeFleet,
    shelf: FakeShelf,
    start: Start,
    bring: Callable[[bytes], Awaitable[None]],
) -> None:
    release = publish(fleet)
    await bring(release)
    assert (shelf.written.trial, shelf.written.is_begun) == (release, False)
    async with start():
        await until(told(fleet, pb.UPDATE_STATE_CONFIRMED))
        assert fleet.gateway_software.release_sequence == 2
    assert (shelf.written.confirmed, shelf.written.trial) == (release, None)


async def test_a_trial_waits_for_the_nodes_that_were_registered(
    fleet: FakeFleet,
    shelf: FakeShelf,
    start: Start,
    make_node: MakeNode,
) -> None:
    release = publish(fleet)
    want(fleet, INSTALLED, revision=1)
    async with start() as gateway:
        await until(lambda: len(gateway.table) == 6)
        node = await make_node(gateway.endpoint.port)
        await node.bootstrap()
        await node.register()
        want(fleet, release)
        await until(gateway.replaced.is_set)
    async with start() as gateway:
        await until(told(fleet, pb.UPDATE_STATE_TRIAL))
        assert fleet.gateway_software.release_sequence == 0, "on trial it is not told"
        await until(lambda: bool(gateway.tally.gauges.get("fleet_connected")))
        gateway.own_software.tick()
        assert shelf.written.trial == release, "the node was not heard"

        def is_confirmed_when_heard() -> bool:
            # Messages closer together than half a second count as one, over the restart, too.
            gateway.registry.heard([NodeNumber(1)])
            return told(fleet, pb.UPDATE_STATE_CONFIRMED)()

        await until(is_confirmed_when_heard)


async def test_a_release_that_came_back_is_told_and_not_tried_again_until_it_is_wanted_anew(
    fleet: FakeFleet,
    shelf: FakeShelf,
    start: Start,
    bring: Callable[[bytes], Awaitable[None]],
) -> None:
    release = publish(fleet)
    await bring(release)
    begin(shelf.written, shelf.is_whole)  # it is started and dies at once
    shelf.written = begin(shelf.written, shelf.is_whole)[0]
    async with start() as gateway:
        await until(told(fleet, pb.UPDATE_STATE_RETURNED))
        assert "before it was confirmed" in fleet.gateway_software.update.reason
        gateway.own_software.reconcile()
        assert not gateway.jobs.is_busy
        want(fleet, INSTALLED, revision=3)
        await until(lambda: not fleet.gateway_software.HasField("update"))
        want(fleet, release, revision=4)
        await until(gateway.replaced.is_set)


async def test_a_trial_is_confirmed_once_the_disk_takes_it(
    fleet: FakeFleet,
    shelf: FakeShelf,
    start: Start,
    bring: Callable[[bytes], Awaitable[None]],
) -> None:
    release = publish(fleet)
    await bring(release)
    shelf.is_full = True
    async with start() as gateway:
        await until(lambda: bool(gateway.tally.gauges.get("fleet_connected")))
        gateway.own_software.tick()
        assert shelf.written.trial == release
        shelf.is_full = False
        await until(told(fleet, pb.UPDATE_STATE_CONFIRMED))


async def test_what_is_wanted_survives_a_restart_without_the_fleet(
    fleet: FakeFleet, shelf: FakeShelf, start: Start
) -> None:
    release = publish(fleet)
    content = fleet.artifacts.pop(release)
    async with start() as gateway:
        want(fleet, release)
        await until(lambda: gateway.uplink.desired_revision == 2)
    fleet.artifacts[release] = content
    async with start() as gateway:
        await until(gateway.replaced.is_set)


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("is refused", pb.UPDATE_STATE_REJECTED),
        ("not for gateways", pb.UPDATE_STATE_REJECTED),
        ("runs release 5", pb.UPDATE_STATE_REJECTED),
        ("without its launcher", pb.UPDATE_STATE_REJECTED),
        ("no way back", pb.UPDATE_STATE_REJECTED),
        ("make room", pb.UPDATE_STATE_FAILED),
    ],
)
async def test_what_must_not_or_cannot_run_is_refused_with_a_reason(
    fleet: FakeFleet, shelf: FakeShelf, start: Start, words: str, state: int
) -> None:
    release = publish(fleet)
    if words == "is refused":
        release = publish(fleet, key=Ed25519PrivateKey.generate())
    elif words == "not for gateways":
        release = publish_component(fleet, Component.of_bundle(BUNDLE), "pole-basic", 2, KEY)
    elif words == "runs release 5":
        shelf.install(b"r" * 32, b"", b"content")
        shelf.installed[b"r" * 32] = shelf.installed[b"r" * 32].__class__("1.5.0", 5)
        shelf.written = shelf.written.__class__(confirmed=b"r" * 32)
    elif words == "without its launcher":
        shelf.has_launcher = False
    elif words == "no way back":
        shelf.readable = 99
    else:
        shelf.free = 1 << 20
    async with start() as gateway:
        want(fleet, release)
        await until(told(fleet, state))
        assert words in fleet.gateway_software.update.reason
        assert not gateway.replaced.is_set()
    assert shelf.written.trial is None


async def test_a_running_release_is_confirmed_whatever_the_record_says(
    fleet: FakeFleet, shelf: FakeShelf, config: GatewayConfig
) -> None:
    release = publish(fleet)
    shelf.install(release, b"", b"content")
    shelf.running = release
    async with bootstrap.running(config):
        want(fleet, release)
        await until(told(fleet, pb.UPDATE_STATE_CONFIRMED))
        assert fleet.gateway_software.release_sequence == 2
    # And one that is written down, but not what runs, is not told as running.
    shelf.running = INSTALLED
    async with bootstrap.running(config):
        await until(lambda: len(fleet.hellos) == 2 and fleet.gateway_software.version != "")
        await until(lambda: fleet.gateway_software.release_sequence == 0)
