"""Illuminance from a ROHM BH1750FVI on I2C.

Data sheet "BH1750FVI", instruction set architecture and measurement procedure.
"""

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.board.parts import Parts

_ADDRESS = const(0x23)
# Continuous, high resolution: a measurement takes up to 180 ms, and 1.2 counts are one lux.
_MEASURE = b"\x10"


def make(parts: "Parts") -> None:
    """Be one of the board's sensors of the air."""
    parts.air.append(Bh1750(parts.i2c()))


class Bh1750:
    """The sensor; `i2c` has `writeto` and `readfrom`."""

    def __init__(self, i2c: "Any") -> None:
        self._i2c = i2c
        self._measures = False

    def read(self) -> "tuple[int | None, int | None, int | None, int | None]":
        """Give the illuminance in thousandths of a lux, None at the first call.

        Raises:
            OSError: The sensor does not answer; check its wiring.
        """
        raw = self._i2c.readfrom(_ADDRESS, 2) if self._measures else b""
        # Each time, because a sensor that lost its power measures no more.
        self._i2c.writeto(_ADDRESS, _MEASURE)
        self._measures = True
        return None, None, None, (raw[0] << 8 | raw[1]) * 2500 // 3 if raw else None
