"""The board's end of a serial line, and a pseudo-terminal that real tools open like a USB port.

Not reset lines: a pseudo-terminal has no DTR and RTS, tools report that and go on; `network_line`
has them.
"""

import asyncio
import fcntl
import os
import struct
import tty
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

_READ_BYTES = 4096
# Start bit, eight data bits, stop bit.
_BITS_PER_BYTE = 10
# A later wake-up than this is no property of a timer but a busy machine.
_MAX_LATE_S = 0.005
# Linux `TCGETS2`: the only call that tells any rate as a number.
_TCGETS2 = 0x802C542A
_TERMIOS2 = struct.Struct("<4IB19s2I")


class Line(Protocol):
    """A serial line as the board sees it.

    Not guaranteed: that anybody is there; what is sent to nobody is lost.
    """

    @property
    def baud(self) -> int:
        """The rate the tool on the other end has set."""

    @property
    def path(self) -> str:
        """What tools are given as the port."""

    async def read(self) -> bytes:
        """Wait for bytes and return them; bytes are lost when this is cancelled."""

    async def write(self, data: bytes) -> None:
        """Send bytes."""

    def send_at_once(self, data: bytes) -> None:
        """Send bytes ahead of any that are waiting for their time on the wire."""


class Direction(Enum):
    """Which way bytes go, as the board sees it; the two do not hinder each other."""

    IN = "in"
    OUT = "out"


class Wire:
    """The time that bytes take on a wire; without a rate they take none.

    An event loop wakes up late. By how much is remembered and taken off the next transfer, so
    that a dialogue of many small messages is as fast as it would be with an exact clock.
    """

    def __init__(self, pace_baud: int | None) -> None:
        self._pace_baud = pace_baud
        self._busy_until = dict.fromkeys(Direction, 0.0)
        self._late_s = 0.0

    async def pass_time(self, direction: Direction, size_bytes: int, baud: int) -> None:
        """Wait as long as the bytes take at the lower of the two rates, after those before them."""
        if self._pace_baud is None:
            return
        loop = asyncio.get_running_loop()
        rate = max(1, min(self._pace_baud, baud))
        start = max(self._busy_until[direction], loop.time() - self._late_s)
        end = start + size_bytes * _BITS_PER_BYTE / rate
        self._busy_until[direction] = end
        if (wait_s := end - loop.time()) > 0:
            await asyncio.sleep(wait_s)
        self._late_s = min(loop.time() - end, _MAX_LATE_S)


class PtyLine:
    """A pseudo-terminal with the board on its inner side.

    With `pace_baud` bytes take the time they would take on a wire, at the lower of that rate and
    the one the tool has set. What nobody reads is dropped once the kernel's buffer is full, as on
    a real line, and counted in `dropped_bytes`.
    """

    def __init__(self, *, link: Path | None = None, pace_baud: int | None = None) -> None:
        self._master, self._slave = os.openpty()
        # Held open so that settings and buffered bytes outlive one tool and wait for the next.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._wire = Wire(pace_baud)
        self.dropped_bytes = 0
        self._path = os.ttyname(self._slave)
        self._link = link
        if link:
            link.unlink(missing_ok=True)
            link.symlink_to(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the port away, as pulling the cable does."""
        if self._link:
            self._link.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self._master)

    @property
    def path(self) -> str:
        """What tools are given as the port."""
        return str(self._link or self._path)

    @property
    def baud(self) -> int:
        """The rate the tool on the other end has set."""
        answer = fcntl.ioctl(self._master, _TCGETS2, bytes(_TERMIOS2.size))
        return int(_TERMIOS2.unpack(answer)[-1])

    async def read(self) -> bytes:
        """Wait for bytes and return them, when paced no sooner than a wire would bring them.

        Raises:
            asyncio.CancelledError: as usual; bytes that were taken by then are lost.
        """
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._master, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._master)
        data = os.read(self._master, _READ_BYTES)
        await self._wire.pass_time(Direction.IN, len(data), self.baud)
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes, when paced no faster than a wire does."""
        await self._wire.pass_time(Direction.OUT, len(data), self.baud)
        self.send_at_once(data)

    def send_at_once(self, data: bytes) -> None:
        """Send bytes ahead of any that are waiting for their time on the wire."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._master, view) :]
            except BlockingIOError:
                self.dropped_bytes += len(view)
                return
