"""The markers of all poles, held in memory while somebody looks at the map.

Not the record: the store is. A map of 100,000 poles costs seconds to read, and every open page
asks for what changed once a second, so both are read once for all pages.
"""

import asyncio
from collections.abc import Collection

from poleward_fleet.domain.inventory import PoleMarker
from poleward_fleet.ports.areas import AllowedAreas
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.inventory import InventoryStore
from poleward_fleet.services.changes import ChangeBroadcast, Subscriber

# The morning's second visitor should not wait; an unwatched city should cost nothing.
KEEP_MS = 15 * 60_000
LOOK_AGAIN_S = 5.0
# With more changed poles than this, reading all is cheaper.
_MANY = 20_000


class CityMap:
    """What pages show of every pole, as of now.

    Args:
        store: Where markers come from.
        changes: Names the poles to read again; told when a pole falls silent.
        clock: Decides who is silent.
    """

    def __init__(self, store: InventoryStore, changes: ChangeBroadcast, clock: Clock) -> None:
        self._store = store
        self._changes = changes
        self._clock = clock
        self._markers: dict[str, PoleMarker] = {}
        self._subscriber: Subscriber | None = None
        self._reading = asyncio.Lock()
        self._asked_at_ms = 0
        self._looked_at_ms = 0

    async def markers(
        self, allowed: AllowedAreas, codes: Collection[str] | None = None
    ) -> list[PoleMarker]:
        """Return the named poles, or all, that lie in allowed areas, by code."""
        async with self._reading:
            await self._catch_up()
        now_ms = self._asked_at_ms = self._clock.now_ms()
        held = self._markers
        if codes is None:
            chosen = list(held.values())
        else:
            chosen = [held[code] for code in sorted(codes) if code in held]
        if allowed is not None:
            permitted = set(allowed)
            chosen = [marker for marker in chosen if marker.area_code in permitted]
        return [marker.at(now_ms) for marker in chosen]

    async def read(self, codes: Collection[str]) -> list[PoleMarker]:
        """Return the named poles from the store, without holding the rest."""
        now_ms = self._clock.now_ms()
        return [marker.at(now_ms) for marker in await self._store.markers(codes)]

    async def run(self) -> None:
        """Tell pages about poles that fall silent; let go of the map when nobody looks."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            self.look_again()

    def look_again(self) -> None:
        """Do what is due now."""
        if self._subscriber is None:
            return
        before_ms, now_ms = self._looked_at_ms, self._clock.now_ms()
        if now_ms - self._asked_at_ms > KEEP_MS:
            self._changes.leave(self._subscriber)
            self._subscriber = None
            self._markers = {}
            return
        self._looked_at_ms = now_ms
        self._changes.publish(
            pole_codes=[
                marker.code
                for marker in self._markers.values()
                if before_ms < marker.silent_from_ms <= now_ms
            ]
        )

    async def _catch_up(self) -> None:
        if self._subscriber is None:
            # First the subscription, then the reading: no change falls between them.
            subscriber = self._changes.listen()
            try:
                await self._read_all()
            except BaseException:
                self._changes.leave(subscriber)
                raise
            self._subscriber = subscriber
            self._looked_at_ms = self._clock.now_ms()
            return
        codes = self._subscriber.take().pole_codes
        if not codes:
            return
        try:
            if len(codes) > _MANY:
                await self._read_all()
            else:
                await self._read_again(codes)
        except BaseException:
            self._subscriber.poles |= codes
            raise

    async def _read_all(self) -> None:
        self._markers = {marker.code: marker for marker in await self._store.markers(None)}

    async def _read_again(self, codes: Collection[str]) -> None:
        read = {marker.code: marker for marker in await self._store.markers(codes)}
        new = read.keys() - self._markers.keys()
        self._markers.update(read)
        for code in codes:
            if code not in read:
                self._markers.pop(code, None)
        if new:
            self._markers = dict(sorted(self._markers.items()))
