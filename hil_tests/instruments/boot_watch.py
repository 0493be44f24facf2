"""Reads resets and their reasons from a board's console and recognises a boot loop.

No input or output: it is fed lines with their times.
"""

import re
from dataclasses import dataclass
from enum import Enum

from hil_tests.instruments.errors import BootLoopError

_RESET = re.compile(r"rst:0x[0-9a-f]+ \((\w+)\)")
# What ESP-IDF prints before it resets the CPU by software; only this tells why.
_WATCHDOG_SAID = "Task watchdog got triggered"
_PANIC_SAID = "Guru Meditation Error"
_LOOP_BOOTS = 3
_LOOP_WITHIN_S = 20.0


class ResetCause(Enum):
    """Why a chip started, as far as a test cares."""

    POWER_ON = "power on"
    SOFTWARE = "software"
    WATCHDOG = "watchdog"
    BROWN_OUT = "brown-out"
    PANIC = "panic"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Boot:
    """One start of the chip: why, and when on the rig's monotonic clock."""

    cause: ResetCause
    at_s: float


def cause_of(name: str) -> ResetCause:
    """Tell the cause from the ROM's name for it.

    Names: esp_rom `rtc.h` of ESP32, C3 and S3. "RTCWDT_BROWN_OUT_RESET" is no watchdog.
    """
    for part, cause in (
        ("BROWN", ResetCause.BROWN_OUT),
        ("WDT", ResetCause.WATCHDOG),
        ("SW", ResetCause.SOFTWARE),
        ("POWERON", ResetCause.POWER_ON),
    ):
        if part in name:
            return cause
    return ResetCause.OTHER


class BootWatch:
    """Collects the boots of one board."""

    def __init__(self) -> None:
        self.boots: list[Boot] = []
        self._announced: ResetCause | None = None

    def feed(self, line: str, at_s: float) -> Boot | None:
        """Take a line of the console and return the boot it tells of, None for any other line."""
        if _WATCHDOG_SAID in line:
            self._announced = ResetCause.WATCHDOG
        elif _PANIC_SAID in line:
            self._announced = ResetCause.PANIC
        found = _RESET.search(line)
        if not found:
            return None
        cause = cause_of(found[1])
        if cause is ResetCause.SOFTWARE and self._announced:
            cause = self._announced
        self._announced = None
        self.boots.append(Boot(cause, at_s))
        return self.boots[-1]

    def check(self) -> None:
        """Refuse a boot loop: three boots within 20 s of which none was a power-on.

        Raises:
            BootLoopError: with the causes; the lines before each reset are on the console.
        """
        last = self.boots[-_LOOP_BOOTS:]
        if len(last) < _LOOP_BOOTS or any(boot.cause is ResetCause.POWER_ON for boot in last):
            return
        within_s = last[-1].at_s - last[0].at_s
        if within_s <= _LOOP_WITHIN_S:
            causes = ", ".join(boot.cause.value for boot in last)
            raise BootLoopError(f"boot loop: {_LOOP_BOOTS} boots in {within_s:.1f} s ({causes})")
