"""The audit record in PostgreSQL.

Not the chaining rule (domain/audit.py).
"""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, text

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.audit import (
    GENESIS,
    AuditCheck,
    AuditEntry,
    AuditFilter,
    AuditRecord,
    first_broken,
)

_WANTED = """
SELECT * FROM audit WHERE (CAST(:actor AS text) = '' OR actor = :actor)
AND (CAST(:action AS text) = '' OR action = :action OR starts_with(action, :action || '.'))
AND (CAST(:subject AS text) = '' OR strpos(subject, :subject) > 0)
AND (CAST(:from_ms AS bigint) IS NULL OR at_ms >= :from_ms)
AND (CAST(:to_ms AS bigint) IS NULL OR at_ms < :to_ms)
"""
_NEWEST = text(
    _WANTED + "AND (CAST(:before AS bigint) IS NULL OR number < :before) "
    "ORDER BY number DESC LIMIT :limit"
)
_OLDEST = text(_WANTED + "AND number > :after ORDER BY number LIMIT :limit")
_DIGEST = text("SELECT digest FROM audit WHERE number = :number")
_PAGE = 1000


class SqlAuditStore:
    """AuditStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entry: AuditEntry) -> None:
        """Record something that has no transaction of its own."""
        async with self._database.begin() as connection:
            await self._database.audit(connection, entry)

    async def records(
        self, wanted: AuditFilter, *, before: int | None, limit: int
    ) -> list[AuditRecord]:
        """Return records, newest first."""
        parameters = asdict(wanted) | {"before": before, "limit": limit}
        return [_record(row) for row in await self._database.rows(_NEWEST, parameters)]

    async def records_after(
        self, wanted: AuditFilter, *, after: int, limit: int
    ) -> list[AuditRecord]:
        """Return records, oldest first."""
        parameters = asdict(wanted) | {"after": after, "limit": limit}
        return [_record(row) for row in await self._database.rows(_OLDEST, parameters)]

    async def digest_of(self, number: int) -> bytes | None:
        """Return the digest of a record."""
        rows = await self._database.rows(_DIGEST, {"number": number})
        return bytes(rows[0].digest) if rows else None

    async def check(self) -> AuditCheck:
        """Walk the chain."""
        count, newest = 0, GENESIS
        broken: int | None = None
        while broken is None:
            records = await self.records_after(AuditFilter(), after=count, limit=_PAGE)
            if not records:
                break
            broken = first_broken(records, newest, first=count + 1)
            count, newest = records[-1].number, records[-1].digest
        return AuditCheck(count, newest, broken)


def _record(row: Row[Any]) -> AuditRecord:
    detail = tuple(sorted((str(k), str(v)) for k, v in row.detail.items()))
    return AuditRecord(
        number=row.number,
        at_ms=row.at_ms,
        entry=AuditEntry(row.actor, row.action, row.subject, detail),
        digest=bytes(row.digest),
    )
