"""The link over a cellular modem: dialled with AT commands, then PPP on the same UART.

Not tied to a model: 3GPP TS 27.007 only. PPP itself is MicroPython's.
"""

import asyncio

from micropython import const

from node.board.drivers import joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.board.parts import Parts

_ESCAPE = b"+++"  # 3GPP TS 27.007, 5.7: with a pause before and behind
_ESCAPE_PAUSE_S = 1.1
_LOOK_S = 0.1
_COMMAND_S = const(5)
_BAUD = const(115200)
_DIAL_S = const(60)
_TRY_S = const(30)
_MAX_ANSWER_BYTES = const(512)
_CONTEXT = const(1)
_ETIMEDOUT = const(110)
_ECONNREFUSED = const(111)


def make(parts: "Parts") -> None:
    """Be the board's link."""
    uart = parts.second_uart(_BAUD)
    parts.link = Modem(uart, parts.network.PPP, parts.network_setting)


class Modem:
    """A modem; `setting` gives "apn" of NVS namespace "network", `make_ppp` the interface."""

    def __init__(self, uart: "Any", make_ppp: "Any", setting: "Any") -> None:
        self._uart = uart
        self._make_ppp = make_ppp
        self._setting = setting
        self._ppp: Any = None

    async def connect(self) -> None:
        """Dial and wait for an address.

        Raises:
            OSError: No access point is named, the modem does not answer, finds no network or is
                refused; try again later.
        """
        if self._ppp is not None:
            if self._ppp.isconnected():
                return
            # PPP has the UART; the modem takes commands only after it is let go.
            self._ppp.active(False)
            self._ppp = None
        await self._command_mode()
        apn = self._setting("apn")
        await self._command("ATE0", b"OK", _COMMAND_S)
        await self._command('AT+CGDCONT=%d,"IP","%s"' % (_CONTEXT, apn), b"OK", _COMMAND_S)
        await self._command("ATD*99***%d#" % _CONTEXT, b"CONNECT", _DIAL_S)
        self._ppp = self._make_ppp(self._uart)
        self._ppp.active(True)
        self._ppp.connect()
        await joined(self._ppp, _TRY_S)

    async def _command_mode(self) -> None:
        """Bring the modem back from data mode, where an earlier attempt may have left it."""
        try:
            await self._command("AT", b"OK", 1)
        except OSError:
            await asyncio.sleep(_ESCAPE_PAUSE_S)
            self._uart.write(_ESCAPE)
            await asyncio.sleep(_ESCAPE_PAUSE_S)
            await self._command("ATH", b"OK", _COMMAND_S)

    async def _command(self, command: str, expected: bytes, within_s: int) -> None:
        self._uart.read()  # what is left of earlier answers
        self._uart.write(command.encode() + b"\r")
        answer = b""
        for _ in range(int(within_s / _LOOK_S)):
            answer = (answer + (self._uart.read() or b""))[-_MAX_ANSWER_BYTES:]
            if expected in answer:
                return
            if b"ERROR" in answer or b"NO CARRIER" in answer or b"BUSY" in answer:
                raise OSError(_ECONNREFUSED)
            await asyncio.sleep(_LOOK_S)
        raise OSError(_ETIMEDOUT)
