"""The board's end of a serial line, and a pseudo-terminal that real tools open like a USB port.

Not reset lines: a pseudo-terminal has no DTR and RTS, tools report that and go on; `network_line`
has them.
"""

import asyncio
import fcntl
import os
import struct
import time
import tty
from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

_READ_BYTES = 4096
# Start bit, eight data bits, stop bit.
_BITS_PER_BYTE = 10
# A later wake-up than this is no property of a timer but a busy machine.
_MAX_LATE_S = 0.005
# A shorter wait costs a wake-up and would not be kept.
_SHORT_S = 0.0005
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

    The tool's time counts, this machine's time for being the board does not:
    1. A wake-up later than asked for is taken off the next transfer.
    2. A reply begins where its request ended, however long it took to make.
    3. A wait too short for a timer is left out and added to the next transfer.
    """

    def __init__(
        self,
        pace_baud: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pace_baud = pace_baud
        self._clock = clock
        self._sleep = sleep
        self._busy_until = dict.fromkeys(Direction, 0.0)
        # Where the latest transfer ended on the wire, and when that was over here.
        self._latest = Direction.OUT
        self._ended_at = self._over_at = 0.0

    async def pass_time(self, direction: Direction, size_bytes: int, baud: int) -> None:
        """Wait as long as the bytes take at the lower of the two rates, after those before them."""
        if self._pace_baud is None:
            return
        now = self._clock()
        late_s = min(self._over_at - self._ended_at, _MAX_LATE_S)
        made_in_s = now - self._over_at
        is_reply = direction is Direction.OUT and self._latest is Direction.IN
        if is_reply and made_in_s < _MAX_LATE_S:
            late_s += made_in_s
        start = max(self._busy_until[direction], now - late_s)
        end = start + size_bytes * _BITS_PER_BYTE / max(1, min(self._pace_baud, baud))
        if (wait_s := end - now) > _SHORT_S:
            await self._sleep(wait_s)
        self._busy_until[direction] = self._ended_at = end
        self._over_at = self._clock()
        self._latest = direction


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
        # The kernel hands a message over in pieces; one wake-up for all of it is enough.
        data = b""
        while len(data) < _READ_BYTES and (piece := self._take()):
            await self._wire.pass_time(Direction.IN, len(piece), self.baud)
            data += piece
        return data

    def _take(self) -> bytes:
        try:
            return os.read(self._master, _READ_BYTES)
        except BlockingIOError:
            return b""

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
