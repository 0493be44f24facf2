"""What the ingest tells whoever watches how much it does.

Not an implementation (adapters).
"""

from collections.abc import Iterable
from typing import Protocol

from poleward_fleet.domain.alarms import AlarmChange


class IngestMeter(Protocol):
    """Counts; nothing that must not be lost."""

    def reports_stored(self, *, reports: int, readings: int, seconds: float) -> None:
        """Count a group of report batches and how long it took to its commit."""

    def events_stored(self, count: int) -> None:
        """Count events."""

    def alarms_changed(self, changes: Iterable[AlarmChange]) -> None:
        """Count alarms that began."""
