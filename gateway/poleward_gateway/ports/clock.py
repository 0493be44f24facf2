"""Time, and counts for metrics.

Not what is counted; that stands where it happens.
"""

from typing import Protocol


class Clock(Protocol):
    """Time; tests bring their own."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary moment; never jumps."""


class Tally(Protocol):
    """Counters for people who watch the gateway."""

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter, e.g. "reports_spooled"."""

    def gauge(self, name: str, value: float) -> None:
        """Set a level, e.g. "reports_waiting"."""
