"""Commands to poles: kept, handed to the gateway, waited for.

Not their execution: the gateway does it at most once, however often it is told.
"""

import asyncio
import uuid

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.commands import Command, CommandOutcome, CommandStatus, SetLamp
from poleward_fleet.domain.errors import ConflictError, InvalidError
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.commands import CommandStore
from poleward_fleet.services.gateways import GatewayLink, GatewayLinks
from poleward_fleet.services.inventory import InventoryService

MAX_TIMEOUT_S = 120.0
# The gateway says itself that a command expired; this much longer we listen for it.
_GRACE_S = 1.0


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
            raise InvalidError(f"a level must be 0 to 100 percent, not {level_percent}")
        if not 0 <= duration_s < 1 << 31 or not 0 <= instance < 16:
            raise InvalidError("the duration or the lamp's number makes no sense")
        if view.node is None or not view.node.gateway_name:
            raise ConflictError(f"pole {view.pole.code} has no node; commission one first")
        timeout_s = min(timeout_s, MAX_TIMEOUT_S) if timeout_s > 0 else 10
        started_ms = self._clock.now_ms()
        command = Command(
            command_id=uuid.uuid4().bytes,
            node_number=view.node.number,
            deadline_ms=started_ms + int(timeout_s * 1000),
            action=SetLamp(level_percent, instance, duration_s),
        )
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
        outcome: asyncio.Future[CommandOutcome] = asyncio.get_running_loop().create_future()
        self._waiting[command.command_id] = outcome
        try:
            await self._store.put(
                command, gateway_name=view.node.gateway_name, now_ms=started_ms, audit=audit
            )
            sent = self._links.send(view.node.gateway_name, command)
            return await asyncio.wait_for(outcome, timeout_s + _GRACE_S)
        except TimeoutError:
            detail = (
                f"gateway {view.node.gateway_name} did not answer in time"
                if sent
                else f"gateway {view.node.gateway_name} is not connected"
            )
            late = await self._store.finish(
                view.node.gateway_name,
                command.command_id,
                status=CommandStatus.UNREACHABLE,
                detail=detail,
                finished_at_ms=self._clock.now_ms(),
            )
            return late or CommandOutcome(
                CommandStatus.UNREACHABLE, detail, self._clock.now_ms() - started_ms
            )
        finally:
            del self._waiting[command.command_id]

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
