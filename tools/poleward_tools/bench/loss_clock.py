"""A gateway whose wall clock jumps: SIGUSR1 moves it on by an hour, SIGUSR2 back by one.

Run like `python -m poleward_gateway`, which it otherwise is.
"""

import signal
import sys
import time

from poleward_gateway import bootstrap
from poleward_gateway.__main__ import main
from poleward_gateway.adapters.clock import SystemClock

JUMP_MS = 3_600_000
_JUMPS = {signal.SIGUSR1: JUMP_MS, signal.SIGUSR2: -JUMP_MS}


class JumpingClock(SystemClock):
    """The machine's time, moved."""

    offset_ms = 0

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000 + self.offset_ms


def _jump(number: int, _frame: object) -> None:
    JumpingClock.offset_ms += _JUMPS[signal.Signals(number)]


if __name__ == "__main__":
    for jump in _JUMPS:
        signal.signal(jump, _jump)
    vars(bootstrap)["SystemClock"] = JumpingClock
    sys.exit(main())
