"""What the services need to keep reports, latest values and events.

Not an implementation (adapters).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from poleward_fleet.domain.inventory import Stay
from poleward_fleet.domain.telemetry import (
    LatestValue,
    NodeEvent,
    ReportColumns,
    StoredCount,
)
from poleward_fleet.ports.alarms import NO_JUDGEMENT, Judgement
from poleward_fleet.ports.areas import AllowedAreas


@dataclass(frozen=True, slots=True)
class SpooledReports:
    """A numbered batch of reports of one gateway."""

    gateway_name: str
    spool_id: str
    batch_number: int
    reports: ReportColumns


class TelemetryStore(Protocol):
    """Reports, latest values and events."""

    async def store_reports(
        self, batches: Sequence[SpooledReports], judgement: Judgement = NO_JUDGEMENT
    ) -> None:
        """Store batches of one spool, in order and one after the other without gaps.

        What follows from them for alarms is stored in the same transaction.

        What is stored already is skipped, so every batch is stored once however often it comes.

        Raises:
            BatchGapError: Batches before these are missing; nothing is stored.
            ForbiddenError: A node was never assigned to this gateway; nothing is stored.
        """

    async def store_events(
        self,
        gateway_name: str,
        spool_id: str,
        batch_number: int,
        events: Sequence[NodeEvent],
        judgement: Judgement = NO_JUDGEMENT,
    ) -> None:
        """Store a batch of events under the same rules."""

    async def latest(self, node_number: int) -> list[LatestValue]:
        """Return the newest value of each series of a node."""

    async def counts(self, node_numbers: Collection[int]) -> list[StoredCount]:
        """Count what is stored by node and boot; of all nodes when none is named."""

    async def events(self, allowed: AllowedAreas, *, limit: int) -> list[NodeEvent]:
        """Return the newest events, newest first."""

    async def events_during(self, stays: Sequence[Stay], *, limit: int) -> list[NodeEvent]:
        """Return the newest events of nodes while they stood somewhere, newest first."""
