"""The board's link loses, delays, doubles and reorders datagrams, and changes its address."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward_tools.virtual_board.link import Link, LinkFaults, arrivals_s

DEADLINE_S = 60.0


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    made = Link(seed=3)
    yield made
    made.close()


@pytest.fixture
def host() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def node() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


async def receive(sock: socket.socket) -> tuple[bytes, tuple[str, int]]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE_S):
        return await loop.sock_recvfrom(sock, 2048)


async def test_without_faults_it_passes_both_ways(
    link: Link, host: socket.socket, node: socket.socket
) -> None:
    here = link.route(*host.getsockname())
    assert link.route(*host.getsockname()) == here
    node.sendto(b"report", here)
    datagram, address = await receive(host)
    assert datagram == b"report"
    host.sendto(b"ack", address)
    assert await receive(node) == (b"ack", here)


async def test_rebinding_changes_the_address_and_nothing_else(
    link: Link, host: socket.socket, node: socket.socket
) -> None:
    here = link.route(*host.getsockname())
    node.sendto(b"1", here)
    _, before = await receive(host)
    link.rebind()
    host.sendto(b"to the old address", before)
    node.sendto(b"2", here)
    datagram, after = await receive(host)
    assert (datagram, before != after) == (b"2", True)
    host.sendto(b"to the new address", after)
    assert await receive(node) == (b"to the new address", here)


async def test_what_is_delayed_or_held_back_arrives_later(
    link: Link, host: socket.socket, node: socket.socket
) -> None:
    here = link.route(*host.getsockname())
    link.faults = LinkFaults(reorder=1, duplicate=1)
    node.sendto(b"first", here)
    while not link.counts.from_node:  # noqa: ASYNC110 - nobody sets an Event
        await asyncio.sleep(0)
    link.faults = LinkFaults()
    node.sendto(b"second", here)
    assert [(await receive(host))[0] for _ in range(3)] == [b"second", b"first", b"first"]


async def test_what_is_down_loses_all_and_counts_it(
    link: Link, host: socket.socket, node: socket.socket
) -> None:
    here = link.route(*host.getsockname())
    link.faults = LinkFaults(is_down=True)
    node.sendto(b"lost", here)
    while not link.counts.lost:  # noqa: ASYNC110 - nobody sets an Event
        await asyncio.sleep(0)
    link.faults = LinkFaults()
    node.sendto(b"arrives", here)
    assert (await receive(host))[0] == b"arrives"


async def test_an_unreachable_host_breaks_nothing(link: Link, node: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    here = link.route(*address)
    for _ in range(3):
        node.sendto(b"anybody", here)
    while link.counts.from_node < 3:  # noqa: ASYNC110 - nobody sets an Event
        await asyncio.sleep(0)


def test_chances_are_kept() -> None:
    chance = random.Random(1)
    faults = LinkFaults(loss=0.1, duplicate=0.2)
    copies = [len(arrivals_s(faults, chance)) for _ in range(10_000)]
    assert 0.09 < copies.count(0) / 10_000 < 0.11
    assert 0.16 < copies.count(2) / 10_000 < 0.20


@given(st.floats(0, 1000), st.floats(0, 1000), st.integers())
def test_delays_stay_within_latency_and_jitter(
    latency_ms: float, jitter_ms: float, seed: int
) -> None:
    faults = LinkFaults(latency_ms=latency_ms, jitter_ms=jitter_ms)
    (delay_s,) = arrivals_s(faults, random.Random(seed))
    assert latency_ms / 1000 <= delay_s <= (latency_ms + jitter_ms) / 1000


@pytest.mark.parametrize("faults", [{"loss": 2}, {"duplicate": -1}, {"latency_ms": 1e9}])
def test_what_is_no_chance_and_no_time_is_refused(faults: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(faults))):
        LinkFaults(**faults)  # type: ignore[arg-type]
