"""The board's serial line over TCP with RFC 2217, which carries the reset lines too.

The pseudo-terminal of `line` is the simpler one; tools open this as `rfc2217://host:port`.
"""

import asyncio
import logging
from types import TracebackType
from typing import Protocol, Self

from poleward_tools.virtual_board.line import Direction, Wire
from poleward_tools.virtual_board.rfc2217 import (
    BaudSet,
    ControlLine,
    Received,
    Rfc2217Session,
)

_log = logging.getLogger(__name__)
_INITIAL_BAUD = 115_200
_READ_BYTES = 4096
# Input that waits for the board; a client that sends more is not read until there is room.
_MAX_WAITING_PIECES = 64
# The capacitor at the chip's enable pin: how long after its release the boot pin is read. Long,
# because a client sets one line after the other and waits for each (pyserial: 50 ms).
_ENABLE_DELAY_S = 0.1


class ResettableBoard(Protocol):
    """What the control lines act on."""

    is_boot_button_held: bool

    def power_off(self) -> None:
        """Stop the chip."""

    def power_on(self) -> None:
        """Start the chip; it looks at its boot pin."""


class ResetCircuit:
    """The two transistors of a development board between a USB bridge and the chip.

    The enable pin is low while RTS is asserted and DTR is not; the boot pin is low while DTR is
    asserted and RTS is not. Both or neither asserted leave both pins high.
    """

    def __init__(self, board: ResettableBoard, enable_delay_s: float = _ENABLE_DELAY_S) -> None:
        self._board = board
        self._enable_delay_s = enable_delay_s
        self._lines = {"dtr": False, "rts": False}
        self._is_held = False
        self._release: asyncio.TimerHandle | None = None

    def set_line(self, name: str, is_asserted: bool) -> None:
        """Take over the state of `dtr` or `rts`."""
        self._lines[name] = is_asserted
        if self._lines["rts"] and not self._lines["dtr"]:
            if self._release:
                self._release.cancel()
                self._release = None
            self._is_held = True
            self._board.power_off()
        elif self._is_held and self._release is None:
            loop = asyncio.get_running_loop()
            self._release = loop.call_later(self._enable_delay_s, self._start)

    def _start(self) -> None:
        self._release = None
        self._is_held = False
        self._board.is_boot_button_held = self._lines["dtr"] and not self._lines["rts"]
        self._board.power_on()


class NetworkLine:
    """A serial port on a TCP port of this machine, for one client at a time.

    A second client is turned away while the first is there. Without a client output is dropped
    and counted in `dropped_bytes`.
    """

    def __init__(self, *, pace_baud: int | None = None) -> None:
        self.baud = _INITIAL_BAUD
        self.dropped_bytes = 0
        self.circuit: ResetCircuit | None = None
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(_MAX_WAITING_PIECES)
        self._wire = Wire(pace_baud)
        self._client: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server
        self._server.close()
        if self._client:
            self._client.close()
        await self._server.wait_closed()

    @property
    def path(self) -> str:
        """What tools are given as the port."""
        assert self._server
        return f"rfc2217://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def read(self) -> bytes:
        """Wait for bytes and return them, when paced no sooner than a wire would bring them."""
        data = await self._waiting.get()
        await self._wire.pass_time(Direction.IN, len(data), self.baud)
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes, when paced no faster than a wire does."""
        await self._wire.pass_time(Direction.OUT, len(data), self.baud)
        self.send_at_once(data)

    def send_at_once(self, data: bytes) -> None:
        """Send bytes ahead of any that are waiting for their time on the wire."""
        if self._client is None or self._client.is_closing():
            self.dropped_bytes += len(data)
        else:
            self._client.write(Rfc2217Session.escape(data))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._client:
            _log.warning("a second client is turned away: the port is in use")
            writer.close()
            return
        self._client = writer
        session = Rfc2217Session(self.baud)
        try:
            while data := await reader.read(_READ_BYTES):
                for event in session.receive(data):
                    match event:
                        case Received(piece):
                            await self._waiting.put(piece)
                        case BaudSet(baud):
                            self.baud = baud
                        case ControlLine(name, is_asserted):
                            if self.circuit:
                                self.circuit.set_line(name, is_asserted)
                writer.write(session.take_output())
        except ConnectionError as error:
            _log.info("client is gone: %s", error)
        finally:
            self._client = None
            writer.close()
