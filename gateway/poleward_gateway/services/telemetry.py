"""Takes reports and events from nodes into the spool; the answer to a node waits for the disk.

Not their way to the fleet: services/uplink.py.
"""

from collections.abc import Callable
from enum import Enum

import structlog

from poleward_gateway.domain.errors import StorageError
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.telemetry import Arrival, Event, ReceivedMark, Report, gap_event
from poleward_gateway.ports import Clock, Spool, Tally
from poleward_gateway.services.registry import Registry

_log = structlog.get_logger(__name__)

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
    ) -> None:
        self._spool = spool
        self._registry = registry
        self._clock = clock
        self._tally = tally
        self._on_spooled = on_spooled
        self._under_way = 0
        # Marks that count reports still on their way to the disk: for gaps only, never to call
        # a report a duplicate, because its commit may yet fail.
        self._arrived: dict[NodeNumber, ReceivedMark] = {}
        self._disk_failed = False

    async def take_report(self, report: Report) -> Receipt:
        """Spool a report; returns after it is on disk."""
        self._tally.count("reports_received")
        committed = self._spool.mark(report.node)
        if committed is not None:
            arrival = committed.judge(report.boot, report.sequence)
            if arrival is Arrival.DUPLICATE:
                self._tally.count("reports_duplicate")
                return Receipt.STORED
        if self._under_way >= REPORTS_UNDER_WAY_MAX:
            self._tally.count("reports_refused")
            return Receipt.OVERLOADED
        self._under_way += 1
        try:
            await self._note_gap(report, committed)
            await self._spool.add_report(report)
        except StorageError as error:
            self._note_disk(error)
            return Receipt.OVERLOADED
        finally:
            self._under_way -= 1
        self._note_disk(None)
        self._tally.count("reports_spooled")
        self._registry.note_boot(report.node, report.boot)
        self._on_spooled()
        return Receipt.STORED

    async def take_event(self, event: Event) -> Receipt:
        """Spool an event; returns after it is on disk."""
        try:
            await self._spool.add_events([event])
        except StorageError as error:
            self._note_disk(error)
            return Receipt.OVERLOADED
        self._note_disk(None)
        self._tally.count("events_spooled")
        self._on_spooled()
        return Receipt.STORED

    async def _note_gap(self, report: Report, committed: ReceivedMark | None) -> None:
        """Spool an event about reports that never came; a gap is reported as a gap."""
        arrived = self._arrived.get(report.node) or committed
        if arrived is None:
            self._arrived[report.node] = ReceivedMark.first(report.boot, report.sequence)
            return
        self._arrived[report.node] = arrived.after(report.boot, report.sequence)
        if arrived.judge(report.boot, report.sequence) is Arrival.AFTER_GAP:
            missing = arrived.missing_before(report.boot, report.sequence)
            self._tally.count("reports_missing", len(missing))
            now_ms = self._clock.now_ms()
            await self._spool.add_events([gap_event(report.node, report.boot, missing, now_ms)])

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
