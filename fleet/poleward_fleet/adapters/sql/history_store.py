"""History in PostgreSQL: open days as rows, closed ones packed, with roll-ups; reading through all.

Not how reports come in (telemetry_store.py) nor when days are closed (services/history_upkeep.py).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.adapters.sql.report_days import SqlReportDays, partition
from poleward_fleet.adapters.sql.report_packing import (
    pack_day,
    pack_rollup,
    unpack_day,
    unpack_rollup,
)
from poleward_fleet.adapters.sql.series_names import series_name
from poleward_fleet.domain.history import (
    DAY_MS,
    ROLLUP_STEPS_S,
    ReportDay,
    day_of,
    rolled_up,
    thinned,
)
from poleward_fleet.domain.telemetry import Series, SeriesKey

_NODES_AT_ONCE = 16
_DAYS_AT_ONCE = 8
_PLACED = (
    "WITH place AS MATERIALIZED (SELECT id, array_position(series, :series) AS at FROM layout "
    "WHERE :series = ANY (series)) "
)
# Rows and packed days must be read at the same moment: packing moves reports from one to the other.
_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
_ROWS = text(
    _PLACED + 'SELECT r.measured_at_ms, CAST(r."values"[place.at] AS float8) AS value '
    "FROM report r JOIN place ON place.id = r.layout_id WHERE r.node_number = :node_number "
    "AND r.measured_at_ms >= :from_ms AND r.measured_at_ms < :to_ms "
    "AND r.\"values\"[place.at] <> 'NaN' ORDER BY r.measured_at_ms LIMIT :limit"
)
_MEANS = text(
    _PLACED + "SELECT CAST(avg(r.measured_at_ms) AS bigint) AS measured_at_ms, "
    'avg(CAST(r."values"[place.at] AS float8)) AS value, count(*) AS readings '
    "FROM report r JOIN place ON place.id = r.layout_id WHERE r.node_number = :node_number "
    "AND r.measured_at_ms >= :from_ms AND r.measured_at_ms < :to_ms "
    "AND r.\"values\"[place.at] <> 'NaN' GROUP BY (r.measured_at_ms - :from_ms) / :bucket_ms"
)
_PACKED = text(
    _PLACED + "SELECT d.day, d.content, place.at FROM packed_day d "  # noqa: S608
    "JOIN place ON place.id = d.layout_id WHERE d.node_number = :node_number "
    "AND d.day BETWEEN :first_day AND :last_day ORDER BY d.day LIMIT :limit OFFSET :offset"
)
_ROLLUPS = text(
    _PLACED + "SELECT u.content, place.at, cardinality(y.series) AS width FROM rollup u "  # noqa: S608
    "JOIN place ON place.id = u.layout_id JOIN layout y ON y.id = u.layout_id "
    "WHERE u.node_number = :node_number AND u.step_s = :step_s "
    "AND u.day BETWEEN :first_day AND :last_day"
)
_PUT_DAY = text(
    "INSERT INTO packed_day (day, node_number, layout_id, reports, content) "
    "SELECT :day, n, y, c, p FROM unnest(CAST(:node_number AS integer[]), "
    "CAST(:layout_id AS integer[]), CAST(:reports AS integer[]), CAST(:content AS bytea[])) "
    "AS r (n, y, c, p) ON CONFLICT ON CONSTRAINT packed_day_pkey DO UPDATE "
    "SET reports = excluded.reports, content = excluded.content"
)
_PUT_ROLLUP = text(
    "INSERT INTO rollup (day, step_s, node_number, layout_id, content) "
    "SELECT :day, :step_s, n, y, p FROM unnest(CAST(:node_number AS integer[]), "
    "CAST(:layout_id AS integer[]), CAST(:content AS bytea[])) AS r (n, y, p) "
    "ON CONFLICT ON CONSTRAINT rollup_pkey DO UPDATE SET content = excluded.content"
)
_GET_DAYS = text(
    "SELECT node_number, layout_id, content FROM packed_day "
    "WHERE day = :day AND node_number = ANY (CAST(:numbers AS integer[]))"
)
_FORGET_DAYS = text("DELETE FROM packed_day WHERE day < :day")
_FORGET_ROLLUPS = text("DELETE FROM rollup WHERE step_s = :step_s AND day < :day")
_FORGET_STRAYS = text("DELETE FROM report_other WHERE measured_at_ms < :before_ms")
_FORGET_EVENTS = text("DELETE FROM event WHERE occurred_at_ms < :before_ms")
Place = tuple[int, int]
"""Node and layout."""


class SqlHistoryStore:
    """HistoryStore on PostgreSQL.

    Args:
        database: Where.
        days: The partitions.
    """

    def __init__(self, database: Database, days: SqlReportDays) -> None:
        self._database = database
        self._days = days

    async def series(
        self, node_number: int, key: SeriesKey, *, from_ms: int, to_ms: int, limit: int
    ) -> Series:
        """Return at most `limit` readings in [from, to), oldest first."""
        wanted = _wanted(node_number, key, from_ms, to_ms)
        async with self._database.begin() as connection:
            await connection.execute(_SNAPSHOT)
            rows = await connection.execute(_ROWS, wanted | {"limit": limit})
            found = [(row.measured_at_ms, row.value) for row in rows]
            found += await self._packed(connection, wanted, limit)
        found.sort()
        times, values = zip(*found[:limit], strict=True) if found else ((), ())
        return Series(key, tuple(times), tuple(values))

    async def _packed(
        self, connection: AsyncConnection, wanted: dict[str, Any], limit: int
    ) -> list[tuple[int, float]]:
        """Return readings of packed days; further days are left alone once there are enough."""
        found: list[tuple[int, float]] = []
        offset = 0
        while len(found) < limit:
            page = {"limit": _DAYS_AT_ONCE, "offset": offset}
            rows = (await connection.execute(_PACKED, wanted | page)).all()
            for row in rows:
                day = unpack_day(row.content)
                pairs = zip(day.measured_at_ms, day.values[row.at - 1], strict=True)
                found += [
                    (at_ms, value)
                    for at_ms, value in pairs
                    if wanted["from_ms"] <= at_ms < wanted["to_ms"] and value == value
                ]
            if len(rows) < _DAYS_AT_ONCE:
                break
            offset += _DAYS_AT_ONCE
        return found

    async def thinned_series(
        self, node_number: int, key: SeriesKey, *, from_ms: int, to_ms: int, buckets: int
    ) -> Series:
        """Return the mean of each of `buckets` equal stretches of [from, to) that has readings."""
        bucket_ms = max(1, -(-(to_ms - from_ms) // buckets))
        wanted = _wanted(node_number, key, from_ms, to_ms)
        # The coarsest roll-up that is no coarser than what is asked for.
        step_s = max((s for s in ROLLUP_STEPS_S if s * 1000 <= bucket_ms), default=None)
        async with self._database.begin() as connection:
            await connection.execute(_SNAPSHOT)
            rows = await connection.execute(_MEANS, wanted | {"bucket_ms": bucket_ms})
            pieces = [(row.measured_at_ms, row.value, row.readings) for row in rows]
            if step_s is None:
                packed = await self._packed(connection, wanted, to_ms - from_ms)
                pieces += [(at_ms, value, 1) for at_ms, value in packed]
            else:
                rollups = await connection.execute(_ROLLUPS, wanted | {"step_s": step_s})
                for row in rollups:
                    pieces += _means(row, step_s, from_ms, to_ms)
        times, values = thinned(pieces, from_ms=from_ms, bucket_ms=bucket_ms)
        return Series(key, times, values)

    async def open_days(self) -> list[int]:
        """List the days that are not packed, the oldest first."""
        await self._days.open_strays()
        return await self._days.open_days()

    async def make_days(self, days: Sequence[int]) -> None:
        """Make room for days that begin soon."""
        await self._days.open(days)

    async def pack_some(self, day: int) -> int:
        """Pack what some nodes reported on a day; return how many, 0 when the day is closed."""
        if day not in await self._days.open_days():
            return 0
        async with self._database.begin() as connection:
            # Taking the rows locks them; who else packs waits and then finds none.
            rows = (await connection.execute(_take(day))).all()
            if rows:
                await _pack(connection, day, rows)
        if not rows:
            await self._days.close(day)
        return len({row.node_number for row in rows})

    async def forget_reports(self, before_day: int) -> None:
        """Forget reports of earlier days."""
        for day in await self._days.open_days():
            if day < before_day:
                await self._days.drop(day)
        await self._database.run(_FORGET_DAYS, {"day": before_day})
        await self._database.run(_FORGET_STRAYS, {"before_ms": before_day * DAY_MS})

    async def forget_rollups(self, step_s: int, before_day: int) -> None:
        """Forget roll-ups of earlier days."""
        await self._database.run(_FORGET_ROLLUPS, {"step_s": step_s, "day": before_day})

    async def forget_events(self, before_day: int) -> None:
        """Forget events of earlier days."""
        await self._database.run(_FORGET_EVENTS, {"before_ms": before_day * DAY_MS})


def _wanted(node_number: int, key: SeriesKey, from_ms: int, to_ms: int) -> dict[str, Any]:
    return {
        "series": series_name(key),
        "node_number": node_number,
        "from_ms": from_ms,
        "to_ms": to_ms,
        "first_day": max(0, day_of(from_ms)),
        "last_day": min(day_of(to_ms), 2**31 - 1),
    }


def _means(row: Row[Any], step_s: int, from_ms: int, to_ms: int) -> list[tuple[int, float, int]]:
    """Return (time, mean, count) of a roll-up; a stretch is placed at its middle."""
    rollup = unpack_rollup(row.content, row.width)
    counts, means = rollup.count[row.at - 1], rollup.mean[row.at - 1]
    half_ms = step_s * 500
    return [
        (start + half_ms, mean, count)
        for start, count, mean in zip(rollup.from_ms, counts, means, strict=True)
        if count and from_ms <= start + half_ms < to_ms
    ]


def _take(day: int) -> Any:
    """Take the rows of the next nodes out of a day."""
    return text(
        f"WITH chosen AS (SELECT DISTINCT node_number FROM {partition(day)} "  # noqa: S608
        f"ORDER BY node_number LIMIT {_NODES_AT_ONCE}) DELETE FROM {partition(day)} r "
        "USING chosen WHERE r.node_number = chosen.node_number RETURNING r.node_number, "
        'r.layout_id, r.boot, r.sequence, r.measured_at_ms, r."values" AS content'
    )


async def _pack(connection: AsyncConnection, day: int, rows: Sequence[Row[Any]]) -> None:
    """Pack rows together with what of their nodes was packed before, and renew the roll-ups."""
    by_place: dict[Place, list[Row[Any]]] = {}
    for row in sorted(rows, key=lambda row: row.measured_at_ms):
        by_place.setdefault((row.node_number, row.layout_id), []).append(row)
    numbers = sorted({number for number, _ in by_place})
    earlier = await connection.execute(_GET_DAYS, {"day": day, "numbers": numbers})
    packed = {(row.node_number, row.layout_id): row.content for row in earlier}
    days: dict[Place, ReportDay] = {}
    for place, some in by_place.items():
        late = ReportDay(
            [row.boot for row in some],
            [row.sequence for row in some],
            [row.measured_at_ms for row in some],
            [list(column) for column in zip(*(row.content for row in some), strict=True)],
        )
        days[place] = unpack_day(packed[place]).joined(late) if place in packed else late
    places: dict[str, Any] = {
        "day": day,
        "node_number": [number for number, _ in days],
        "layout_id": [layout for _, layout in days],
    }
    await connection.execute(
        _PUT_DAY,
        places
        | {
            "reports": [len(reports.sequence) for reports in days.values()],
            "content": [pack_day(reports) for reports in days.values()],
        },
    )
    for step_s in ROLLUP_STEPS_S:
        content = [pack_rollup(rolled_up(reports, step_s)) for reports in days.values()]
        await connection.execute(_PUT_ROLLUP, places | {"step_s": step_s, "content": content})
