"""Carries commands to nodes: each at most once, none after its deadline, every outcome told.

Not the choice of commands, which is a person's, nor their encoding.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from poleward_gateway.domain.commands import (
    AnswerCall,
    Command,
    CommandResult,
    CommandStatus,
    SetLamp,
)
from poleward_gateway.domain.errors import NodeRefusedError, NodeUnreachableError
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.ports.clock import Clock
from poleward_gateway.ports.nodes import NodeLink
from poleward_gateway.ports.stores import CommandStore
from poleward_gateway.services.jobs import JobPool
from poleward_gateway.services.registry import Registry

_log = structlog.get_logger(__name__)

DEFAULT_DEADLINE_MS = 30_000
"""For a command without a deadline."""
KEPT_MS = 24 * 3600 * 1000
"""Outcomes are remembered this long after the deadline, should a command be sent again."""
DEADLINE_PASSED_CODE = "4.03"
"""A node answers this to a command that comes after its deadline."""


class Commands:
    """Commands under way and their outcomes.

    A command is noted on disk before it is sent, so that after a crash it is not sent a second
    time: its outcome is then "unreachable", because nobody knows. A command for a node that is
    not registered waits for it until the deadline.

    Args:
        on_result: Told that an outcome is there to be sent.
    """

    def __init__(
        self,
        store: CommandStore,
        registry: Registry,
        link: NodeLink,
        jobs: JobPool,
        clock: Clock,
        on_result: Callable[[], None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._link = link
        self._jobs = jobs
        self._clock = clock
        self._on_result = on_result
        self._held: dict[NodeNumber, list[Command]] = {}
        self._awaited: dict[bytes, asyncio.Future[CommandResult]] = {}

    async def recover(self) -> None:
        """Settle commands that were under way when the gateway stopped."""
        for command_id in await self._store.unfinished():
            await self._finish(
                command_id,
                CommandStatus.UNREACHABLE,
                "the gateway restarted while the command was under way; "
                "look at the lamp and send it again if needed",
            )
        await self._store.forget_before(self._clock.now_ms() - KEPT_MS)

    async def accept(self, commands: Sequence[Command]) -> None:
        """Take commands from the fleet; one that is known already is not executed again.

        All of an order are noted with one commit, then sent to as many nodes at a time as the
        pool has workers: that is the pace of a group.
        """
        default_ms = self._clock.now_ms() + DEFAULT_DEADLINE_MS
        commands = [
            command if command.deadline_ms else replace(command, deadline_ms=default_ms)
            for command in commands
        ]
        fresh = await self._store.begin({c.command_id: c.deadline_ms for c in commands})
        for command in commands:
            if command.command_id not in fresh:
                await self._repeat(command)
            elif self._registry.desired(command.node) is None:
                await self._finish(
                    command.command_id,
                    CommandStatus.REFUSED,
                    f"node {command.node} does not belong to this gateway",
                )
            elif self._registry.is_registered(command.node):
                self._start(command)
            else:
                self._held.setdefault(command.node, []).append(command)

    async def carry_out(self, commands: Sequence[Command]) -> list[CommandResult]:
        """Take commands from this gateway itself and wait for their outcomes, in their order."""
        loop = asyncio.get_running_loop()
        awaited = {command.command_id: loop.create_future() for command in commands}
        self._awaited |= awaited
        try:
            await self.accept(commands)
            return list(await asyncio.gather(*awaited.values()))
        finally:
            for command_id in awaited:
                self._awaited.pop(command_id, None)

    async def _repeat(self, command: Command) -> None:
        """Have an outcome told again that the fleet seems not to know."""
        if await self._store.result(command.command_id) is not None:
            await self._store.undeliver(command.command_id)
            self._on_result()

    def node_settled(self, node: NodeNumber) -> None:
        """Send what waited for a node."""
        for command in self._held.pop(node, []):
            self._start(command)

    def tick(self) -> None:
        """End commands whose node did not come in time."""
        now_ms = self._clock.now_ms()
        for node, commands in list(self._held.items()):
            late = [command for command in commands if command.deadline_ms <= now_ms]
            if not late:
                continue
            self._held[node] = [command for command in commands if command not in late]
            for command in late:
                self._start(command)

    def _start(self, command: Command) -> None:
        """Queue the execution of a command."""
        self._jobs.add(("command", command.command_id), lambda: self._execute(command))

    async def _execute(self, command: Command) -> None:
        """Send a command to its node and note the outcome."""
        left_ms = command.deadline_ms - self._clock.now_ms()
        if left_ms <= 0:
            registered = self._registry.is_registered(command.node)
            why = "the gateway was busy" if registered else f"node {command.node} did not register"
            await self._finish(
                command.command_id, CommandStatus.EXPIRED, f"the deadline passed: {why} in time"
            )
            return
        try:
            await self._send(command, left_ms / 1000)
        except NodeRefusedError as error:
            late = error.code == DEADLINE_PASSED_CODE and "deadline" in str(error)
            status = CommandStatus.EXPIRED if late else CommandStatus.REFUSED
            await self._finish(command.command_id, status, str(error))
        except NodeUnreachableError as error:
            await self._finish(command.command_id, CommandStatus.UNREACHABLE, str(error))
        else:
            await self._finish(command.command_id, CommandStatus.DONE, "")

    async def _send(self, command: Command, left_s: float) -> None:
        """Send the one request that a command is."""
        # Rounded up: the node counts in seconds and drops what is later than the deadline.
        deadline_s = -(-command.deadline_ms // 1000)
        action = command.action
        if isinstance(action, SetLamp):
            begins_s = action.starts_at_s or self._clock.now_ms() // 1000
            await self._link.set_lamp(
                command.node,
                instance=action.instance,
                level_percent=action.level_percent,
                override_until_s=begins_s + action.duration_s if action.duration_s else 0,
                starts_at_s=action.starts_at_s,
                fade_ms=action.fade_ms,
                deadline_s=deadline_s,
                give_up_after_s=left_s,
            )
        elif isinstance(action, AnswerCall):
            await self._link.answer_call(command.node, reset=action.reset, give_up_after_s=left_s)
        else:
            await self._link.reboot(command.node, deadline_s=deadline_s, give_up_after_s=left_s)

    async def _finish(self, command_id: bytes, status: CommandStatus, detail: str) -> None:
        """Note an outcome and have it told."""
        result = CommandResult(command_id, status, detail, self._clock.now_ms())
        await self._store.finish(result)
        _log.info("command_finished", id=command_id.hex(), status=status.value, detail=detail)
        awaited = self._awaited.get(command_id)
        if awaited is not None and not awaited.done():
            awaited.set_result(result)
        self._on_result()
