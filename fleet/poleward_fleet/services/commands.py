"""Commands to poles: kept, handed to the gateway, waited for.

Not their execution: the gateway does it at most once, however often it is told.
"""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.commands import (
    Action,
    Command,
    CommandOutcome,
    CommandStatus,
    SetLamp,
)
from poleward_fleet.domain.errors import ConflictError, InvalidError
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.commands import CommandStore
from poleward_fleet.services.gateways import GatewayLink, GatewayLinks
from poleward_fleet.services.inventory import InventoryService

MAX_TIMEOUT_S = 120.0
# The gateway says itself that a command expired; this much longer we listen for it.
_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """What one node behind one gateway is to do."""

    node_number: int
    gateway_name: str
    action: Action


class CommandService:
    """Use cases around commands.

    Args:
        store: Where commands are kept.
        links: Open streams.
        inventory: Tells whether the principal may act on a pole.
        clock: For deadlines.
    """

    def __init__(
        self, store: CommandStore, links: GatewayLinks, inventory: InventoryService, clock: Clock
    ) -> None:
        self._store = store
        self._links = links
        self._inventory = inventory
        self._clock = clock
        self._waiting: dict[bytes, asyncio.Future[CommandOutcome]] = {}

    async def set_lamp(
        self,
        principal: Principal,
        pole_code: str,
        *,
        level_percent: int,
        instance: int = 0,
        duration_s: int = 0,
        timeout_s: float = 10,
    ) -> CommandOutcome:
        """Dim one lamp and wait for the outcome, at most timeout_s."""
        view = await self._inventory.pole(principal, pole_code, Permission.COMMAND)
        if not 0 <= level_percent <= 100:
            raise InvalidError.of("level_range", level=level_percent)
        if not 0 <= duration_s < 1 << 31 or not 0 <= instance < 16:
            raise InvalidError.of("lamp_range")
        if view.node is None or not view.node.gateway_name:
            raise ConflictError.of("no_node_in_pole", pole=view.pole.code)
        audit = AuditEntry(
            principal.name,
            "lamp.set",
            view.pole.code,
            (
                ("duration_s", str(duration_s)),
                ("instance", str(instance)),
                ("level_percent", str(level_percent)),
            ),
        )
        order = Order(
            view.node.number, view.node.gateway_name, SetLamp(level_percent, instance, duration_s)
        )
        (outcome,) = await self.carry_out([order], audit, timeout_s)
        return outcome

    async def carry_out(
        self, orders: Sequence[Order], audit: AuditEntry, timeout_s: float
    ) -> list[CommandOutcome]:
        """Hand orders to their gateways and wait for the outcomes; the caller checked rights.

        They are kept in one transaction and travel as one message to each gateway, which paces
        them. What has no outcome in time is unreachable.

        Returns:
            One outcome for each order, in their order.
        """
        timeout_s = min(timeout_s, MAX_TIMEOUT_S) if timeout_s > 0 else 10
        started_ms = self._clock.now_ms()
        deadline_ms = started_ms + int(timeout_s * 1000)
        commands = [
            (
                order.gateway_name,
                Command(uuid.uuid4().bytes, order.node_number, deadline_ms, order.action),
            )
            for order in orders
        ]
        loop = asyncio.get_running_loop()
        waiting = {command.command_id: loop.create_future() for _, command in commands}
        self._waiting |= waiting
        try:
            await self._store.put(commands, now_ms=started_ms, audit=audit)
            reached = {
                name: self._links.send(name, [c for gateway, c in commands if gateway == name])
                for name in dict.fromkeys(gateway for gateway, _ in commands)
            }
            if waiting:
                await asyncio.wait(waiting.values(), timeout=timeout_s + _GRACE_S)
            return [
                waiting[command.command_id].result()
                if waiting[command.command_id].done()
                else await self._give_up(name, command, started_ms, reached[name])
                for name, command in commands
            ]
        finally:
            for command_id in waiting:
                del self._waiting[command_id]

    async def _give_up(
        self, gateway_name: str, command: Command, started_ms: int, was_sent: bool
    ) -> CommandOutcome:
        """Note that nobody told the outcome in time."""
        detail = (
            f"gateway {gateway_name} did not answer in time"
            if was_sent
            else f"gateway {gateway_name} is not connected"
        )
        now_ms = self._clock.now_ms()
        late = await self._store.finish(
            gateway_name,
            command.command_id,
            status=CommandStatus.UNREACHABLE,
            detail=detail,
            finished_at_ms=now_ms,
        )
        return late or CommandOutcome(CommandStatus.UNREACHABLE, detail, now_ms - started_ms)

    async def finished(
        self,
        link: GatewayLink,
        command_id: bytes,
        *,
        status: CommandStatus,
        detail: str,
        finished_at_ms: int,
    ) -> None:
        """Take a result from a gateway; the first one counts."""
        outcome = await self._store.finish(
            link.gateway_name,
            command_id,
            status=status,
            detail=detail,
            finished_at_ms=finished_at_ms,
        )
        waiting = self._waiting.get(command_id)
        if outcome is not None and waiting is not None and not waiting.done():
            waiting.set_result(outcome)
