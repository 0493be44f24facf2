"""What waits on disk for the fleet.

Not how it is sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from poleward_gateway.domain.nodes import (
    NodeNumber,
)
from poleward_gateway.domain.telemetry import Event, ReceivedMark, Report


@dataclass(frozen=True, slots=True)
class ReportBatch:
    """Reports that travel together; a number always stands for the same content."""

    number: int
    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events that travel together; a number always stands for the same content."""

    number: int
    events: tuple[Event, ...]


class Spool(Protocol):
    """Durable queue of reports and of events between the nodes and the fleet.

    Events are never dropped. Where there is no room, the oldest reports are, counted, with a gap
    event for each node. Batch numbers count from 1 without gaps, apart for reports and for
    events. Not guaranteed: the order of reports of different nodes.
    """

    @property
    def spool_id(self) -> str:
        """Random id of this spool; batch numbers count within it."""

    async def add_reports(self, reports: Sequence[Report]) -> None:
        """Store reports and their nodes' marks; returns after both are on disk."""

    async def add_events(self, events: Sequence[Event]) -> None:
        """Store events; returns after they are on disk, without waiting for company."""

    async def report_batch_after(self, number: int, limit: int) -> ReportBatch | None:
        """Return the batch that follows `number`, assigning it durably if it is new."""

    async def event_batch_after(self, number: int, limit: int) -> EventBatch | None:
        """Return the batch that follows `number`, assigning it durably if it is new."""

    async def acknowledge_reports(self, number: int) -> None:
        """Forget every report batch up to and including `number`."""

    async def acknowledge_events(self, number: int) -> None:
        """Forget every event batch up to and including `number`."""

    async def can_go_on_after(self, report_number: int, event_number: int) -> bool:
        """Say whether these numbers were assigned and what follows them is still here."""

    async def restart_numbering(self) -> str:
        """Take a new spool id and number what is here from 1; unique keys sort out the rest."""

    def mark(self, node: NodeNumber) -> ReceivedMark | None:
        """Return which reports of a node are on disk or were; None before the first."""

    def waiting_reports(self) -> int:
        """Say how many reports wait for the fleet."""

    def dropped_reports(self) -> int:
        """Say how many reports were ever dropped for want of room."""
