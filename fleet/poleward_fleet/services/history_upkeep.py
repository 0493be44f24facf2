"""Keeps history small: makes room ahead, packs days that are over, forgets what is too old.

Not how any of it is stored (ports/history.py).
"""

import asyncio

import structlog

from poleward_fleet.domain.errors import FleetError
from poleward_fleet.domain.history import ROLLUP_STEPS_S, Retention, day_of, is_closed
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.history import HistoryStore

_log = structlog.get_logger(__name__)
_PERIOD_S = 600.0
# Packing a handful of nodes takes tens of milliseconds in which nothing else runs.
_BREATH_S = 0.05


class HistoryUpkeep:
    """The upkeep of history.

    Args:
        store: The history.
        retention: How long each kind of record is kept.
        clock: Wall time.
    """

    def __init__(self, store: HistoryStore, retention: Retention, clock: Clock) -> None:
        self._store = store
        self._retention = retention
        self._clock = clock

    async def run(self) -> None:
        """Do what is due, for ever; cancelled by its owner."""
        while True:
            try:
                await self.once()
            except FleetError as error:
                _log.warning("history_upkeep_failed", reason=str(error))
            await asyncio.sleep(_PERIOD_S)

    async def once(self) -> None:
        """Do what is due now. Stopping it at any moment loses nothing."""
        now_ms = self._clock.now_ms()
        today = day_of(now_ms)
        await self._store.make_days([today, today + 1])
        await self._forget(today)
        for day in await self._store.open_days():
            if not is_closed(day, now_ms):
                continue
            nodes = 0
            while packed := await self._store.pack_some(day):
                nodes += packed
                await asyncio.sleep(_BREATH_S)
            if nodes:
                _log.info("day_packed", day=day, nodes=nodes)

    async def _forget(self, today: int) -> None:
        retention = self._retention
        if retention.reports_days:
            await self._store.forget_reports(today - retention.reports_days)
        for step_s in ROLLUP_STEPS_S:
            if kept_days := retention.rollup_days(step_s):
                await self._store.forget_rollups(step_s, today - kept_days)
        if retention.events_days:
            await self._store.forget_events(today - retention.events_days)
