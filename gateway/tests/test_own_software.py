"""The gateway brings itself to a release: what it fetches, tries, confirms and refuses."""

import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateway_fakes.desired import desired_node, desired_release
from gateway_fakes.directing import DAY_S, directed, document
from gateway_fakes.fleet import GATEWAY_NAME, FakeFleet
from gateway_fakes.node import MakeNode, until
from gateway_fakes.shelf import FakeShelf

from poleward.v1 import gateway_link_service_pb2 as pb
from poleward_gateway import bootstrap
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.software import INSTALLED, Schema, SoftwareRecord, begin
from poleward_gateway.ports.software import ReleaseNames
from poleward_manifest import bundle, wheel_set
from poleward_manifest.envelope import Component, Manifest, sign

KEY = Ed25519PrivateKey.generate()
WHEELS = wheel_set.pack({"poleward-1.2.0-py3-none-any.whl": bytes(5000)})
BUNDLE = bundle.pack({"node/app.mpy": b"code"})
ME = f"gateway:{GATEWAY_NAME}"
DOCUMENT = document(KEY)
Start = Callable[[], AbstractAsyncContextManager[bootstrap.Gateway]]


def publish(fleet: FakeFleet, *, key: Ed25519PrivateKey = KEY, downgrade: str = "") -> bytes:
    component = Component.of_wheels(WHEELS)
    manifest = Manifest(2, "1.2.0", "gateway", component, downgrade=downgrade)
    give(fleet, WHEELS)
    return give(fleet, sign(manifest, [key]))


def give(fleet: FakeFleet, content: bytes) -> bytes:
    digest = hashlib.sha256(content).digest()
    fleet.artifacts[digest] = content
    return digest


def want(
    fleet: FakeFleet, release: bytes, *said: Any, revision: int = 2, document: bytes = b""
) -> None:
    """Want a release of the gateway, with a directive and the times in which it may be installed.

    Args:
        document: Trust document that asks for directives; empty for none.
    """
    fleet.desire(
        [desired_node(number) for number in (1, 2, 3)],
        revision=revision,
        release_keys=(KEY.public_key().public_bytes_raw(),),
        trust_documents=(give(fleet, document),) if document else (),
        gateway_release=desired_release(release, *said),
    )


def run_release(shelf: FakeShelf, number: int) -> None:
    """Have the gateway run a release from its next start on."""
    shelf.installed[b"r" * 32] = ReleaseNames(f"1.{number}.0", number)
    shelf.written = SoftwareRecord(confirmed=b"r" * 32)


def told(fleet: FakeFleet, state: int) -> Callable[[], bool]:
    return lambda: (
        fleet.gateway_software is not None and fleet.gateway_software.update.state == state
    )


