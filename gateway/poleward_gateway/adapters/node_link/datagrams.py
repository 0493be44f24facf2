"""The UDP socket of the node link, for both roles, as a transport of aiocoap.

Not what is in the datagrams. aiocoap's own transports are not used: they leave the receive buffer
at its default (which lost 249 datagrams in 2 s), and one ICMP error can stop them for good.
"""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from aiocoap import interfaces
from aiocoap.message import Message

from poleward_gateway.domain.errors import ConfigurationError
from poleward_gateway.ports import Tally

_log = structlog.get_logger(__name__)

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Holds what arrives while a commit or a garbage collection takes its time."""

DATAGRAMS_PER_TURN = 64
"""Datagrams taken before other tasks get a turn."""

DATAGRAM_MAX_BYTES = 2048
"""A longer one is not from a node: block size 1024 and headers are the most it sends."""


_PKTINFO_IPV6 = struct.Struct("16sI")
"""struct in6_pktinfo (RFC 3542, 6.1): address, interface."""
_PKTINFO_IPV4 = struct.Struct("I4s4s")
"""struct in_pktinfo (Linux ip(7)): interface, local address, destination."""
_IP_PKTINFO = 8
"""Linux's number; the socket module of this Python does not name it."""
_ANCILLARY_BYTES = socket.CMSG_SPACE(_PKTINFO_IPV6.size)


class NodeAddress(interfaces.EndpointAddress):  # type: ignore[misc]
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


def open_socket(host: str, port: int) -> socket.socket:
    """Bind the UDP socket of the node link.

    Raises:
        ConfigurationError: The port is taken or the address is not ours; choose another.
    """
    try:
        family, _, _, _, sockaddr = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST
        )[0]
    except OSError as error:
        raise ConfigurationError(
            f"cannot serve nodes on {host}: {error}; give an IPv4 or IPv6 address of this machine"
        ) from error
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.bind(sockaddr)
    except OSError as error:
        sock.close()
        raise ConfigurationError(
            f"cannot serve nodes on UDP port {port} of {host}: {error}; "
            "stop the program that uses it or choose another with --coap-port"
        ) from error
    return sock


class DirectPath(Protocol):
    """Takes datagrams before aiocoap does (report_path.py)."""

    def take(self, datagram: bytes, address: NodeAddress, send: Send) -> bool:
        """Take a datagram; False leaves it to aiocoap."""

    def flush(self, send: Send) -> None:
        """Go on with what was taken; no more has arrived for the moment."""


class DatagramInterface(interfaces.MessageInterface):  # type: ignore[misc]
    """Moves datagrams between the socket and aiocoap's message layer.

    A datagram that cannot be parsed is counted and ignored. A datagram that cannot be sent is
    counted and left to retransmission.

    Args:
        reports: Sees every datagram first; None for none.
    """

    def __init__(
        self, sock: socket.socket, messages: Any, tally: Tally, reports: DirectPath | None
    ) -> None:
        self._socket = sock
        self._messages = messages
        self._tally = tally
        self._reports = reports
        # A socket of one address always answers from it.
        self._has_one_address = not ipaddress.ip_address(
            sock.getsockname()[0].partition("%")[0]
        ).is_unspecified
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._drain)

    @property
    def port(self) -> int:
        """UDP port that is bound."""
        return int(self._socket.getsockname()[1])

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
        """Close the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _drain(self) -> None:
        """Take what has arrived."""
        received = 0
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                if self._has_one_address:
                    datagram, sockaddr = self._socket.recvfrom(DATAGRAM_MAX_BYTES)
                    address = NodeAddress(sockaddr)
                else:
                    datagram, ancillary, _, sockaddr = self._socket.recvmsg(
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
        if received:
            self._tally.count("datagrams_received", received)
        if self._reports is not None:
            self._reports.flush(self.send_bytes)

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
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            return socket.inet_ntop(socket.AF_INET, _PKTINFO_IPV4.unpack_from(data)[1])
    return None


def _answer_from(local_host: str) -> tuple[int, int, bytes]:
    """Make the ancillary data that sends from one of our addresses; routing chooses the link."""
    if ":" in local_host:
        packed = _PKTINFO_IPV6.pack(socket.inet_pton(socket.AF_INET6, local_host), 0)
        return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, packed
    packed = _PKTINFO_IPV4.pack(0, socket.inet_pton(socket.AF_INET, local_host), bytes(4))
    return socket.IPPROTO_IP, _IP_PKTINFO, packed
