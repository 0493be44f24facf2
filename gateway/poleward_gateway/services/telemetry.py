"""Takes reports and events from nodes into the spool; the answer to a node waits for the disk.

Not their way to the fleet: services/uplink.py.
"""

from collections.abc import Callable, Sequence
from enum import Enum

import structlog

from poleward_gateway.domain.errors import StorageError
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.telemetry import (
    Event,
    ReceivedMark,
    Report,
    Severity,
    gap_event,
    missing_before,
    seen_event,
)
from poleward_gateway.ports.clock import Clock, Tally
from poleward_gateway.ports.spool import Spool
from poleward_gateway.services.registry import Registry

_log = structlog.get_logger(__name__)

REPORTS_UNDER_WAY_ENOUGH = 1024
"""Reports that wait for their commit before the rest may better wait where they are."""
REPORTS_UNDER_WAY_MAX = 4096
"""Reports that wait for their commit; further ones are sent back until there is room."""


class Receipt(Enum):
    """What became of a report or an event."""

    STORED = "stored"
    """It is on disk, or was before: the node may forget it."""
    OVERLOADED = "overloaded"
    """It was not taken; the node keeps it and tries again later."""


class Telemetry:
    """The way of a report and of an event into the spool.

    Overflow: at most REPORTS_UNDER_WAY_MAX reports wait for a commit; further ones are refused
    and counted. Events are never refused.
    """

    def __init__(
        self,
        spool: Spool,
        registry: Registry,
        clock: Clock,
        tally: Tally,
        on_spooled: Callable[[], None],
        on_event: Callable[[Event], None] = lambda event: None,
        on_reports: Callable[[Sequence[Report]], None] = lambda reports: None,
    ) -> None:
        self._spool = spool
        self._registry = registry
        self._clock = clock
        self._tally = tally
        self._on_spooled = on_spooled
        self._on_event = on_event
        self._on_reports = on_reports
        self._under_way = 0
        # Boot and highest number of each node, of reports still on their way to the disk too: for
        # gaps only, never to call a report a duplicate, because its commit may yet fail.
        self._arrived: dict[NodeNumber, tuple[int, int]] = {}
        self._boots: dict[NodeNumber, int] = {}
        self._dropped: dict[NodeNumber, tuple[int, int]] = {}
        self._disk_failed = False
        self._dropped_by_spool = spool.dropped_reports()

    @property
    def disk_failed(self) -> bool:
        """Say whether the disk did not take what was last given to it."""
        return self._disk_failed

    def is_behind(self) -> bool:
        """Say whether reports come faster than they are written."""
        return self._under_way >= REPORTS_UNDER_WAY_ENOUGH

    async def take_report(self, report: Report) -> Receipt:
        """Spool a report; returns after it is on disk."""
        (receipt,) = await self.take_reports((report,))
        return receipt

    async def take_reports(self, reports: Sequence[Report]) -> Sequence[Receipt]:
        """Spool reports that arrived together; returns after they are on disk.

        Returns:
            What became of each.
        """
        receipts = [Receipt.STORED] * len(reports)
        taken: list[Report] = []
        places: list[int] = []
        gaps: list[Event] = []
        mark, arrived = self._spool.mark, self._arrived
        room = REPORTS_UNDER_WAY_MAX - self._under_way
        for place, report in enumerate(reports):
            node, boot, sequence = report[:3]
            committed = mark(node)
            if committed is not None and committed.holds(boot, sequence):
                continue
            if room <= 0:
                receipts[place] = Receipt.OVERLOADED
                continue
            room -= 1
            taken.append(report)
            places.append(place)
            if arrived.get(node) == (boot, sequence - 1):
                arrived[node] = (boot, sequence)
            else:
                self._note_gap(report, committed, gaps)
        refused = receipts.count(Receipt.OVERLOADED)
        self._tally.count("reports_received", len(reports))
        self._tally.count("reports_refused", refused)
        self._tally.count("reports_duplicate", len(reports) - len(taken) - refused)
        if not taken:
            return receipts
        self._under_way += len(taken)
        try:
            if gaps:
                await self._spool.add_events(gaps)
            await self._spool.add_reports(taken)
        except StorageError as error:
            self._note_disk(error)
            for place in places:
                receipts[place] = Receipt.OVERLOADED
            return receipts
        finally:
            self._under_way -= len(taken)
        self._note_disk(None)
        self._note_room()
        self._tally.count("reports_spooled", len(taken))
        for report in taken:
            if self._boots.get(report.node) != report.boot:
                self._boots[report.node] = report.boot
                self._registry.note_boot(report.node, report.boot)
        self._on_spooled()
        self._on_reports(taken)
        return receipts

    def note_dropped(self, node: NodeNumber, boot: int, dropped: int) -> None:
        """Count the reports that a node says it dropped; it repeats the sum since its boot."""
        known_boot, known = self._dropped.get(node, (boot, 0))
        if boot != known_boot:
            known = 0
        if dropped > known:
            self._tally.count("reports_dropped_by_nodes", dropped - known)
            self._dropped[node] = (boot, dropped)

    async def note_seen(self, node: NodeNumber, kind: str, severity: Severity) -> Receipt:
        """Spool an event that the gateway itself saw."""
        return await self.take_event(seen_event(node, kind, severity, self._clock.now_ms()))

    async def take_event(self, event: Event) -> Receipt:
        """Spool an event; returns after it is on disk."""
        (receipt,) = await self.take_events((event,))
        return receipt

    async def take_events(self, events: Sequence[Event]) -> Sequence[Receipt]:
        """Spool events that arrived together; returns after they are on disk.

        Returns:
            What became of each.
        """
        try:
            await self._spool.add_events(events)
        except StorageError as error:
            self._note_disk(error)
            return [Receipt.OVERLOADED] * len(events)
        self._note_disk(None)
        self._tally.count("events_spooled", len(events))
        self._on_spooled()
        for event in events:
            self._on_event(event)
        return [Receipt.STORED] * len(events)

    def _note_gap(self, report: Report, committed: ReceivedMark | None, gaps: list[Event]) -> None:
        """Make events about reports that never came; a gap is reported as a gap."""
        node, reached = report.node, (report.boot, report.sequence)
        known = self._arrived.get(node)
        if known is None:
            known = reached if committed is None else (committed.boot, committed.highest)
        self._arrived[node] = max(known, reached)
        for boot, missing in missing_before(report, *known):
            self._tally.count("reports_missing", len(missing))
            gaps.append(gap_event(node, boot, missing, self._clock.now_ms()))

    def _note_room(self) -> None:
        """Say so when the spool had to drop reports."""
        dropped = self._spool.dropped_reports()
        if dropped != self._dropped_by_spool:
            _log.warning(
                "spool_full", dropped=dropped - self._dropped_by_spool,
                waiting=self._spool.waiting_reports(),
            )  # fmt: skip
            self._dropped_by_spool = dropped
            self._tally.gauge("reports_dropped", dropped)

    def _note_disk(self, error: StorageError | None) -> None:
        """Log once when the disk fails and once when it works again."""
        if error is not None:
            self._tally.count("storage_errors")
        if (error is not None) is not self._disk_failed:
            self._disk_failed = error is not None
            if error is not None:
                _log.error("disk_failed", error=str(error))
            else:
                _log.info("disk_works_again")