def refused(fleet: FakeFleet, release: bytes, words: str) -> Callable[[], bool]:
    def is_so() -> bool:
        update = fleet.gateway_software.update
        return update.release_digest == release and words in update.reason

    return lambda: told(fleet, pb.UPDATE_STATE_REJECTED)() and is_so()


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
        await until(told(fleet, pb.UPDATE_STATE_IDLE))
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
        manifest = Manifest(2, "1.2.0", "pole-basic", Component.of_bundle(BUNDLE))
        release = give(fleet, sign(manifest, [KEY]))
    elif words == "runs release 5":
        run_release(shelf, 5)
    elif words == "without its launcher":
        shelf.has_launcher = False
    elif words == "no way back":
        shelf.written_schema = Schema(99, 99)
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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the gateway look again soon."""
    monkeypatch.setattr("poleward_gateway.services.trust.FETCH_AGAIN_S", 0.1)
    monkeypatch.setattr("poleward_gateway.services.own_software.LOOK_AGAIN_S", 0.1)
    monkeypatch.setattr("poleward_gateway.services.upkeep.TICK_S", 0.05)


@pytest.mark.usefixtures("quick")
async def test_nothing_is_fetched_without_a_directive_that_holds(
    fleet: FakeFleet, shelf: FakeShelf, start: Start
) -> None:
    release = publish(fleet)
    cases = (
        (b"", pb.UPDATE_STATE_REJECTED, f"no directive for {ME}"),
        (directed(bytes(32), ME), pb.UPDATE_STATE_REJECTED, "is for release 0000"),
        (directed(release, "gateway:gw"), pb.UPDATE_STATE_REJECTED, "on gateway:gw, not"),
        (directed(release, "node:00000000000b"), pb.UPDATE_STATE_REJECTED, "on node:00000000000b"),
        (directed(release, ME, key=KEY), pb.UPDATE_STATE_REJECTED, "trusted keys signed"),
        (directed(release, ME, from_s=-2 * DAY_S), pb.UPDATE_STATE_FROZEN, "holds from"),
        (directed(release, ME, from_s=DAY_S), pb.UPDATE_STATE_FROZEN, "holds from"),
    )
    async with start() as gateway:
        for revision, (signed, state, words) in enumerate(cases, 1):
            want(fleet, release, signed, revision=2 * revision, document=DOCUMENT)
            await until(told(fleet, state))
            assert words in fleet.gateway_software.update.reason
            want(fleet, b"", revision=2 * revision + 1, document=DOCUMENT)
            await until(told(fleet, pb.UPDATE_STATE_IDLE))
        assert not shelf.installed
        want(fleet, release, directed(release, ME), revision=20, document=DOCUMENT)
        await until(gateway.replaced.is_set)


@pytest.mark.usefixtures("quick")
async def test_it_goes_back_only_with_a_permission_that_covers_it(
    fleet: FakeFleet, shelf: FakeShelf, start: Start
) -> None:
    revisions = itertools.count(2)

    def want_back(permission: str) -> bytes:
        release = publish(fleet, downgrade=permission)
        signed = directed(release, ME)
        want(fleet, release, signed, revision=next(revisions), document=DOCUMENT)
        return release

    for number, permissions in ((5, ("", "rollout:other", "gateway:gw")), (2, ("rollout:back",))):
        run_release(shelf, number)
        async with start():
            for permission in permissions:
                release = want_back(permission)
                await until(refused(fleet, release, f"runs release {number}"))
    for permission in ("rollout:back", ME):
        run_release(shelf, 5)
        want_back(permission)
        async with start() as gateway:
            await until(gateway.replaced.is_set)
        async with start():
            await until(told(fleet, pb.UPDATE_STATE_CONFIRMED))
            assert fleet.gateway_software.release_sequence == 2


@pytest.mark.usefixtures("quick")
async def test_it_is_tried_in_a_time_that_the_fleet_gave(
    fleet: FakeFleet, shelf: FakeShelf, start: Start
) -> None:
    now_s = int(time.time())
    release = publish(fleet)
    want(fleet, release, b"", now_s + 3600, now_s + 7200)
    for _ in range(2):  # it waits on after a restart
        fleet.gateway_software = None
        async with start():
            await until(told(fleet, pb.UPDATE_STATE_DOWNLOADED))
        assert (shelf.is_whole(release), shelf.written.trial) == (True, None)
    async with start() as gateway:
        want(fleet, release, b"", 0, now_s + 3600, revision=3)
        await until(gateway.replaced.is_set)


@pytest.mark.usefixtures("quick")
async def test_a_directive_that_ends_while_it_waits_for_its_time_stops_it(
    fleet: FakeFleet, shelf: FakeShelf, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = int(time.time())
    release = publish(fleet)
    signed = directed(release, ME)
    want(fleet, release, signed, now_s + 2 * DAY_S, now_s + 3 * DAY_S, document=DOCUMENT)
    async with start() as gateway:
        await until(told(fleet, pb.UPDATE_STATE_DOWNLOADED))
        clock = gateway.own_software._clock
        monkeypatch.setattr(type(clock), "now_ms", lambda _: (now_s + 2 * DAY_S + 60) * 1000)
        await until(told(fleet, pb.UPDATE_STATE_FROZEN))
        assert not gateway.replaced.is_set()
    assert shelf.written.trial is None
