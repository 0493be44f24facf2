"""The station's end of the writers: one process that forks them, one connection for each board.

What a writer does is in `board_writer`.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

_WRITER_MODULE = "poleward_tools.flashing.board_writer"
_SHORT_S = 60.0
_WRITE_STEP_S = 120.0
_STOP_S = 5.0


class BoardError(Exception):
    """A board or its line failed; says how. The board may be tried again."""


@dataclass(frozen=True, slots=True)
class BoardFacts:
    """What a board says about itself."""

    chip: str
    mac: bytes
    flash_size_bytes: int


class WriterNursery:
    """The process that has esptool loaded; connections may be opened from several threads."""

    def __init__(self) -> None:
        self._door, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _WRITER_MODULE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._door.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def connect(self, port: str, baud: int, *, use_stub: bool = False) -> "BoardLink":
        """Connect to the board on a port.

        Raises:
            BoardError: no board answers there.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._door, [b"+"], [theirs.fileno()])
        return BoardLink(ours, port, baud, use_stub=use_stub)


class BoardLink:
    """One board; every method raises BoardError when the board or its line fails."""

    def __init__(self, link: socket.socket, port: str, baud: int, *, use_stub: bool) -> None:
        self._link = link
        self._lines = link.makefile("rw", encoding="utf-8")
        try:
            facts = self._ask(_SHORT_S, order="connect", port=port, baud=baud, use_stub=use_stub)
        except BoardError:
            self.close()
            raise
        self.facts = BoardFacts(
            facts["chip"], bytes.fromhex(facts["mac"]), facts["flash_size_bytes"]
        )

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
        """Let the writer end and give its port back."""
        try:
            self._lines.close()
        except OSError:
            pass  # the writer is gone already
        finally:
            self._link.close()

    def digest(self, offset: int, size_bytes: int) -> str:
        """Return the MD5 of a part of the flash, computed by the chip."""
        return str(self._ask(_SHORT_S, order="digest", offset=offset, size_bytes=size_bytes))

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return a part of the flash."""
        answer = self._ask(_SHORT_S, order="read", offset=offset, size_bytes=size_bytes)
        return bytes.fromhex(answer)

    def write_file(self, offset: int, path: str, sent: Callable[[int], None]) -> None:
        """Write a zlib-compressed file and verify it; `sent` is told the bytes sent so far."""
        self._ask(_WRITE_STEP_S, sent, order="write_file", offset=offset, path=path)

    def write(self, offset: int, compressed: bytes, sent: Callable[[int], None]) -> None:
        """Write zlib-compressed bytes that shall not be in a file, and verify them."""
        self._ask(_WRITE_STEP_S, sent, order="write", offset=offset, hex=compressed.hex())

    def start(self, until: str, timeout_s: float) -> str:
        """Start the application; return its console up to a line with `until`, or what came."""
        answer = self._ask(_SHORT_S + timeout_s, order="start", until=until, timeout_s=timeout_s)
        return str(answer)

    def _ask(
        self, deadline_s: float, sent: Callable[[int], None] | None = None, /, **order: object
    ) -> Any:
        """Give an order and wait for its end; the deadline is for each message, not for all."""
        try:
            self._link.settimeout(deadline_s)
            self._lines.write(json.dumps(order) + "\n")
            self._lines.flush()
            while line := self._lines.readline():
                answer = json.loads(line)
                if "error" in answer:
                    raise BoardError(answer["error"])
                if "done" in answer:
                    return answer["done"]
                if sent:
                    sent(answer["sent"])
        except OSError as error:
            raise BoardError(f"the writer does not answer ({error})") from error
        raise BoardError("the writer ended in the middle of its work")
