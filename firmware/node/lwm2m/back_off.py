"""Pauses between attempts: doubled each time up to a bound, with jitter.

Not a timer: the caller waits.
"""

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_FIRST_MS = const(1000)
_LAST_MS = const(64000)


class BackOff:
    """Exponential back-off; after a common cause the jitter spreads a street's nodes.

    Args:
        random_bytes: Gives unpredictable bytes.
        last_ms: The longest pause.
    """

    def __init__(self, random_bytes: "Callable[[int], bytes]", last_ms: int = _LAST_MS) -> None:
        self._random_bytes = random_bytes
        self._last_ms = last_ms
        self._limit_ms = _FIRST_MS

    def next_ms(self) -> int:
        """Give the next pause: between half of the current limit and all of it."""
        half = self._limit_ms // 2
        self._limit_ms = min(self._limit_ms * 2, self._last_ms)
        return half + half * int(self._random_bytes(1)[0]) // 255

    def reset(self) -> None:
        """Start with the shortest pause again: something worked."""
        self._limit_ms = _FIRST_MS
