"""The audit record in PostgreSQL.

Not the chaining rule (domain/audit.py).
"""

from typing import Any

from sqlalchemy import Row, text

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.audit import GENESIS, AuditEntry, AuditRecord, first_broken

_NEWEST = text(
    "SELECT * FROM audit WHERE CAST(:before AS bigint) IS NULL OR number < :before "
    "ORDER BY number DESC LIMIT :limit"
)
_NEXT = text("SELECT * FROM audit WHERE number > :after ORDER BY number LIMIT 1000")


class SqlAuditStore:
    """AuditStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entry: AuditEntry) -> None:
        """Record something that has no transaction of its own."""
        async with self._database.begin() as connection:
            await self._database.audit(connection, entry)

    async def records(self, *, before: int | None, limit: int) -> list[AuditRecord]:
        """Return records, newest first."""
        rows = await self._database.rows(_NEWEST, {"before": before, "limit": limit})
        return [_record(row) for row in rows]

    async def first_broken(self) -> int | None:
        """Walk the chain; return the first record that does not follow from the one before."""
        after, previous = 0, GENESIS
        while rows := await self._database.rows(_NEXT, {"after": after}):
            records = [_record(row) for row in rows]
            for expected, record in enumerate(records, after + 1):
                if record.number != expected:
                    return expected
            if (broken := first_broken(records, previous)) is not None:
                return broken
            after, previous = records[-1].number, records[-1].digest
        return None


def _record(row: Row[Any]) -> AuditRecord:
    detail = tuple(sorted((str(k), str(v)) for k, v in row.detail.items()))
    return AuditRecord(
        number=row.number,
        at_ms=row.at_ms,
        entry=AuditEntry(row.actor, row.action, row.subject, detail),
        digest=bytes(row.digest),
    )
