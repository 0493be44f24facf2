"""The UDP port of the node link, for both roles, as a transport of aiocoap.

Not what is in the datagrams. aiocoap's own transports are not used: they leave the receive buffer
at its default (which lost 249 datagrams in 2 s), and one ICMP error can stop them for good.
"""

import asyncio
import ipaddress
import json
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from aiocoap import interfaces
from aiocoap.message import Message

from poleward_gateway.adapters.node_link.lanes import IP_PKTINFO, Lanes
from poleward_gateway.ports.clock import Tally

_log = structlog.get_logger(__name__)

DATAGRAMS_PER_TURN = 128
"""Datagrams taken from each lane before other tasks get a turn."""

DATAGRAM_MAX_BYTES = 2048
"""A longer one is not from a node: block size 1024 and headers are the most it sends."""


_PKTINFO_IPV6 = struct.Struct("16sI")
"""struct in6_pktinfo (RFC 3542, 6.1): address, interface."""
_PKTINFO_IPV4 = struct.Struct("I4s4s")
"""struct in_pktinfo (Linux ip(7)): interface, local address, destination."""
_ANCILLARY_BYTES = socket.CMSG_SPACE(_PKTINFO_IPV6.size)


class NodeAddress(interfaces.EndpointAddress):
    """Address and port of a peer, hashable, for aiocoap's tables.

    Args:
        sockaddr: As the socket gave it.
        local_host: Address of ours that the peer spoke to; answers must come from there.
    """

    __slots__ = ("local_host", "sockaddr")

    scheme = "coap"
    is_multicast = False
    is_multicast_locally = False

    def __init__(self, sockaddr: tuple[Any, ...], local_host: str | None = None) -> None:
        self.sockaddr = sockaddr
        self.local_host = local_host

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeAddress) and self.sockaddr[:2] == other.sockaddr[:2]

    def __hash__(self) -> int:
        return hash(self.sockaddr[:2])

    def __repr__(self) -> str:
        return self.hostinfo

    def to_text(self) -> str:
        """Encode the address as JSON."""
        return json.dumps([self.local_host, *self.sockaddr])

    @classmethod
    def from_text(cls, text: str) -> "NodeAddress":
        """Decode an address; the inverse of `to_text`."""
        local_host, *sockaddr = json.loads(text)
        return cls(tuple(sockaddr), local_host)

    @property
    def hostinfo(self) -> str:
        """Address and port for people; an IPv4 peer of an IPv6 socket is shown as IPv4."""
        host = str(self.sockaddr[0]).removeprefix("::ffff:")
        return f"[{host}]:{self.sockaddr[1]}" if ":" in host else f"{host}:{self.sockaddr[1]}"

    @property
    def hostinfo_local(self) -> str:
        """Not known: one socket serves every local address."""
        return ""

    @property
    def uri_base(self) -> str:
        """URI of the peer."""
        return f"coap://{self.hostinfo}"

    @property
    def uri_base_local(self) -> str:
        """Not known: one socket serves every local address."""
        return "coap://"

    @property
    def blockwise_key(self) -> tuple[Any, ...]:
        """Peers are told apart by address here, by security context above."""
        return self.sockaddr[:2]


Send = Callable[[bytes, NodeAddress], None]
"""Sends a datagram to an address."""


PAUSE_S = 0.005
"""The bulk lane is left alone this long when reports come faster than the disk takes them."""
STALLED_S = 1.0
"""After so long the disk is not busy but stuck: the bulk lane is read, and its reports refused."""


class DirectPath(Protocol):
    """Takes datagrams before aiocoap does (report_path.py)."""

    def is_behind(self) -> bool:
        """Say whether enough is on its way to the disk for now."""

    def take(self, datagram: bytes, address: NodeAddress, send: Send) -> bool:
        """Take a datagram; False leaves it to aiocoap."""

    def flush(self, send: Send) -> None:
        """Go on with what was taken; no more has arrived for the moment."""


