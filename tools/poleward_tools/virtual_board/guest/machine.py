"""The chip's `machine` module on a virtual board, as far as a board is reset, fed and named by it.

Pins and buses are models of their own. Runs on MicroPython.
"""

import struct
import sys

import bus

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

_identity = b""
_reset_cause = PWRON_RESET


def unique_id() -> bytes:
    """Return the board's address."""
    return _identity


def reset_cause() -> int:
    """Return why the board started."""
    return _reset_cause


def reset() -> None:
    """Reset the chip; never returns."""
    while True:
        bus.ask(bus.RESET)


def soft_reset() -> None:
    """Leave the program; the REPL's Ctrl-D restarts the interpreter."""
    sys.exit()


class WDT:
    """The watchdog: once made it resets the board whenever it is not fed in time."""

    def __init__(self, id: int = 0, timeout: int = 5000) -> None:  # noqa: A002
        self._timeout_ms = timeout
        self.feed()

    def feed(self) -> None:
        """Start the time anew."""
        bus.ask(bus.FEED_WATCHDOG, struct.pack("<I", self._timeout_ms))
