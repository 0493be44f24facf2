"""The partitions of the history: one for each UTC day, made ahead and on demand.

Not what is in them: telemetry_store.py and history_store.py.
"""

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.history import DAY_MS, Retention, has_own_place

_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")
_DAYS_LOCK = 0x64617973
_OPEN = text(
    "SELECT CAST(substr(relname, 12) AS integer) AS day FROM pg_class "
    "WHERE relname ~ '^report_day_[0-9]+$' AND relkind = 'r' "
    "AND pg_table_is_visible(oid) ORDER BY day"
)
_STRAY_DAYS = text(f"SELECT DISTINCT measured_at_ms / {DAY_MS} AS day FROM report_other")  # noqa: S608


class SqlReportDays:
    """Which days have a partition.

    What is measured on a day without one goes to the partition `report_other`: reports of nodes
    whose clock is far off. When such a day gets its own partition, they move there.

    Args:
        database: Where.
        retention: Days older than reports are kept get no partition.
    """

    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._retention = retention
        self._known: set[int] = set()

    async def open(self, days: Collection[int]) -> None:
        """Make partitions for days that are worth one and have none."""
        now_ms = self._database.clock.now_ms()
        missing = [
            day
            for day in days
            if day not in self._known and has_own_place(day, now_ms, self._retention)
        ]
        if not missing:
            return
        async with self._database.begin() as connection:
            await connection.execute(_LOCK, {"lock": _DAYS_LOCK})
            present = set((await connection.execute(_OPEN)).scalars())
            for day in sorted(set(missing) - present):
                await _make(connection, day)
        self._known |= present | set(missing)

    async def open_days(self) -> list[int]:
        """List the days that have a partition, the oldest first."""
        return [row.day for row in await self._database.rows(_OPEN)]

    async def open_strays(self) -> None:
        """Give days a partition whose reports came while they had none."""
        await self.open([row.day for row in await self._database.rows(_STRAY_DAYS)])

    async def close(self, day: int) -> bool:
        """Drop the partition of a day if it is empty; say whether it was."""
        async with self._database.begin() as connection:
            await connection.execute(_LOCK, {"lock": _DAYS_LOCK})
            # Waits for whoever writes into it; reports that come later find no partition.
            await connection.execute(text(f"LOCK TABLE report, {partition(day)}"))
            held = await connection.execute(text(f"SELECT 1 FROM {partition(day)} LIMIT 1"))  # noqa: S608
            if held.first() is not None:
                return False
            await connection.execute(text(f"DROP TABLE {partition(day)}"))
            self._known.discard(day)
        return True

    async def drop(self, day: int) -> None:
        """Drop the partition of a day with all that is in it."""
        self._known.discard(day)
        async with self._database.begin() as connection:
            await connection.execute(text(f"DROP TABLE IF EXISTS {partition(day)}"))


def partition(day: int) -> str:
    """Name the partition of a day."""
    return f"report_day_{int(day)}"


async def _make(connection: AsyncConnection, day: int) -> None:
    """Make a partition; reports of that day that have been elsewhere move into it."""
    first_ms, end_ms = day * DAY_MS, (day + 1) * DAY_MS
    await connection.execute(
        text(
            "CREATE TEMP TABLE stray ON COMMIT DROP AS WITH moved AS (DELETE FROM report_other "  # noqa: S608
            f"WHERE measured_at_ms >= {first_ms} AND measured_at_ms < {end_ms} RETURNING *) "
            "SELECT * FROM moved"
        )
    )
    await connection.execute(
        text(
            f"CREATE TABLE {partition(day)} PARTITION OF report "
            f"FOR VALUES FROM ({first_ms}) TO ({end_ms})"
        )
    )
    await connection.execute(text("INSERT INTO report SELECT * FROM stray"))
    await connection.execute(text("DROP TABLE stray"))