class DatagramInterface(interfaces.MessageInterface):
    """Moves datagrams between the port's lanes and aiocoap's message layer, the urgent lane first.

    While the direct path is behind, the bulk lane is not read: what is too much overflows in the
    kernel, and nodes send it again, which is gentler than to tell each of them to wait.

    A datagram that cannot be parsed is counted and ignored. A datagram that cannot be sent is
    counted and left to retransmission.

    Args:
        reports: Sees every datagram first; None for none.
    """

    def __init__(
        self, lanes: Lanes, messages: Any, tally: Tally, reports: DirectPath | None
    ) -> None:
        self._lanes = lanes
        self._socket = lanes.bulk
        self._messages = messages
        self._tally = tally
        self._reports = reports
        # A socket of one address always answers from it.
        self._has_one_address = not ipaddress.ip_address(
            lanes.bulk.getsockname()[0].partition("%")[0]
        ).is_unspecified
        self._loop = asyncio.get_running_loop()
        for sock in lanes:
            self._loop.add_reader(sock, self._drain)
        self._paused_at_s: float | None = None
        self._pause: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """UDP port that is bound."""
        return int(self._socket.getsockname()[1])

    @property
    def bound_host(self) -> str:
        """Local address that is served; empty when all of them are."""
        host = str(self._socket.getsockname()[0])
        return "" if host in ("::", "0.0.0.0") else host  # noqa: S104 - compared, not bound

    def local_host_towards(self, address: NodeAddress) -> str:
        """Return the local address from which a peer sees this gateway."""
        if address.local_host is not None:
            return address.local_host.removeprefix("::ffff:")
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as probe:
            probe.connect(address.sockaddr)
            return str(probe.getsockname()[0]).removeprefix("::ffff:")

    def send(self, message: Any) -> None:
        """Send a message of aiocoap's."""
        self.send_bytes(message.encode(), message.remote)

    def send_bytes(self, datagram: bytes, address: NodeAddress) -> None:
        """Send a datagram."""
        try:
            if address.local_host is None:
                self._socket.sendto(datagram, address.sockaddr)
            else:
                self._socket.sendmsg(
                    [datagram], [_answer_from(address.local_host)], 0, address.sockaddr
                )
        except OSError:
            self._tally.count("datagrams_not_sent")

    async def recognize_remote(self, remote: object) -> bool:
        """Say whether an address is one of ours."""
        return isinstance(remote, NodeAddress)

    async def determine_remote(self, message: object) -> None:
        """Find no address for a message without one: only known nodes are spoken to."""

    async def shutdown(self) -> None:
        """Close the sockets."""
        if self._pause is not None:
            self._pause.cancel()
        for sock in self._lanes:
            self._loop.remove_reader(sock)
        self._lanes.close()

    def _drain(self) -> None:
        """Take what has arrived."""
        received = self._drain_lane(self._lanes.urgent)
        if self._pause is None:
            received += self._drain_lane(self._lanes.bulk)
        if received:
            self._tally.count("datagrams_received", received)
        if self._reports is not None:
            self._reports.flush(self.send_bytes)
            if not self._reports.is_behind():
                self._paused_at_s = None
            elif self._pause is None:
                self._pause_bulk()

    def _pause_bulk(self) -> None:
        """Leave the bulk lane alone for a moment."""
        now_s = self._loop.time()
        if self._paused_at_s is None:
            self._paused_at_s = now_s
        elif now_s - self._paused_at_s > STALLED_S:
            return
        self._loop.remove_reader(self._lanes.bulk)
        self._pause = self._loop.call_later(PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        """Read the bulk lane again, unless the disk still has enough to do."""
        self._pause = None
        assert self._reports is not None
        if self._reports.is_behind():
            self._pause_bulk()
        if self._pause is None:
            self._loop.add_reader(self._lanes.bulk, self._drain)

    def _drain_lane(self, sock: socket.socket) -> int:
        """Take what has arrived on one lane; return how many datagrams."""
        received = 0
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                if self._has_one_address:
                    datagram, sockaddr = sock.recvfrom(DATAGRAM_MAX_BYTES)
                    address = NodeAddress(sockaddr)
                else:
                    datagram, ancillary, _, sockaddr = sock.recvmsg(
                        DATAGRAM_MAX_BYTES, _ANCILLARY_BYTES
                    )
                    address = NodeAddress(sockaddr, _local_host(ancillary))
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                # An ICMP error of an earlier send; retransmission deals with the loss.
                self._tally.count("socket_errors")
                continue
            received += 1
            self._take(datagram, address)
        return received

    def _take(self, datagram: bytes, address: NodeAddress) -> None:
        """Hand one datagram on; whatever is wrong with it must not stop the others."""
        try:
            if self._reports is not None and self._reports.take(datagram, address, self.send_bytes):
                return
            message = Message.decode(datagram, remote=address)
        except Exception:  # noqa: BLE001 - any error of the parser means garbage
            self._tally.count("datagrams_ignored")
            return
        try:
            self._messages.dispatch_message(message)
        except Exception:  # noqa: BLE001 - logged, and the next datagram is taken
            self._tally.count("datagrams_ignored")
            _log.exception("datagram_failed", peer=str(address))


def _local_host(ancillary: list[tuple[int, int, bytes]]) -> str | None:
    """Return the address of ours that a datagram was sent to."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return socket.inet_ntop(socket.AF_INET6, _PKTINFO_IPV6.unpack_from(data)[0])
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            return socket.inet_ntop(socket.AF_INET, _PKTINFO_IPV4.unpack_from(data)[1])
    return None


def _answer_from(local_host: str) -> tuple[int, int, bytes]:
    """Make the ancillary data that sends from one of our addresses; routing chooses the link."""
    if ":" in local_host:
        packed = _PKTINFO_IPV6.pack(socket.inet_pton(socket.AF_INET6, local_host), 0)
        return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, packed
    packed = _PKTINFO_IPV4.pack(0, socket.inet_pton(socket.AF_INET, local_host), bytes(4))
    return socket.IPPROTO_IP, IP_PKTINFO, packed
