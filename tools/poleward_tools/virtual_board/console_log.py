"""The console of a board as a file with a time on each line, and the line that writes it.

Not the console itself; this listens on the line.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from poleward_tools.virtual_board.line import Line

_MAX_BYTES = 1024 * 1024
_MAX_LINE_BYTES = 4096
_SLIP_END = b"\xc0"


class ConsoleLog:
    """A bounded log: at 1 MiB it is renamed to `….1.log`, which replaces the one before."""

    def __init__(self, path: Path, wall_clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._old_path = path.with_suffix(".1" + path.suffix)
        self._wall_clock = wall_clock
        self._file = path.open("ab")
        self._begun = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._begun:
            self._write_line(bytes(self._begun))
        self._file.close()

    def write(self, data: bytes) -> None:
        """Add what the board prints; a line is written once it has ended."""
        *lines, rest = (bytes(self._begun) + data).split(b"\n")
        self._begun = bytearray(rest)
        for line in lines:
            self._write_line(line)
        if len(self._begun) > _MAX_LINE_BYTES:
            self._write_line(bytes(self._begun))
            self._begun.clear()

    def _write_line(self, line: bytes) -> None:
        now = datetime.fromtimestamp(self._wall_clock(), UTC).isoformat(timespec="milliseconds")
        self._file.write(now.removesuffix("+00:00").encode() + b"Z " + line.rstrip(b"\r") + b"\n")
        self._file.flush()
        if self._file.tell() > _MAX_BYTES:
            self._file.close()
            self._path.replace(self._old_path)
            self._file = self._path.open("ab")


class LoggedLine:
    """A serial line whose output is also logged; the ROM's binary answers are left out."""

    def __init__(self, line: Line, log: ConsoleLog) -> None:
        self._line = line
        self._log = log

    @property
    def baud(self) -> int:
        """The rate the tool on the other end has set."""
        return self._line.baud

    @property
    def path(self) -> str:
        """What tools are given as the port."""
        return self._line.path

    async def read(self) -> bytes:
        """Wait for bytes and return them."""
        return await self._line.read()

    async def write(self, data: bytes) -> None:
        """Send and log bytes."""
        if not data.startswith(_SLIP_END):
            self._log.write(data)
        await self._line.write(data)

    def send_at_once(self, data: bytes) -> None:
        """Send bytes ahead of any that are waiting for their time on the wire."""
        self._line.send_at_once(data)
