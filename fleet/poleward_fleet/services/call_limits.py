"""How many calls a second somebody may make.

Not failed attempts (services/accounts.py).
"""

from poleward_fleet.domain.errors import TooManyAttemptsError
from poleward_fleet.ports.clock import Clock

_BURST_S = 2
_MAX_TRACKED = 10_000


class CallLimit:
    """A bucket of calls by key that fills at the key's rate and holds _BURST_S seconds of it.

    Bounded: beyond _MAX_TRACKED keys those that were seen longest ago begin again with a full one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[int, tuple[float, int]] = {}

    def spend(self, key: int, calls_per_s: int) -> None:
        """Count a call; a rate of 0 is no limit.

        Raises:
            TooManyAttemptsError: The bucket is empty; says how long to wait.
        """
        if not calls_per_s:
            return
        now_ms = self._clock.now_ms()
        full = float(calls_per_s * _BURST_S)
        left, at_ms = self._buckets.pop(key, (full, now_ms))
        left = min(full, left + max(0, now_ms - at_ms) / 1000 * calls_per_s)
        enough = left >= 1
        self._buckets[key] = (left - enough, now_ms)
        if len(self._buckets) > _MAX_TRACKED:
            self._buckets.pop(next(iter(self._buckets)))
        if not enough:
            raise TooManyAttemptsError(
                f"this API token is good for {calls_per_s} calls a second; wait 1 s", 1
            )
