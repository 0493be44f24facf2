"""How fast release content leaves the gateway, so that an update never fills the last link.

Not how many nodes are updated at a time: services/updates.py.
"""

import asyncio

from poleward_gateway.ports.clock import Clock

BYTES_PER_S = 512 * 1024


class Pace:
    """Hands out turns in the order they are asked for, at a steady rate.

    A node asks for its next block when it has the one before, so first come, first served is fair:
    each node that downloads gets the same share. Bounded by the nodes that download at a time.
    """

    def __init__(self, clock: Clock, bytes_per_s: int = BYTES_PER_S) -> None:
        self._clock = clock
        self._bytes_per_s = bytes_per_s
        self._free_at_s = 0.0

    def delay_s(self, size_bytes: int) -> float:
        """Take the next turn for so many bytes; return how long it is until then."""
        now_s = self._clock.monotonic_s()
        starts_at_s = max(now_s, self._free_at_s)
        self._free_at_s = starts_at_s + size_bytes / self._bytes_per_s
        return starts_at_s - now_s

    async def turn(self, size_bytes: int) -> None:
        """Wait for the next turn."""
        delay_s = self.delay_s(size_bytes)
        if delay_s > 0:
            await asyncio.sleep(delay_s)
