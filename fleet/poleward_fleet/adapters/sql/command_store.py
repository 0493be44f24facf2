"""Commands under way and done in PostgreSQL.

Not their sending (services/commands.py).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, text

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.commands import (
    Action,
    AnswerCall,
    Command,
    CommandOutcome,
    CommandStatus,
    Reboot,
    SetLamp,
)

_PUT = text(
    "INSERT INTO command (id, node_number, gateway_name, action, created_at_ms, created_by, "
    "deadline_ms, status) VALUES (:id, :node_number, :gateway_name, CAST(:action AS jsonb), "
    ":now_ms, :created_by, :deadline_ms, 'pending')"
)
_PENDING = text(
    "SELECT id, node_number, deadline_ms, action FROM command WHERE gateway_name = :gateway_name "
    "AND status = 'pending' AND deadline_ms > :now_ms ORDER BY created_at_ms"
)
# The first result stays: a gateway sends a result until the stream carried it once.
_FINISH = text(
    "UPDATE command SET status = :status, detail = :detail, finished_at_ms = :finished_at_ms "
    "WHERE id = :id AND gateway_name = :gateway_name AND status = 'pending' RETURNING created_at_ms"
)

_ACTIONS: dict[str, type[Action]] = {
    "set_lamp": SetLamp,
    "reboot": Reboot,
    "answer_call": AnswerCall,
}
_NAMES = {kind: name for name, kind in _ACTIONS.items()}


class SqlCommandStore:
    """CommandStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(
        self, commands: Sequence[tuple[str, Command]], *, now_ms: int, audit: AuditEntry
    ) -> None:
        """Keep the commands of one order before they are sent."""
        if not commands:
            return
        rows = [
            {
                "id": command.command_id,
                "node_number": command.node_number,
                "gateway_name": gateway_name,
                "action": json.dumps(_action_to_json(command.action)),
                "now_ms": now_ms,
                "created_by": audit.actor,
                "deadline_ms": command.deadline_ms,
            }
            for gateway_name, command in commands
        ]
        async with self._database.begin() as connection:
            await connection.execute(_PUT, rows)
            await self._database.audit(connection, audit)

    async def pending(self, gateway_name: str, now_ms: int) -> list[Command]:
        """Return the commands of a gateway without a result whose deadline is ahead."""
        rows = await self._database.rows(_PENDING, {"gateway_name": gateway_name, "now_ms": now_ms})
        return [_command(row) for row in rows]

    async def finish(
        self,
        gateway_name: str,
        command_id: bytes,
        *,
        status: CommandStatus,
        detail: str,
        finished_at_ms: int,
    ) -> CommandOutcome | None:
        """Keep the first result of a command; None when it is unknown, foreign or has one."""
        rows = await self._database.rows(
            _FINISH,
            {
                "id": command_id,
                "gateway_name": gateway_name,
                "status": status.value,
                "detail": detail,
                "finished_at_ms": finished_at_ms,
            },
        )
        if not rows:
            return None
        return CommandOutcome(status, detail, max(0, finished_at_ms - rows[0].created_at_ms))


def _action_to_json(action: Action) -> dict[str, Any]:
    return {_NAMES[type(action)]: asdict(action)}


def _command(row: Row[Any]) -> Command:
    ((name, fields),) = row.action.items()
    return Command(
        command_id=bytes(row.id),
        node_number=row.node_number,
        deadline_ms=row.deadline_ms,
        action=_ACTIONS[name](**fields),
    )
