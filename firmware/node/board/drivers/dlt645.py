"""An energy meter that speaks DL/T 645-2007, the one on its line.

Chapter 5 (frames), chapter 7 (reading), annex A (data identifiers). It reads; it sets nothing.
"""

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.board.parts import Parts

_UART, _TX_PIN, _RX_PIN = 2, 17, 34
_BAUD = const(2400)  # 8 bits, even parity
_WAKE = b"\xfe\xfe\xfe\xfe"
_ANY_ADDRESS = b"\xaa\xaa\xaa\xaa\xaa\xaa"  # stands for every digit
_START, _END = b"\x68", b"\x16"
_READ, _ANSWER = 0x11, 0x91
_OFFSET = const(0x33)
_HEAD_BYTES = const(10)  # 68, address, 68, control, length
_SIGN = const(0x80)
_MAX_POLLS = const(4)
_LASTS_S = const(60)
# Identifier (lowest byte first), what its last digit is worth, whether the first bit is a sign.
_VALUES = (
    (b"\x00\x01\x01\x02", 100, False),  # voltage, phase A: 0.1 V
    (b"\x00\x01\x02\x02", 1, True),  # current, phase A: 0.001 A
    (b"\x00\x00\x03\x02", 100, True),  # active power: 0.0001 kW
    (b"\x00\x00\x06\x02", 1, True),  # power factor: 0.001
    (b"\x00\x00\x01\x00", 10000, False),  # forward active energy: 0.01 kWh
)
_ENERGY = const(4)
_ETIMEDOUT = const(110)


def make(parts: "Parts") -> None:
    """Be the board's meter."""
    uart = parts.machine.UART(_UART, _BAUD, parity=0, tx=_TX_PIN, rx=_RX_PIN, timeout=0)
    parts.meter = Dlt645(uart, parts.now_s)
    parts.polled.append(parts.meter)


class Dlt645:
    """The meter; `uart` has `read` and `write`, `now_s` counts seconds.

    A request and its answer take 0.2 s on the line, so each `poll` asks or listens, and `read`
    gives what came last.
    """

    def __init__(self, uart: "Any", now_s: "Any") -> None:
        self._uart = uart
        self._values: list[int | None] = [None] * len(_VALUES)
        self._first_energy_mwh: int | None = None
        self._asked = 0
        self._polls_left = 0
        self._received = b""
        self._now_s = now_s
        self._renewed_at_s = now_s()

    def poll(self) -> None:
        """Ask for the next value, or listen for the one that was asked for."""
        if self._polls_left:
            self._polls_left -= 1
            self._received += self._uart.read() or b""
            identifier, unit, is_signed = _VALUES[self._asked]
            digits = decode(self._received, identifier)
            if digits is None and self._polls_left:
                return
            if digits is not None:
                self._keep(number(digits, is_signed) * unit)
            self._asked = (self._asked + 1) % len(_VALUES)
        self._uart.read()  # noise since the last answer
        self._received = b""
        self._uart.write(encode(_VALUES[self._asked][0]))
        self._polls_left = _MAX_POLLS

    def read(self) -> "tuple[int | None, int | None, int | None, int | None]":
        """Give voltage (mV), current (mA), active power (mW), power factor (thousandths).

        Raises:
            OSError: The meter does not answer; check its wiring.
        """
        if self._now_s() - self._renewed_at_s > _LASTS_S:
            raise OSError(_ETIMEDOUT)
        voltage_mv, current_ma, power_mw, power_factor_permille, _ = self._values
        return voltage_mv, current_ma, power_mw, power_factor_permille

    def energy_mwh(self) -> "int | None":
        """Give the energy since the first reading after power came on."""
        total = self._values[_ENERGY]
        if total is None or self._first_energy_mwh is None:
            return None
        return total - self._first_energy_mwh

    def _keep(self, value: int) -> None:
        self._values[self._asked] = value
        self._renewed_at_s = self._now_s()
        if self._asked == _ENERGY and self._first_energy_mwh is None:
            self._first_energy_mwh = value


def encode(identifier: bytes) -> bytes:
    """Return the request for a value."""
    frame = _START + _ANY_ADDRESS + _START + bytes((_READ, len(identifier)))
    frame += bytes((byte + _OFFSET) & 0xFF for byte in identifier)
    return _WAKE + frame + bytes((sum(frame) & 0xFF,)) + _END


def decode(received: bytes, identifier: bytes) -> "bytes | None":
    """Find the answer for an identifier in what was received; None when it is not there whole."""
    start = received.find(_START)
    while start >= 0:
        frame = received[start:]
        if len(frame) > _HEAD_BYTES and frame[7:8] == _START and frame[8] == _ANSWER:
            end = _HEAD_BYTES + frame[9]
            if frame[end + 1 : end + 2] == _END and sum(frame[:end]) & 0xFF == frame[end]:
                data = bytes((byte - _OFFSET) & 0xFF for byte in frame[_HEAD_BYTES:end])
                if data.startswith(identifier) and len(data) > len(identifier):
                    return data[len(identifier) :]
        start = received.find(_START, start + 1)
    return None


def number(digits: bytes, is_signed: bool) -> int:
    """Read decimal digits, two in a byte, lowest byte first."""
    is_negative = is_signed and bool(digits[-1] & _SIGN)
    if is_negative:
        digits = digits[:-1] + bytes((digits[-1] & ~_SIGN & 0xFF,))
    value = 0
    for byte in reversed(digits):
        value = value * 100 + (byte >> 4) * 10 + (byte & 0xF)
    return -value if is_negative else value
