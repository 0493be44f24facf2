"""What the pin of a board's lamp did: each level it was driven to, and when the board was reset.

Not the lamp, which is one of the guest's models. Between a reset and the first level the pin is
not driven: what the lamp does then is its driver's business.
"""

import time
from collections import deque
from collections.abc import Callable

_LEVELS_KEPT = 256


class LampOutput:
    """The output since the board got its first power.

    Overflow: of the levels only the newest 256 are kept.

    Attributes:
        levels: thousandths in their order, None for a reset; the same level twice is one.
        restored_ms: from the last reset to the first level after it, None while there is none.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.levels: deque[int | None] = deque(maxlen=_LEVELS_KEPT)
        self.restored_ms: int | None = None
        self._reset_at_s = 0.0

    def reset(self) -> None:
        """Let go of the pin, as a chip does in its reset."""
        self._reset_at_s = self._clock()
        self.restored_ms = None
        self.levels.append(None)

    def drive(self, level_permille: int) -> None:
        """Drive the pin."""
        if self.restored_ms is None:
            self.restored_ms = round((self._clock() - self._reset_at_s) * 1000)
        if not self.levels or self.levels[-1] != level_permille:
            self.levels.append(level_permille)
