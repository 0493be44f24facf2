"""The datagram transport that both boards share: one UDP socket under asyncio.

Not a resolver: boards differ in what an address is, so they open the socket.
"""

import socket
from asyncio import core  # type: ignore[attr-defined]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator


class Transport:
    """One UDP socket; addresses are opaque and hashable."""

    def __init__(self, sock: "socket.socket") -> None:
        self._socket = sock

    async def receive_into(self, buffer: bytearray) -> "tuple[int, Any]":
        """Wait for a datagram; a longer one than the buffer is cut.

        Returns:
            How many bytes of the buffer were filled, and the sender's address.
        """
        while True:
            try:
                datagram, address = self._socket.recvfrom(len(buffer))
            except OSError:  # EAGAIN, or an ICMP error that belongs to an earlier send
                await _readable(self._socket)  # type: ignore[misc]
                continue
            buffer[: len(datagram)] = datagram
            return len(datagram), address

    def send(self, datagram: "bytes | bytearray | memoryview", address: "Any") -> None:
        """Send or lose one datagram, as UDP does; it never blocks."""
        try:
            self._socket.sendto(datagram, address)
        except OSError:  # no route, full buffer: retransmission is the endpoint's business
            pass

    def close(self) -> None:
        """Give the port back."""
        core._io_queue.remove(self._socket)
        self._socket.close()


def _readable(sock: "socket.socket") -> "Iterator[None]":
    # asyncio has no datagram API; this is what its streams do themselves.
    yield core._io_queue.queue_read(sock)
