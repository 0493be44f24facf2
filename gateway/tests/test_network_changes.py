"""A gateway tries its fleet again as soon as it has a network."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import until

from poleward_gateway import bootstrap
from poleward_gateway.adapters.fleet_link import link
from poleward_gateway.adapters.fleet_link.network_changes import brings_network, watching_network
from poleward_gateway.config import GatewayConfig


def message(kind: int, body: bytes = b"") -> bytes:
    """A message of rtnetlink, padded as the kernel does."""
    length = 16 + len(body)
    return struct.pack("=IHHII", length, kind, 0, 0, 0) + body + bytes(-length % 4)


def link_with(flags: int) -> bytes:
    return message(16, struct.pack("=BxHiII", 0, 1, 2, flags, 0xFFFFFFFF) + b"eth0")


@pytest.mark.parametrize(
    ("told", "brings"),
    [
        (message(20), True),  # RTM_NEWADDR
        (message(24), True),  # RTM_NEWROUTE
        (message(21) + message(25), False),  # an address and a route are gone
        (link_with(0x1043), True),  # up, with a link
        (link_with(0x1003), False),  # up, the cable is out
        (message(21, b"odd") + link_with(0x1043), True),
        (struct.pack("=IHHII", 0, 0, 0, 0, 0) * 3, False),
        (b"torn", False),
        (b"", False),
    ],
)
def test_what_packets_can_take_is_told_from_what_is_gone(told: bytes, brings: bool) -> None:
    assert brings_network(told) is brings


async def test_a_machine_that_does_not_let_us_listen_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not permitted")

    monkeypatch.setattr("socket.socket", refuse)
    with watching_network(lambda: None):
        pass


async def test_a_gateway_that_waits_tries_at_once_when_the_network_comes(
    config: GatewayConfig, fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    listeners: list[Callable[[], None]] = []

    @contextmanager
    def watching(on_network: Callable[[], None]) -> Iterator[None]:
        listeners.append(on_network)
        yield

    monkeypatch.setattr(link, "watching_network", watching)
    # Without the network it would wait for an hour.
    monkeypatch.setattr(link, "BACKOFF_MAX_S", 3600.0)
    monkeypatch.setattr("random.uniform", lambda low, high: high if high > 1 else 0.0)
    await fleet.stop()
    async with bootstrap.running(config) as gateway:
        await until(lambda: gateway.fleet_link._told is not None)
        await fleet.start(fleet.link_port)

        def is_connected() -> bool:
            listeners[0]()
            return bool(gateway.tally.gauges.get("fleet_connected"))

        await until(is_connected)
