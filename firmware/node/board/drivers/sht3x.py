"""Temperature and humidity from a Sensirion SHT3x on I2C.

Data sheet "SHT3x-DIS", sections 4.3 (measurement), 4.12 (checksum) and 4.13 (conversion).
"""

import time

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.board.parts import Parts

_ADDRESS = const(0x44)
_MEASURE = b"\x24\x00"  # table 9: high repeatability, no clock stretching
_READY_S = 0.016
_EIO = const(5)


def make(parts: "Parts") -> None:
    """Be one of the board's sensors of the air."""
    parts.air.append(Sht3x(parts.i2c()))


class Sht3x:
    """The sensor; `i2c` has `writeto` and `readfrom`."""

    def __init__(self, i2c: "Any") -> None:
        self._i2c = i2c

    def read(self) -> "tuple[int | None, int | None, int | None]":
        """Measure temperature and humidity in thousandths.

        Raises:
            OSError: The sensor does not answer or garbles; check its wiring.
        """
        self._i2c.writeto(_ADDRESS, _MEASURE)
        time.sleep(_READY_S)
        raw = self._i2c.readfrom(_ADDRESS, 6)
        if _checksum(raw[:2]) != raw[2] or _checksum(raw[3:5]) != raw[5]:
            raise OSError(_EIO)
        # 4.13: T = -45 + 175 * S / 65535, RH = 100 * S / 65535.
        temperature_mc = 175000 * (raw[0] << 8 | raw[1]) // 65535 - 45000
        humidity_mpercent = 100000 * (raw[3] << 8 | raw[4]) // 65535
        return temperature_mc, humidity_mpercent, None


def _checksum(data: bytes) -> int:
    # 4.12: CRC-8, polynomial 0x31, starts with 0xFF.
    value = 0xFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (0x31 if value & 0x80 else 0)) & 0xFF
    return value
