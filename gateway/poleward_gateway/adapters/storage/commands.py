"""Which commands were begun and how they ended.

Not their execution: services/commands.py.
"""

import sqlite3
from collections.abc import Mapping

from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.domain.commands import CommandResult, CommandStatus

_RESULT = "command_id, status, detail, finished_at_ms"


class SqliteCommandStore:
    """Implements the port CommandStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, deadlines_ms: Mapping[bytes, int]) -> set[bytes]:
        """Note that commands, by id, are about to be sent; return those not noted before."""

        def insert(connection: sqlite3.Connection) -> set[bytes]:
            return {
                command_id
                for command_id, deadline_ms in deadlines_ms.items()
                if connection.execute(
                    "INSERT OR IGNORE INTO command (command_id, deadline_ms) VALUES (?, ?)",
                    (command_id, deadline_ms),
                ).rowcount
            }

        return await self._database.run(insert)

    async def finish(self, result: CommandResult) -> None:
        """Note how a command ended; the first outcome stays."""
        row = (result.status.value, result.detail, result.finished_at_ms, result.command_id)
        await self._database.run(
            lambda c: c.execute(
                "UPDATE command SET status = ?, detail = ?, finished_at_ms = ?"
                " WHERE command_id = ? AND status IS NULL",
                row,
            )
        )

    async def result(self, command_id: bytes) -> CommandResult | None:
        """Return how a command ended, if it did."""
        found = await self._results("command_id = ? AND status IS NOT NULL", (command_id,))
        return found[0] if found else None

    async def undelivered(self) -> list[CommandResult]:
        """Return outcomes that the fleet has not been told, oldest first."""
        return await self._results("status IS NOT NULL AND delivered = 0", ())

    async def unfinished(self) -> list[bytes]:
        """Return commands that were begun and have no outcome."""
        return await self._database.run(
            lambda c: [
                row[0] for row in c.execute("SELECT command_id FROM command WHERE status IS NULL")
            ]
        )

    async def delivered(self, command_id: bytes) -> None:
        """Note that the fleet was told."""
        await self._set_delivered(command_id, 1)

    async def undeliver(self, command_id: bytes) -> None:
        """Have the fleet told once more."""
        await self._set_delivered(command_id, 0)

    async def _set_delivered(self, command_id: bytes, delivered: int) -> None:
        await self._database.run(
            lambda c: c.execute(
                "UPDATE command SET delivered = ? WHERE command_id = ?", (delivered, command_id)
            )
        )

    async def forget_before(self, deadline_ms: int) -> None:
        """Drop delivered commands whose deadline is before a moment."""
        await self._database.run(
            lambda c: c.execute(
                "DELETE FROM command WHERE delivered = 1 AND deadline_ms < ?", (deadline_ms,)
            )
        )

    async def _results(self, where: str, values: tuple[bytes, ...]) -> list[CommandResult]:
        """Read outcomes."""

        def read(connection: sqlite3.Connection) -> list[CommandResult]:
            rows = connection.execute(
                f"SELECT {_RESULT} FROM command WHERE {where} ORDER BY finished_at_ms",  # noqa: S608
                values,
            )
            return [
                CommandResult(command_id, CommandStatus(status), detail, finished_at_ms)
                for command_id, status, detail, finished_at_ms in rows
            ]

        return await self._database.run(read)
