"""Questions about stored readings and events, within one's rights.

Not their storing (services/ingest.py).
"""

from collections.abc import AsyncIterator, Collection

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.history import Retention
from poleward_fleet.domain.inventory import Stay
from poleward_fleet.domain.telemetry import NodeEvent, Series, SeriesKey, StoredCount
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.history import HistoryStore
from poleward_fleet.ports.telemetry import TelemetryStore
from poleward_fleet.services.inventory import InventoryService
from poleward_fleet.services.permissions import AreaTree

DEFAULT_LIMIT = 10_000
_PIECE = 5_000


class TelemetryService:
    """Use cases around history.

    Args:
        store: What is stored, and events.
        history: Readings.
        inventory: Tells whether the principal may see a node.
        areas: Tree for rights.
        retention: How long reports are there.
        clock: For "until now".
    """

    def __init__(
        self,
        store: TelemetryStore,
        history: HistoryStore,
        inventory: InventoryService,
        areas: AreaTree,
        retention: Retention,
        clock: Clock,
    ) -> None:
        self._store = store
        self._history = history
        self._inventory = inventory
        self._areas = areas
        self._retention = retention
        self._clock = clock

    async def readings(
        self,
        principal: Principal,
        pole: str,
        key: SeriesKey,
        *,
        from_ms: int,
        to_ms: int,
        limit: int,
    ) -> AsyncIterator[Series]:
        """Yield the readings of a pole's series in [from, to) in pieces, oldest first.

        They come from every node that stood in the pole.

        Raises:
            NotFoundError: No such pole, or the principal may not see it.
        """
        to_ms = to_ms or self._clock.now_ms() + 1
        left = limit or DEFAULT_LIMIT
        for stay in await self._stays(principal, pole, from_ms, to_ms):
            after_ms = stay.from_ms
            while left > 0:
                piece = await self._history.series(
                    stay.node_number, key,
                    from_ms=after_ms, to_ms=stay.until_ms, limit=min(left, _PIECE),
                )  # fmt: skip
                if not piece.measured_at_ms:
                    break
                yield piece
                left -= len(piece.measured_at_ms)
                after_ms = piece.measured_at_ms[-1] + 1

    async def series(
        self,
        principal: Principal,
        pole: str,
        key: SeriesKey,
        *,
        from_ms: int,
        to_ms: int,
        max_points: int = 2000,
    ) -> Series:
        """Return a pole's series in [from, to), thinned to about max_points means.

        Of a time whose reports are forgotten it returns the means that are kept.
        """
        if to_ms <= from_ms or max_points < 1:
            raise InvalidError("the end of a range must be after its beginning")
        times: tuple[int, ...] = ()
        values: tuple[float, ...] = ()
        for stay in await self._stays(principal, pole, from_ms, to_ms):
            share = max_points * (stay.until_ms - stay.from_ms) // (to_ms - from_ms)
            part = await self._part(stay, key, max(1, share))
            times, values = times + part.measured_at_ms, values + part.value
        return Series(key, times, values)

    async def _part(self, stay: Stay, key: SeriesKey, max_points: int) -> Series:
        """Return what one node measured during a stay, thinned when it is too much."""
        step_ms = 1000 * self._retention.finest_step_s(stay.from_ms, self._clock.now_ms())
        if step_ms:
            max_points = max(1, min(max_points, (stay.until_ms - stay.from_ms) // step_ms))
        else:
            whole = await self._history.series(
                stay.node_number, key,
                from_ms=stay.from_ms, to_ms=stay.until_ms, limit=max_points + 1,
            )  # fmt: skip
            if len(whole.measured_at_ms) <= max_points:
                return whole
        return await self._history.thinned_series(
            stay.node_number, key, from_ms=stay.from_ms, to_ms=stay.until_ms, buckets=max_points
        )

    async def _stays(self, principal: Principal, pole: str, from_ms: int, to_ms: int) -> list[Stay]:
        """Return the parts of stays in a pole that are in [from, to), the oldest first."""
        stays = await self._inventory.stays(principal, pole)
        parts = [stay.within(from_ms, to_ms) for stay in stays]
        return [part for part in parts if part.from_ms < part.until_ms]

    async def counts(
        self, principal: Principal, node_numbers: Collection[int]
    ) -> list[StoredCount]:
        """Count what is stored by node and boot, for gap and loss checks.

        Raises:
            ForbiddenError: The principal may not see every area; name nodes instead.
        """
        allowed = await self._areas.allowed(principal, Permission.SEE)
        if allowed is not None:
            for number in node_numbers:
                await self._inventory.pole(principal, str(number))
            if not node_numbers:
                raise InvalidError("name the nodes to count; you may not see all of them")
        return await self._store.counts(node_numbers)

    async def events(self, principal: Principal, *, limit: int = 100) -> list[NodeEvent]:
        """Return the newest events of the principal's poles, newest first."""
        allowed = await self._areas.allowed(principal, Permission.SEE)
        return await self._store.events(allowed, limit=min(limit, 1000))
