"""The gateway's UDP port as two sockets, so that a flood of reports holds up nothing urgent.

Not what is in the datagrams. The kernel sorts them by their first two bytes: a request with a short
token is bulk (reports, registrations, blocks of releases); everything else is urgent (events, whose
tokens are long, answers of nodes to commands, acknowledgements). When more reports come than can be
taken, the bulk lane overflows in the kernel, where it costs nothing, and nodes send them again.
"""

import ctypes
import socket
import struct
from typing import NamedTuple

from nodelink.limits import URGENT_TOKEN_BYTES
from poleward_gateway.domain.errors import ConfigurationError

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Of each lane: holds what arrives while a commit or a garbage collection takes its time."""

IP_PKTINFO = 8
"""Linux's number; the socket module of this Python does not name it."""
_SO_ATTACH_REUSEPORT_CBPF = 51
"""Linux, include/uapi/asm-generic/socket.h; socket(7)."""

# Classic BPF (Linux, Documentation/networking/filter.rst): operation, jump if true, jump if false,
# operand. Loads count from the UDP payload; one beyond its end gives 0, the bulk lane.
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD_BYTE = 0x30
_AND = 0x54
_JUMP_IF_EQUAL = 0x15
_RETURN = 0x06
_BULK, _URGENT = 0, 1
_POST = 0x02  # RFC 7252, 12.1.1; the outer code of nearly every OSCORE request (RFC 8613, 4.2)
_TOKEN_LENGTH = 0x0F  # RFC 7252, 3
_SORT = (
    (_LOAD_BYTE, 0, 0, 1),
    (_JUMP_IF_EQUAL, 0, 3, _POST),
    (_LOAD_BYTE, 0, 0, 0),
    (_AND, 0, 0, _TOKEN_LENGTH),
    (_JUMP_IF_EQUAL, 0, 1, URGENT_TOKEN_BYTES),
    (_RETURN, 0, 0, _URGENT),
    (_RETURN, 0, 0, _BULK),
)


class Lanes(NamedTuple):
    """Both sockets of the port; the order is that in which they are emptied."""

    urgent: socket.socket
    bulk: socket.socket

    def close(self) -> None:
        """Close both."""
        self.urgent.close()
        self.bulk.close()


def open_lanes(host: str, port: int) -> Lanes:
    """Bind the UDP port of the node link; port 0 chooses a free one.

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
    lanes = Lanes(
        urgent=socket.socket(family, socket.SOCK_DGRAM),
        bulk=socket.socket(family, socket.SOCK_DGRAM),
    )
    try:
        for sock in lanes:
            _prepare(sock)
        # Alone first, so that a port that somebody uses is refused; then the second may join. The
        # kernel numbers them in this order.
        lanes.bulk.bind(sockaddr)
        for sock in lanes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        lanes.urgent.bind(lanes.bulk.getsockname())
        _sort(lanes.bulk)
    except OSError as error:
        lanes.close()
        raise ConfigurationError(
            f"cannot serve nodes on UDP port {port} of {host}: {error}; "
            "stop the program that uses it or choose another with --coap-port"
        ) from error
    return lanes


def _prepare(sock: socket.socket) -> None:
    """Set what both sockets need."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def _sort(sock: socket.socket) -> None:
    """Have the kernel choose the lane of each datagram."""
    code = b"".join(
        _INSTRUCTION.pack(operation, if_true, if_false, operand)
        for operation, if_true, if_false, operand in _SORT
    )
    program = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: count of instructions, pointer to them.
    described = struct.pack("@HP", len(_SORT), ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, described)
