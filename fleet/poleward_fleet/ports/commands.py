"""What the services need to keep commands.

Not an implementation (adapters).
"""

from collections.abc import Sequence
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.commands import Command, CommandOutcome, CommandStatus


class CommandStore(Protocol):
    """Commands under way and done."""

    async def put(
        self, commands: Sequence[tuple[str, Command]], *, now_ms: int, audit: AuditEntry
    ) -> None:
        """Keep the commands of one order, each with its gateway's name, before they are sent."""

    async def pending(self, gateway_name: str, now_ms: int) -> list[Command]:
        """Return the commands of a gateway without a result whose deadline is ahead."""

    async def finish(
        self,
        gateway_name: str,
        command_id: bytes,
        *,
        status: CommandStatus,
        detail: str,
        finished_at_ms: int,
    ) -> CommandOutcome | None:
        """Keep the first result of a command; None when it is unknown or foreign."""
