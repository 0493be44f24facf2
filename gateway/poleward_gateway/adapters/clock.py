"""The machine's time; the only place of the gateway that asks for it.

Not time points or intervals: those belong to whoever waits for them.
"""

import time


class SystemClock:
    """Implements the port Clock."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary moment."""
        return time.monotonic()
