"""Particles from a Plantower PMS5003 or PMS7003 on a UART, which sends by itself.

Data manual "PMS5003", appendix I: transport protocol, active mode.
"""

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.board.parts import Parts

_BAUD = const(9600)
_START = b"\x42\x4d"
_FRAME_BYTES = const(32)
_PM25_AT = const(12)  # data 5: PM2.5 under atmospheric environment, µg/m³
_LASTS_S = const(30)
_ETIMEDOUT = const(110)


def make(parts: "Parts") -> None:
    """Be one of the board's sensors of the air."""
    sensor = Pms(parts.second_uart(_BAUD), parts.now_s)
    parts.air.append(sensor)
    parts.polled.append(sensor)


class Pms:
    """The sensor; `uart` has `read`, `now_s` counts seconds."""

    def __init__(self, uart: "Any", now_s: "Any") -> None:
        self._uart = uart
        self._waiting = b""
        self._pm25_mug_m3 = 0
        self._now_s = now_s
        self._renewed_at_s = now_s()

    def poll(self) -> None:
        """Take what the sensor has sent; garbled frames are skipped."""
        data = self._waiting + (self._uart.read() or b"")
        while True:
            start = data.find(_START)
            if start < 0 or len(data) - start < _FRAME_BYTES:
                break
            frame = data[start : start + _FRAME_BYTES]
            if sum(frame[:-2]) == frame[-2] << 8 | frame[-1]:
                self._pm25_mug_m3 = (frame[_PM25_AT] << 8 | frame[_PM25_AT + 1]) * 1000
                self._renewed_at_s = self._now_s()
                data = data[start + _FRAME_BYTES :]
            else:
                data = data[start + 1 :]
        self._waiting = data[1 - _FRAME_BYTES :]

    def read(self) -> "tuple[int | None, int | None, int | None]":
        """Give PM2.5 in thousandths of a µg/m³.

        Raises:
            OSError: Nothing came for half a minute; check wiring and fan.
        """
        if self._now_s() - self._renewed_at_s > _LASTS_S:
            raise OSError(_ETIMEDOUT)
        return None, None, self._pm25_mug_m3
