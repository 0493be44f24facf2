"""The server's side of RFC 2217: a serial port with its control lines over a Telnet connection.

Bytes in, events and bytes out; the socket and what the lines do are in `network_line`.
"""

import struct
from dataclasses import dataclass

_SE, _SB, _WILL, _WONT, _DO, _DONT, _IAC = 240, 250, 251, 252, 253, 254, 255
_BINARY, _ECHO, _SUPPRESS_GO_AHEAD, _COM_PORT = 0, 1, 3, 44
_SUPPORTED = (_BINARY, _ECHO, _SUPPRESS_GO_AHEAD, _COM_PORT)
# RFC 2217, 3: the server's codes are the client's plus 100.
_SET_BAUD_RATE, _SET_CONTROL = 1, 5
_FIRST_COMMAND, _LAST_COMMAND = 1, 12
_SERVER_CODES = 100
_CONTROL_LINES = {8: ("dtr", True), 9: ("dtr", False), 11: ("rts", True), 12: ("rts", False)}
# Longer than any sub-negotiation there is; a client that sends more is not speaking RFC 2217.
_MAX_SUBNEGOTIATION_BYTES = 64


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes for the serial line."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BaudSet:
    """The client has set the line's rate."""

    baud: int


@dataclass(frozen=True, slots=True)
class ControlLine:
    """The client has set `dtr` or `rts`."""

    name: str
    is_asserted: bool


Event = Received | BaudSet | ControlLine


class Rfc2217Session:
    """One connection. Options are agreed to once and only on request, so no loop can arise.

    `take_output` returns what is to be sent to the client after each call of `receive`.
    Frame format, parity and flow control are acknowledged and have no effect: there are no bits.
    """

    def __init__(self, baud: int) -> None:
        self._baud = baud
        self._agreed: set[tuple[int, int]] = set()
        self._output = bytearray()
        self._command: bytearray | None = None

    def take_output(self) -> bytes:
        """Return and forget what is to be sent."""
        output = bytes(self._output)
        self._output.clear()
        return output

    @staticmethod
    def escape(data: bytes) -> bytes:
        """Return bytes of the serial line as they go to the client."""
        return data.replace(b"\xff", b"\xff\xff")

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the connection and return what they mean, in order."""
        events: list[Event] = []
        plain = bytearray()
        for byte in data:
            if self._command is None:
                if byte == _IAC:
                    self._command = bytearray()
                else:
                    plain.append(byte)
                continue
            self._command.append(byte)
            if self._command == bytes([_IAC]):
                plain.append(_IAC)
                self._command = None
            elif self._is_complete(self._command):
                event = self._carry_out(bytes(self._command))
                self._command = None
                if event:
                    if plain:
                        events.append(Received(bytes(plain)))
                        plain.clear()
                    events.append(event)
        if plain:
            events.append(Received(bytes(plain)))
        return events

    @staticmethod
    def _is_complete(command: bytearray) -> bool:
        if command[0] in (_WILL, _WONT, _DO, _DONT):
            return len(command) == 2
        if command[0] != _SB:
            return True
        # A doubled IAC inside is data; the end is an IAC that is not doubled, then SE.
        unescaped = bytes(command).replace(b"\xff\xff", b"")
        return unescaped.endswith(bytes([_IAC, _SE])) or len(command) > _MAX_SUBNEGOTIATION_BYTES

    def _carry_out(self, command: bytes) -> Event | None:
        if command[0] in (_WILL, _DO):
            self._negotiate(command[0], command[1])
        elif command[0] == _SB and command[1:2] == bytes([_COM_PORT]) and len(command) > 4:
            value = command[3:-2].replace(b"\xff\xff", b"\xff")
            return self._set(command[2], value)
        return None

    def _negotiate(self, request: int, option: int) -> None:
        yes, no = (_DO, _DONT) if request == _WILL else (_WILL, _WONT)
        if option not in _SUPPORTED:
            self._output += bytes([_IAC, no, option])
        elif (yes, option) not in self._agreed:
            self._agreed.add((yes, option))
            self._output += bytes([_IAC, yes, option])

    def _set(self, code: int, value: bytes) -> Event | None:
        if not _FIRST_COMMAND <= code <= _LAST_COMMAND:
            return None
        event: Event | None = None
        if code == _SET_BAUD_RATE and len(value) == 4:
            # 0 asks for the rate.
            if baud := struct.unpack("!I", value)[0]:
                self._baud = baud
                event = BaudSet(baud)
            value = struct.pack("!I", self._baud)
        elif code == _SET_CONTROL and value[:1] and value[0] in _CONTROL_LINES:
            event = ControlLine(*_CONTROL_LINES[value[0]])
        self._output += (
            bytes([_IAC, _SB, _COM_PORT, code + _SERVER_CODES])
            + self.escape(value)
            + bytes([_IAC, _SE])
        )
        return event
