"""The clock of exchanges on a board: MicroPython's ticks and asyncio.

Not wall time, which only `node.board` gives.
"""

import asyncio
import time


class TickClock:
    """Ticks in milliseconds that wrap; compare them only with `ticks_diff`."""

    def ticks_ms(self) -> int:
        """Return the current tick."""
        return time.ticks_ms()  # type: ignore[return-value]

    def ticks_diff(self, later: int, earlier: int) -> int:
        """Return `later - earlier` across a wrap."""
        return time.ticks_diff(later, earlier)

    async def wait(self, event: asyncio.Event, timeout_ms: int) -> bool:
        """Wait until `event` is set, at most `timeout_ms`; says whether it was."""
        try:
            await asyncio.wait_for_ms(event.wait(), timeout_ms)
        except asyncio.TimeoutError:
            return False
        return True
