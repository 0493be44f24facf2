"""The console of a board: records every line with its time and waits for what should come.

Not what lines mean, except for resets, which end any wait that does not allow them.
"""

import re
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import ClassVar

import attr
import serial
from labgrid.driver import Driver
from labgrid.factory import target_factory
from labgrid.resource import NetworkSerialPort, RawSerialPort

from hil_tests.instruments.boot_watch import BootWatch, ResetCause
from hil_tests.instruments.errors import (
    ConsoleTimeoutError,
    InfrastructureError,
    UnexpectedResetError,
)

_POLL_S = 0.1
_TAIL_LINES = 15
_MAX_PARTIAL_BYTES = 4096


def port_url(port: object) -> str:
    """Return what pyserial and esptool are given for a port.

    Args:
        port: a labgrid resource or a driver that has a `url`.
    """
    if isinstance(port, NetworkSerialPort):
        scheme = "rfc2217" if port.protocol == "rfc2217" else "socket"
        return f"{scheme}://{port.host}:{port.port}"
    if isinstance(port, RawSerialPort):
        return str(port.port)
    return str(port.url)  # type: ignore[attr-defined]


@target_factory.reg_driver
@attr.s(eq=False)
class BoardConsole(Driver):
    """Reads a board's port in a thread of its own while it is active.

    The record is unbounded; it lives as long as a test session. A port that goes away (a board
    that gets its power over USB) is opened again when it is back.

    Attributes:
        open_s: how long to wait for a port that is not there at first.
    """

    bindings: ClassVar[dict[str, object]] = {
        "port": {RawSerialPort, NetworkSerialPort, "VirtualBoardDriver"}
    }

    open_s: float = attr.ib(default=60.0)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.watch = BootWatch()
        self._lines: list[tuple[float, str]] = []
        self._partial = b""
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._opened = threading.Event()
        self._thread: threading.Thread | None = None
        self._serial: serial.SerialBase | None = None
        self._trouble = ""

    def on_activate(self) -> None:
        """Start to read.

        Raises:
            InfrastructureError: the port cannot be opened.
        """
        self._ended.clear()
        self._opened.clear()
        self._thread = threading.Thread(target=self._read_for_ever, daemon=True)
        self._thread.start()
        if not self._opened.wait(self.open_s):
            self.on_deactivate()
            raise InfrastructureError(f"no port: {port_url(self.port)}: {self._trouble}")

    def on_deactivate(self) -> None:
        """Let the port go."""
        self._ended.set()
        if self._thread:
            self._thread.join()
            self._thread = None

    @contextmanager
    def released(self) -> Iterator[None]:
        """Leave the port to a tool while the context is open."""
        was_active = self._thread is not None
        self.on_deactivate()
        try:
            yield
        finally:
            if was_active:
                self.on_activate()

    def note(self, text: str) -> None:
        """Add a line of the rig's own, marked with ***; an unfinished line before it ends there."""
        with self._changed:
            if self._partial:
                self._lines.append((time.time(), self._partial.decode(errors="replace")))
                self._partial = b""
            self._lines.append((time.time(), f"*** {text}"))

    def mark(self) -> int:
        """Return the place after everything that came so far."""
        with self._changed:
            return len(self._lines)

    def text(self, since: int = 0) -> str:
        """Return the record with the UTC time of each line."""
        with self._changed:
            lines = self._lines[since:]
        return "".join(
            f"{datetime.fromtimestamp(at, UTC).strftime('%H:%M:%S.%f')[:-3]}Z {line}\n"
            for at, line in lines
        )

    @Driver.check_active
    def type(self, data: bytes) -> None:
        """Send bytes to the board.

        Raises:
            InfrastructureError: the port went away.
        """
        port = self._serial
        try:
            if port is None:
                raise serial.SerialException("not open")
            port.write(data)
        except serial.SerialException as error:
            raise InfrastructureError(f"no port: {port_url(self.port)}: {error}") from error

    @Driver.check_active
    def wait_for(
        self,
        pattern: str,
        timeout_s: float,
        *,
        since: int = 0,
        allowing: Collection[ResetCause] = (),
    ) -> re.Match[str]:
        """Wait for a line that the pattern is found in, from the mark `since` on.

        Raises:
            UnexpectedResetError: the board restarted for a reason that is not in `allowing`.
            BootLoopError: it restarts again and again.
            ConsoleTimeoutError: nothing of it came in time; the message holds the last lines.
        """
        expected = re.compile(pattern)
        give_up_at = time.monotonic() + timeout_s
        resets = BootWatch()
        at = since
        with self._changed:
            while True:
                while at < len(self._lines):
                    line = self._lines[at][1]
                    at += 1
                    if found := expected.search(line):
                        return found
                    boot = resets.feed(line, self._lines[at - 1][0])
                    if boot:
                        resets.check()
                        if boot.cause not in allowing:
                            raise UnexpectedResetError(
                                f"reset ({boot.cause.value}) while waiting for /{pattern}/\n"
                                + self._tail()
                            )
                partial = self._partial.decode(errors="replace")
                if found := expected.search(partial):
                    return found
                left_s = give_up_at - time.monotonic()
                if left_s <= 0:
                    raise ConsoleTimeoutError(
                        f"no /{pattern}/ in {timeout_s:.0f} s; the last lines:\n" + self._tail()
                    )
                self._changed.wait(left_s)

    def _tail(self) -> str:
        return "\n".join(line for _, line in self._lines[-_TAIL_LINES:])

    def _read_for_ever(self) -> None:
        while not self._ended.is_set():
            try:
                with self._open() as port:
                    self._serial = port
                    self._opened.set()
                    while not self._ended.is_set():
                        self._take(port.read(max(1, port.in_waiting)))
            except (OSError, serial.SerialException) as error:
                if not self._trouble:
                    self.note(f"port lost: {error}")
                self._trouble = str(error)
                self._ended.wait(_POLL_S)
            else:
                self._trouble = ""
            finally:
                self._serial = None

    def _open(self) -> serial.SerialBase:
        port = serial.serial_for_url(
            port_url(self.port), baudrate=self.port.speed, timeout=_POLL_S, do_not_open=True
        )
        # Reset and boot pins of a real board hang on these; opening must not reset it.
        with suppress(AttributeError):
            port.dtr = port.rts = False
        port.open()
        self._trouble = ""
        return port

    def _take(self, data: bytes) -> None:
        if not data:
            return
        now = time.time()
        with self._changed:
            *lines, self._partial = (self._partial + data).split(b"\n")
            if len(self._partial) > _MAX_PARTIAL_BYTES:
                lines.append(self._partial)
                self._partial = b""
            for line in lines:
                text = line.rstrip(b"\r").decode(errors="replace")
                self._lines.append((now, text))
                self.watch.feed(text, now)
            self._changed.notify_all()
