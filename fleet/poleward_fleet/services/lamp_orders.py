"""Orders to many lamps at once, and answers to emergency calls: sent, waited for, told per pole.

Not single lamps: services/commands.py does those, and carries out these.
"""

from collections.abc import Sequence

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.commands import (
    AnswerCall,
    CommandOutcome,
    CommandStatus,
    SetLamp,
)
from poleward_fleet.domain.errors import ConflictError, NotFoundError
from poleward_fleet.domain.lighting import LampPlace, PoleOutcome, check_wish
from poleward_fleet.ports.lighting import LightingStore
from poleward_fleet.services.commands import CommandService, Order
from poleward_fleet.services.inventory import InventoryService
from poleward_fleet.services.permissions import AreaTree


class LampOrderService:
    """Use cases around groups, scenes and emergency calls.

    Args:
        store: Groups and scenes.
        commands: Carries the commands out.
        inventory: Tells whether the principal may act on a pole.
        areas: Tree for rights.
    """

    def __init__(
        self,
        store: LightingStore,
        commands: CommandService,
        inventory: InventoryService,
        areas: AreaTree,
    ) -> None:
        self._store = store
        self._commands = commands
        self._inventory = inventory
        self._areas = areas

    async def dim_group(
        self, principal: Principal, group: str, wish: SetLamp, *, timeout_s: float = 10
    ) -> list[PoleOutcome]:
        """Dim every lamp of a group; return the outcome of each, by pole.

        Raises:
            NotFoundError: There is no such group, or not all of it is the principal's.
            InvalidError: The level, duration or fade makes no sense.
        """
        check_wish(wish.level_percent, wish.duration_s, wish.fade_ms)
        lamps = await self._members(principal, group)
        audit = AuditEntry(
            principal.name, "group.dim", group, (("level_percent", str(wish.level_percent)),)
        )
        return await self._carry_out([(lamp, wish) for lamp in lamps], audit, timeout_s)

    async def run_scene(
        self,
        principal: Principal,
        name: str,
        *,
        duration_s: int = 0,
        starts_at_s: int = 0,
        timeout_s: float = 10,
    ) -> list[PoleOutcome]:
        """Set the groups of a scene; a pole in two of them follows the later part.

        Raises:
            NotFoundError: There is no such scene or group.
        """
        scene = await self._store.scene(name)
        if scene is None:
            raise NotFoundError.of("no_scene", scene=name)
        wishes: dict[str, tuple[LampPlace, SetLamp]] = {}
        for part in scene.parts:
            check_wish(part.level_percent, duration_s, part.fade_ms)
            wish = SetLamp(
                part.level_percent,
                duration_s=duration_s,
                starts_at_s=starts_at_s,
                fade_ms=part.fade_ms,
            )
            for lamp in await self._members(principal, part.group):
                wishes[lamp.pole_code] = (lamp, wish)
        audit = AuditEntry(principal.name, "scene.run", name)
        return await self._carry_out(list(wishes.values()), audit, timeout_s)

    async def answer_call(
        self, principal: Principal, pole_code: str, *, reset: bool, timeout_s: float = 10
    ) -> CommandOutcome:
        """Accept or end the emergency call of a pole.

        Raises:
            NotFoundError: There is no such pole.
            ConflictError: No node stands in it.
        """
        view = await self._inventory.pole(principal, pole_code, Permission.COMMAND)
        if view.node is None or not view.node.gateway_name:
            raise ConflictError.of("no_node_in_pole", pole=view.pole.code)
        audit = AuditEntry(principal.name, "sos.reset" if reset else "sos.accept", view.pole.code)
        order = Order(view.node.number, view.node.gateway_name, AnswerCall(reset))
        (outcome,) = await self._commands.carry_out([order], audit, timeout_s)
        return outcome

    async def _members(self, principal: Principal, group: str) -> list[LampPlace]:
        allowed = await self._areas.allowed(principal, Permission.COMMAND)
        lamps = await self._store.lamps_of_group(group)
        if lamps is None or (
            allowed is not None and any(lamp.area_code not in allowed for lamp in lamps)
        ):
            raise NotFoundError.of("no_group", group=group)
        return lamps

    async def _carry_out(
        self, wishes: Sequence[tuple[LampPlace, SetLamp]], audit: AuditEntry, timeout_s: float
    ) -> list[PoleOutcome]:
        reachable = [(lamp, wish) for lamp, wish in wishes if lamp.gateway_name]
        orders = [Order(lamp.node_number, lamp.gateway_name, wish) for lamp, wish in reachable]
        outcomes = await self._commands.carry_out(orders, audit, timeout_s)
        found = {
            lamp.pole_code: outcome for (lamp, _), outcome in zip(reachable, outcomes, strict=True)
        }
        nobody = CommandOutcome(CommandStatus.UNREACHABLE, "no node stands in this pole", 0)
        return [
            PoleOutcome(lamp.pole_code, found.get(lamp.pole_code, nobody)) for lamp, _ in wishes
        ]
