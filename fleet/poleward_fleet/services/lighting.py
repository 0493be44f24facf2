"""Editing lighting programs, groups, scenes and local rules; gateways get what changed.

Not commanding lamps: services/lamp_orders.py.
"""

import datetime
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ForbiddenError, InvalidError, NotFoundError
from poleward_fleet.domain.lighting import (
    MAX_MEMBERS,
    Group,
    LampPlace,
    LightingKind,
    LightingOverview,
    Program,
    Rule,
    Scene,
    check_name,
)
from poleward_fleet.domain.lighting_rules import Night, night_of, read_rules
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.lighting import LightingStore
from poleward_fleet.services.gateways import GatewayLinks
from poleward_fleet.services.inventory import InventoryService
from poleward_fleet.services.permissions import AreaTree

_KINDS = {Program: "program", Scene: "scene", Rule: "rule"}


class LightingService:
    """Use cases around what runs lamps without a person.

    Programs, scenes and rules belong to the whole city: only who may act everywhere edits them.
    Groups and assignments are about poles: whoever may command those edits them.

    Args:
        store: Where it is kept.
        inventory: Tells whether the principal may see a pole.
        areas: Tree for rights.
        links: Told that lighting changed.
        clock: For the preview of tonight.
    """

    def __init__(
        self,
        store: LightingStore,
        inventory: InventoryService,
        areas: AreaTree,
        links: GatewayLinks,
        clock: Clock,
    ) -> None:
        self._store = store
        self._inventory = inventory
        self._areas = areas
        self._links = links
        self._clock = clock

    async def put(self, principal: Principal, item: Program | Scene | Rule) -> None:
        """Add a program, scene or rule, or change the one of its name.

        Raises:
            InvalidError: Says what to correct.
            ForbiddenError: The principal may not act everywhere.
        """
        self._require_everywhere(principal)
        item.validate()
        kind = _KINDS[type(item)]
        await self._store.put(item, AuditEntry(principal.name, f"lighting.{kind}.put", item.name))
        self._links.lighting_changed()

    async def put_group(self, principal: Principal, group: Group, *, add: bool) -> None:
        """Add a group or change the one of its name; `add` keeps the poles that are in it.

        Raises:
            NotFoundError: A pole does not exist, or is not the principal's.
        """
        check_name(group.name)
        if len(group.pole_codes) > MAX_MEMBERS:
            raise InvalidError(f"a group has at most {MAX_MEMBERS} poles")
        await self._require_poles(
            principal, group.pole_codes, await self._store.lamps(group.pole_codes)
        )
        members = await self._store.lamps_of_group(group.name) or []
        await self._require_poles(principal, [m.pole_code for m in members], members)
        audit = AuditEntry(
            principal.name,
            "lighting.group.put",
            group.name,
            (("add", str(add)), ("poles", str(len(group.pole_codes)))),
        )
        await self._store.put_group(group, add=add, audit=audit)
        self._links.lighting_changed()

    async def remove(self, principal: Principal, kind: LightingKind, name: str) -> None:
        """Remove something.

        Raises:
            NotFoundError: There is none of this name.
            ConflictError: A program that poles follow.
        """
        if kind is LightingKind.GROUP:
            members = await self._store.lamps_of_group(name) or []
            await self._require_poles(principal, [m.pole_code for m in members], members)
        else:
            self._require_everywhere(principal)
        audit = AuditEntry(principal.name, f"lighting.{kind.value}.remove", name)
        await self._store.remove(kind, name, audit)
        self._links.lighting_changed()

    async def assign(
        self,
        principal: Principal,
        program: str,
        *,
        pole_codes: Sequence[str] = (),
        group: str = "",
        area_code: str = "",
    ) -> int:
        """Give poles a program, or with an empty name take theirs away; return how many.

        Raises:
            InvalidError: Poles are named in no way, or in more than one.
            NotFoundError: A pole, the program, the group or the area does not exist.
        """
        if bool(pole_codes) + bool(group) + bool(area_code) != 1:
            raise InvalidError("name poles, or a group, or an area")
        if area_code:
            allowed = await self._areas.allowed(principal, Permission.COMMAND, area_code)
            lamps = await self._store.lamps_of_area(sorted(allowed or ()))
        elif group:
            found = await self._store.lamps_of_group(group)
            if found is None:
                raise NotFoundError(f"group {group} does not exist")
            lamps = found
        else:
            lamps = await self._store.lamps(pole_codes)
        codes = [lamp.pole_code for lamp in lamps]
        await self._require_poles(principal, pole_codes or codes, lamps)
        where = area_code or group or (codes[0] if len(codes) == 1 else f"{len(codes)} poles")
        audit = AuditEntry(
            principal.name, "lighting.assign", where, (("program", program or "none"),)
        )
        await self._store.assign(program, codes, audit)
        self._links.lighting_changed()
        return len(codes)

    async def overview(self, principal: Principal) -> LightingOverview:
        """Return programs, groups, scenes and rules, with the poles that the principal may see."""
        return await self._store.overview(await self._areas.allowed(principal, Permission.SEE))

    async def preview(
        self, principal: Principal, program: Program, pole_code: str, at_s: int = 0
    ) -> Night:
        """Compute the night around a moment, or tonight, at a pole.

        Raises:
            InvalidError: The program cannot run.
            NotFoundError: There is no such pole.
        """
        program.validate()
        pole = (await self._inventory.pole(principal, pole_code)).pole
        zone = ZoneInfo(program.time_zone)
        at_s = at_s or self._clock.now_ms() // 1000
        try:
            noon_based = datetime.datetime.fromtimestamp(at_s - 12 * 3600, zone)
        except (OverflowError, ValueError, OSError) as error:
            raise InvalidError("this moment is out of range") from error
        return night_of(
            read_rules(program.rules),
            evening=noon_based.date(),
            zone=zone,
            latitude_deg=pole.latitude_deg,
            longitude_deg=pole.longitude_deg,
        )

    async def preview_stored(
        self, principal: Principal, name: str, pole_code: str, at_s: int = 0
    ) -> Night:
        """Compute the night around a moment, or tonight, of a program that is stored.

        Raises:
            NotFoundError: There is no such program or pole.
        """
        program = await self._store.program(name)
        if program is None:
            raise NotFoundError(f"program {name} does not exist")
        return await self.preview(principal, program, pole_code, at_s)

    def _require_everywhere(self, principal: Principal) -> None:
        principal.require(Permission.COMMAND)
        if principal.area_code:
            raise ForbiddenError(
                "programs, scenes and rules can be edited only by somebody who may act everywhere"
            )

    async def _require_poles(
        self, principal: Principal, pole_codes: Sequence[str], lamps: Sequence[LampPlace]
    ) -> None:
        allowed = await self._areas.allowed(principal, Permission.COMMAND)
        mine = {lamp.pole_code for lamp in lamps if allowed is None or lamp.area_code in allowed}
        for code in pole_codes:
            if code not in mine:
                raise NotFoundError(f"pole {code} does not exist")
