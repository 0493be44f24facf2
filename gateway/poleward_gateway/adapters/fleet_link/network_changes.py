"""Tells when an interface of this machine gets a link, an address or a route.

Not whether the fleet can be reached then: trying shows that.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

_log = structlog.get_logger(__name__)

# linux/rtnetlink.h, rtnetlink(7): link, addresses and routes of both families.
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_RTM_NEWLINK = 16
_RTM_NEWADDR = 20
_RTM_NEWROUTE = 24
_IFF_RUNNING = 0x40
_DATAGRAM_MAX_BYTES = 65536


def brings_network(datagram: bytes) -> bool:
    """Say whether a datagram of rtnetlink tells of something that packets can take."""
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, offset)
        if kind in (_RTM_NEWADDR, _RTM_NEWROUTE):
            return True
        body = offset + _HEADER.size
        if kind == _RTM_NEWLINK and body + _LINK.size <= len(datagram):
            *_, flags, _ = _LINK.unpack_from(datagram, body)
            if flags & _IFF_RUNNING:
                return True
        offset += max(_HEADER.size, (length + 3) & ~3)
    return False


@contextmanager
def watching_network(on_network: Callable[[], None]) -> Iterator[None]:
    """Call back inside the block whenever the kernel tells of such a change.

    A machine that does not let us listen is only logged: the fleet is tried again anyway.
    """
    try:
        kernel = _listening()
    except OSError as error:
        _log.info("network_not_watched", why=str(error))
        yield
        return
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            datagram = kernel.recv(_DATAGRAM_MAX_BYTES)
        except OSError:  # ENOBUFS: more was told than was read, so that something changed
            on_network()
            return
        if brings_network(datagram):
            on_network()

    with kernel:
        loop.add_reader(kernel, read)
        try:
            yield
        finally:
            loop.remove_reader(kernel)


def _listening() -> socket.socket:
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        kernel.setblocking(False)
        kernel.bind((0, _GROUPS))
    except OSError:
        kernel.close()
        raise
    return kernel
