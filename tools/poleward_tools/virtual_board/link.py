"""The board's link to its network: a relay for its datagrams that loses, delays and disturbs them.

Not the network's faults themselves; those are set on command. Without any it only passes on.
"""

import asyncio
import contextlib
import errno
import ipaddress
import random
import socket
from dataclasses import dataclass
from typing import Any

_DATAGRAM_BYTES = 2048
# How much later than its followers a datagram comes that is held back.
_HELD_BACK_S = 0.1
# Datagrams on their way; more are dropped, as a queue in a modem drops them.
_MAX_IN_FLIGHT = 256
_MAX_HOSTS = 64
# As the socket module gives it: host and port, for IPv6 also flow and scope.
Address = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class LinkFaults:
    """What happens to datagrams, in both directions.

    Args:
        loss: chance that one is lost.
        duplicate: chance that one arrives twice.
        reorder: chance that one is held back behind those after it.
        latency_ms: delay of each.
        jitter_ms: up to this much more, by chance.
        is_down: nothing passes.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    is_down: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no chance and no time.

        Raises:
            ValueError: with the value at fault.
        """
        for name in ("loss", "duplicate", "reorder"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a chance from 0 to 1, not {getattr(self, name)}")
        for name in ("latency_ms", "jitter_ms"):
            if not 0 <= getattr(self, name) <= 60_000:
                raise ValueError(f"{name} is 0 to 60000, not {getattr(self, name)}")


def arrivals_s(faults: LinkFaults, chance: random.Random) -> tuple[float, ...]:
    """Decide when one datagram arrives: the delay of each copy; none when it is lost."""
    if faults.is_down or chance.random() < faults.loss:
        return ()

    def delay_s() -> float:
        held_back_s = _HELD_BACK_S if chance.random() < faults.reorder else 0.0
        jitter_s = chance.random() * faults.jitter_ms / 1000
        return faults.latency_ms / 1000 + jitter_s + held_back_s

    copies = 2 if chance.random() < faults.duplicate else 1
    return tuple(delay_s() for _ in range(copies))


@dataclass(slots=True)
class LinkCounts:
    """Datagrams and their bytes since the board was made; what got lost was sent and counts."""

    from_node: int = 0
    to_node: int = 0
    lost: int = 0
    bytes_from_node: int = 0
    bytes_to_node: int = 0


class Link:
    """The network between one node and its hosts; the node has one address in it, as behind a NAT.

    Each host has a socket of its own towards the node, so that answers find their way back. A
    stranger that sends to the node's address gets one too, up to 64 in all; others are not heard.
    Overflow: of more than 256 datagrams on their way the newest are dropped and counted as lost.
    """

    def __init__(self, seed: int = 0) -> None:
        self.faults = LinkFaults()
        self.counts = LinkCounts()
        self._chance = random.Random(seed)
        self._node: Address | None = None
        self._inner: dict[Address, socket.socket] = {}
        self._outer: dict[str, socket.socket] = {}
        self._in_flight = 0

    def route(self, host: str, port: int) -> tuple[str, int]:
        """Return where the node has to send what is for a host.

        Raises:
            OSError: the host's name does not resolve, or there are too many hosts.
        """
        peer: Address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4]
        inner = self._inner_of(peer)
        if inner is None:
            raise OSError(errno.EMFILE, f"more than {_MAX_HOSTS} hosts")
        inner_host, inner_port = inner.getsockname()
        return inner_host, inner_port

    def rebind(self) -> None:
        """Let the network forget the node's address: from now on it comes from another port."""
        loop = asyncio.get_running_loop()
        before, self._outer = self._outer, {}
        # Opened before the old ones close, or the system may give the same port again.
        for local in before:
            self._outer_at(local)
        for outer in before.values():
            loop.remove_reader(outer)
            outer.close()

    def close(self) -> None:
        """Forget all connections, as a reset does; a route asked for later is a new one."""
        loop = asyncio.get_running_loop()
        for end in (*self._inner.values(), *self._outer.values()):
            loop.remove_reader(end)
            end.close()
        self._inner.clear()
        self._outer.clear()
        self._node = None

    def _inner_of(self, peer: Address) -> socket.socket | None:
        inner = self._inner.get(peer)
        if inner is None and len(self._inner) < _MAX_HOSTS:
            inner = self._inner[peer] = _open("127.0.0.1")
            loop = asyncio.get_running_loop()
            loop.add_reader(inner, self._take_from_node, inner, peer)
            self._outer_at(_local(peer))
        return inner

    def _outer_at(self, local: str) -> socket.socket:
        outer = self._outer.get(local)
        if outer is None:
            outer = self._outer[local] = _open(local)
            asyncio.get_running_loop().add_reader(outer, self._take_from_host, outer)
        return outer

    def _take_from_node(self, inner: socket.socket, peer: Address) -> None:
        with contextlib.suppress(BlockingIOError):
            datagram, self._node = inner.recvfrom(_DATAGRAM_BYTES)
            self.counts.from_node += 1
            self.counts.bytes_from_node += len(datagram)
            self._carry(self._outer_at(_local(peer)), datagram, peer)

    def _take_from_host(self, outer: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            datagram, peer = outer.recvfrom(_DATAGRAM_BYTES)
            inner = self._inner_of(peer)
            if inner and self._node:
                self.counts.to_node += 1
                self.counts.bytes_to_node += len(datagram)
                self._carry(inner, datagram, self._node)

    def _carry(self, sender: socket.socket, datagram: bytes, to: Address) -> None:
        """Send a datagram as the faults have it."""
        arrivals = arrivals_s(self.faults, self._chance)
        if not arrivals or self._in_flight + len(arrivals) > _MAX_IN_FLIGHT:
            self.counts.lost += 1
            return
        for delay_s in arrivals:
            if delay_s:
                self._in_flight += 1
                loop = asyncio.get_running_loop()
                loop.call_later(delay_s, self._arrive, sender, datagram, to)
            else:
                _send(sender, datagram, to)

    def _arrive(self, sender: socket.socket, datagram: bytes, to: Address) -> None:
        self._in_flight -= 1
        if sender.fileno() >= 0:
            _send(sender, datagram, to)


def _local(peer: Address) -> str:
    """Choose the address to reach a peer from: one that only this machine sees when that is it."""
    host = ipaddress.ip_address(peer[0].partition("%")[0])
    if host.is_loopback:
        return "127.0.0.1" if host.version == 4 else "::1"
    return "0.0.0.0" if host.version == 4 else "::"  # noqa: S104 - any way out


def _open(local: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in local else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((local, 0))
    return sock


def _send(sender: socket.socket, datagram: bytes, to: Address) -> None:
    # A full socket loses datagrams; that is what they are there for.
    with contextlib.suppress(OSError):
        sender.sendto(datagram, to)
