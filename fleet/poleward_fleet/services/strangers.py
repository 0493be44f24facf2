"""Strangers at gateways: stored, shown, and an alarm when there are many.

Not what a gateway does with them: it refuses, whatever the fleet thinks.
"""

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.strangers import Stranger, StrangersSeen, verdict
from poleward_fleet.ports.strangers import StrangerStore
from poleward_fleet.services.alarms import AlarmService
from poleward_fleet.services.permissions import AreaTree

SHOWN_MAX = 1000


class StrangerService:
    """Use cases around strangers.

    Args:
        store: Where they are.
        alarms: Told whether there are many.
        areas: Tree for rights.
    """

    def __init__(self, store: StrangerStore, alarms: AlarmService, areas: AreaTree) -> None:
        self._store = store
        self._alarms = alarms
        self._areas = areas

    async def take(self, gateway_name: str, seen: StrangersSeen) -> None:
        """Store what a gateway saw, and begin or end its alarm."""
        number = await self._store.keep(gateway_name, seen.sightings)
        is_alarm = verdict(seen.attempts_per_minute)
        if is_alarm is not None:
            await self._alarms.take_strangers(number, are_many=is_alarm)

    async def strangers(self, principal: Principal) -> list[Stranger]:
        """Return strangers at the gateways of the principal's areas, the newest first."""
        allowed = await self._areas.allowed(principal, Permission.SEE)
        return await self._store.strangers(allowed, limit=SHOWN_MAX)
