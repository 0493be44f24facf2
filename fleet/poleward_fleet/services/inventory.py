"""Areas, poles and gateways: reading them within one's rights, importing them.

Not nodes' identities (services/provisioning.py).
"""

import math
from collections.abc import Callable, Collection, Sequence

from poleward_commissioning.checklist import Place, distance_m
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from poleward_fleet.domain.inventory import (
    Area,
    Gateway,
    Node,
    Pole,
    PoleMarker,
    PoleView,
    Stay,
)
from poleward_fleet.domain.telemetry import LatestValue
from poleward_fleet.ports.inventory import InventoryStore
from poleward_fleet.ports.telemetry import TelemetryStore
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.city_map import CityMap
from poleward_fleet.services.permissions import AreaTree
from poleward_fleet.services.web_services import PoleDetail

_EVENTS_ON_PAGE = 50
MAX_PAGE = 10_000
FAR_M = 20_000.0
"""A new pole is at most so far from some other pole of its area, or somebody says so."""


class InventoryService:
    """Use cases around what stands in the city.

    Args:
        store: Where it is kept.
        telemetry: Latest values and events of a pole.
        areas: Tree for rights.
        changes: Told about imported poles.
        connected: Names of gateways whose stream is open.
        city_map: Markers for the map.
    """

    def __init__(
        self,
        store: InventoryStore,
        telemetry: TelemetryStore,
        areas: AreaTree,
        changes: ChangeBroadcast,
        connected: Callable[[], Collection[str]],
        city_map: CityMap,
    ) -> None:
        self._store = store
        self._telemetry = telemetry
        self._areas = areas
        self._changes = changes
        self._connected = connected
        self._city_map = city_map

    async def create_areas(self, principal: Principal, areas: Sequence[Area]) -> None:
        """Add or update areas, in any order."""
        principal.require(Permission.EDIT_INVENTORY)
        if principal.area_code:
            raise ForbiddenError.of("areas_everywhere")
        if areas:
            subject = areas[0].code if len(areas) == 1 else f"{len(areas)} areas"
            await self._store.put_areas(areas, AuditEntry(principal.name, "area.put", subject))
            self._areas.forget()

    async def import_poles(self, principal: Principal, poles: Sequence[Pole]) -> tuple[int, int]:
        """Add or update poles, all or none; return how many are new and how many were there.

        Raises:
            InvalidError: A code comes twice, or a value makes no sense.
            NotFoundError: An area is not the principal's.
            ConflictError: A code is taken by a pole outside the principal's area.
        """
        allowed = await self._areas.allowed(principal, Permission.EDIT_INVENTORY)
        seen: set[str] = set()
        for pole in poles:
            if pole.code in seen:
                raise InvalidError(f"pole {pole.code} comes twice in one import")
            seen.add(pole.code)
            if not (math.isfinite(pole.latitude_deg) and math.isfinite(pole.longitude_deg)):
                raise InvalidError(f"pole {pole.code} has no place")
            if allowed is not None and pole.area_code not in allowed:
                raise NotFoundError(f"area {pole.area_code} of pole {pole.code} does not exist")
        if not poles:
            return 0, 0
        if allowed is not None:
            for code, pole in (await self._store.poles_named(seen)).items():
                if pole.area_code not in allowed:
                    raise ConflictError.of("code_taken", pole=code)
        subject = poles[0].code if len(poles) == 1 else f"{len(poles)} poles"
        counts = await self._store.put_poles(
            poles, AuditEntry(principal.name, "pole.import", subject)
        )
        self._changes.publish(pole_codes=seen)
        return counts

    async def add_pole(self, principal: Principal, pole: Pole, *, confirmed: bool) -> None:
        """Add a pole that a technician stands at; the same pole again changes nothing.

        Args:
            principal: The technician.
            pole: The new pole.
            confirmed: It is in the right place although it is far from every other of its area.

        Raises:
            ConflictError: A pole with this code stands elsewhere, or this one is implausibly far.
            NotFoundError: The area is not the principal's.
            InvalidError: A value makes no sense.
        """
        await self._areas.allowed(principal, Permission.COMMISSION, pole.area_code)
        there = await self._store.pole(pole.code)
        if there is not None and there.pole == pole:
            return
        if there is not None:
            raise ConflictError.of("pole_exists", pole=pole.code)
        if not pole.area_code:
            raise InvalidError.of("pole_needs_area")
        place = Place(pole.latitude_deg, pole.longitude_deg, 0)
        neighbours = await self._store.poles(frozenset({pole.area_code}), after="", limit=MAX_PAGE)
        away_m = min(
            (distance_m(place, v.pole.latitude_deg, v.pole.longitude_deg) for v in neighbours),
            default=0.0,
        )
        if away_m > FAR_M and not confirmed:
            raise ConflictError.of("pole_far_away", pole=pole.code, km=f"{away_m / 1000:.0f}")
        await self._store.put_poles([pole], AuditEntry(principal.name, "pole.add", pole.code))
        self._changes.publish(pole_codes=[pole.code])

    async def list_poles(
        self, principal: Principal, *, area_code: str = "", after: str = "", limit: int = 1000
    ) -> list[PoleView]:
        """Return poles with code > after, by code."""
        allowed = await self._areas.allowed(principal, Permission.SEE, area_code)
        return await self._store.poles(allowed, after=after, limit=min(limit, MAX_PAGE))

    async def list_nodes(
        self, principal: Principal, *, area_code: str = "", after: int = 0, limit: int = 1000
    ) -> list[Node]:
        """Return nodes with number > after, by number.

        A node in no pole is in no area: only who may act everywhere sees it.
        """
        allowed = await self._areas.allowed(principal, Permission.SEE, area_code)
        return await self._store.nodes(allowed, after=after, limit=min(limit, MAX_PAGE))

    async def search_poles(
        self, principal: Principal, text: str, *, limit: int = 20
    ) -> list[PoleView]:
        """Return poles whose code contains the text (any case), by code."""
        allowed = await self._areas.allowed(principal, Permission.SEE)
        return await self._store.poles(
            allowed, after="", limit=min(limit, MAX_PAGE), containing=text
        )

    async def pole(
        self, principal: Principal, name: str, permission: Permission = Permission.SEE
    ) -> PoleView:
        """Return a pole by code, node number or endpoint name, if the principal may know of it.

        Raises:
            NotFoundError: There is none, or not in the principal's area.
        """
        allowed = await self._areas.allowed(principal, permission)
        view = await self._store.pole(name)
        if view is None or (allowed is not None and view.pole.area_code not in allowed):
            raise NotFoundError.of("no_pole", pole=name)
        return view

    async def stays(self, principal: Principal, name: str) -> list[Stay]:
        """Return which nodes stood in a pole when, the oldest first; raises what `pole` does."""
        return await self._store.stays((await self.pole(principal, name)).pole.code)

    async def pole_with_latest(
        self, principal: Principal, name: str
    ) -> tuple[PoleView, list[LatestValue]]:
        """Return a pole and the newest value of each series of its node."""
        view = await self.pole(principal, name)
        return view, await self._telemetry.latest(view.node.number) if view.node else []

    async def pole_detail(self, principal: Principal, code: str) -> PoleDetail:
        """Return a pole with everything that its page shows."""
        view, latest = await self.pole_with_latest(principal, code)
        markers = await self._city_map.read([view.pole.code])
        stays = await self._store.stays(view.pole.code)
        events = await self._telemetry.events_during(stays, limit=_EVENTS_ON_PAGE)
        return PoleDetail(view, markers[0], tuple(latest), tuple(events))

    async def markers(
        self,
        principal: Principal,
        *,
        area_code: str = "",
        codes: Collection[str] | None = None,
    ) -> list[PoleMarker]:
        """Return the poles a map shows, by code."""
        allowed = await self._areas.allowed(principal, Permission.SEE, area_code)
        return await self._city_map.markers(allowed, codes)

    async def areas(self, principal: Principal) -> list[Area]:
        """Return the areas the principal may see, by code."""
        allowed = await self._areas.allowed(principal, Permission.SEE)
        areas = await self._areas.all()
        return [area for area in areas if allowed is None or area.code in allowed]

    async def gateways(self, principal: Principal) -> list[Gateway]:
        """Return the gateways the principal may see, by name."""
        allowed = await self._areas.allowed(principal, Permission.SEE)
        gateways = await self._store.gateways(self._connected())
        return [g for g in gateways if allowed is None or g.area_code in allowed]
