"""What the services need to read history and to keep it small.

Not an implementation (adapters).
"""

from collections.abc import Sequence
from typing import Protocol

from poleward_fleet.domain.telemetry import Series, SeriesKey


class HistoryStore(Protocol):
    """Everything that was reported, by UTC day; days are counted from 1 January 1970."""

    async def series(
        self, node_number: int, key: SeriesKey, *, from_ms: int, to_ms: int, limit: int
    ) -> Series:
        """Return at most `limit` readings in [from, to), oldest first."""

    async def thinned_series(
        self, node_number: int, key: SeriesKey, *, from_ms: int, to_ms: int, buckets: int
    ) -> Series:
        """Return the mean of each of `buckets` equal stretches of [from, to) that has readings."""

    async def open_days(self) -> list[int]:
        """List the days that have reports which are not packed, or may get some; oldest first."""

    async def make_days(self, days: Sequence[int]) -> None:
        """Make room for days that begin soon."""

    async def pack_some(self, day: int) -> int:
        """Pack what some nodes reported on a day, with their roll-ups.

        Reports that come later open the day again; the next call packs them with the others.

        Returns:
            How many nodes; 0 when none is left, and the day is closed.
        """

    async def forget_reports(self, before_day: int) -> None:
        """Forget reports of earlier days."""

    async def forget_rollups(self, step_s: int, before_day: int) -> None:
        """Forget roll-ups of earlier days."""

    async def forget_events(self, before_day: int) -> None:
        """Forget events of earlier days."""
