"""The time of day.

Not an implementation (adapters).
"""

from typing import Protocol


class Clock(Protocol):
    """Wall time."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
