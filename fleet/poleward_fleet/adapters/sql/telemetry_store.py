"""Reports, latest values and events on their way into PostgreSQL.

Not how batches are grouped (services/ingest.py) and not history (history_store.py). Every
statement handles a whole group; nothing runs once per report.
"""

import json
import math
from array import array
from collections.abc import Collection, Sequence
from itertools import accumulate, chain
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.alarm_store import keep_judgement
from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.adapters.sql.node_store import refuse_foreign
from poleward_fleet.adapters.sql.report_days import SqlReportDays
from poleward_fleet.adapters.sql.series_names import series_key, series_name
from poleward_fleet.domain.errors import BatchGapError
from poleward_fleet.domain.history import day_of
from poleward_fleet.domain.inventory import Stay
from poleward_fleet.domain.telemetry import (
    LatestValue,
    Layout,
    NodeEvent,
    SeriesKey,
    Severity,
    StoredCount,
)
from poleward_fleet.ports.alarms import NO_JUDGEMENT, Judgement
from poleward_fleet.ports.areas import AllowedAreas
from poleward_fleet.ports.telemetry import SpooledReports

# RETURNING old.… tells what was stored before this transaction. A test "is it the next number?"
# on the new value would acknowledge a group that straddles the mark without storing its new part.
_ADVANCE = text(
    "INSERT INTO spool_position AS s (gateway_name, spool_id, kind, batch_number) "
    "VALUES (:gateway_name, :spool_id, :kind, :batch_number) "
    "ON CONFLICT ON CONSTRAINT spool_position_pkey DO UPDATE "
    "SET batch_number = greatest(s.batch_number, excluded.batch_number) "
    "RETURNING coalesce(old.batch_number, 0) AS stored"
)
# Which reports are stored is in the marks, a row for each boot of a node, not in an index with a
# key for each report. Advancing a mark locks it, so that of two gateways that bring the same report
# the second sees what the first stored.
_STORE = text(
    "WITH incoming AS MATERIALIZED (SELECT * "
    "FROM unnest(CAST(:node_number AS integer[]), CAST(:boot AS integer[]), "
    "CAST(:sequence AS integer[]), CAST(:layout_id AS integer[]), "
    "CAST(:measured_at_ms AS bigint[]), CAST(:first AS integer[]), CAST(:last AS integer[])) "
    "AS r (n, b, s, l, t, first, last)), advanced AS ("
    "INSERT INTO report_mark AS m (node_number, boot, stored, readings) "
    "SELECT n, b, range_agg(int8range(s, s, '[]')), sum(last - first + 1) FROM incoming "
    "GROUP BY n, b ORDER BY n, b ON CONFLICT ON CONSTRAINT report_mark_pkey DO UPDATE "
    "SET stored = m.stored + excluded.stored, readings = m.readings + excluded.readings "
    "RETURNING node_number, boot, coalesce(old.stored, '{}') AS before), fresh AS ("
    'INSERT INTO report (node_number, boot, sequence, layout_id, measured_at_ms, "values") '
    r"SELECT n, b, s, l, t, (CAST(:value AS real[]))[first\:last] "
    "FROM incoming JOIN advanced ON node_number = n AND boot = b "
    "WHERE NOT before @> CAST(s AS bigint)) "
    "SELECT n, b, sum(last - first + 1) AS readings FROM incoming "
    "JOIN advanced ON node_number = n AND boot = b WHERE before @> CAST(s AS bigint) GROUP BY n, b"
)
_DISCOUNT = text(
    "UPDATE report_mark SET readings = report_mark.readings - r.readings "
    "FROM unnest(CAST(:n AS integer[]), CAST(:b AS integer[]), CAST(:readings AS bigint[])) "
    "AS r (n, b, readings) WHERE node_number = n AND boot = b"
)
# A row from a node whose clock was once far ahead does not stay for ever.
_LATEST = text(
    'INSERT INTO latest AS l (node_number, layout_id, measured_at_ms, "values") '
    r"SELECT n, y, t, (CAST(:value AS real[]))[first\:last] "
    "FROM unnest(CAST(:node_number AS integer[]), CAST(:layout_id AS integer[]), "
    "CAST(:measured_at_ms AS bigint[]), CAST(:first AS integer[]), CAST(:last AS integer[])) "
    "AS r (n, y, t, first, last) ORDER BY n, y "
    "ON CONFLICT ON CONSTRAINT latest_pkey DO UPDATE "
    'SET measured_at_ms = excluded.measured_at_ms, "values" = excluded."values" '
    "WHERE excluded.measured_at_ms >= l.measured_at_ms "
    "OR l.measured_at_ms > CAST(:now_ms AS bigint) + 86400000"
)
_ADD_LAYOUT = text(
    "INSERT INTO layout (series) VALUES (CAST(:series AS text[])) "
    "ON CONFLICT ON CONSTRAINT layout_series_key DO NOTHING"
)
_LAYOUTS = text("SELECT id, series FROM layout")
_STORE_EVENTS = text(
    "INSERT INTO event (node_number, boot, sequence, occurred_at_ms, kind, severity, detail) "
    "SELECT n, b, s, t, k, v, CAST(d AS jsonb) "
    "FROM unnest(CAST(:node_number AS integer[]), CAST(:boot AS integer[]), "
    "CAST(:sequence AS bigint[]), CAST(:occurred_at_ms AS bigint[]), CAST(:kind AS text[]), "
    "CAST(:severity AS text[]), CAST(:detail AS text[])) AS r (n, b, s, t, k, v, d) "
    "ON CONFLICT ON CONSTRAINT event_key DO NOTHING"
)
_READ_LATEST = text(
    'SELECT y.series, l.measured_at_ms, l."values" AS content FROM latest l JOIN layout y '
    "ON y.id = l.layout_id WHERE l.node_number = :node_number ORDER BY l.measured_at_ms"
)
_COUNTS = text(
    "SELECT node_number, boot, readings, lower(stored) AS first_sequence, "
    "upper(stored) - 1 AS last_sequence, "
    "(SELECT CAST(sum(upper(r) - lower(r)) AS bigint) FROM unnest(stored) AS r) AS reports "
    "FROM report_mark "
    "WHERE CAST(:numbers AS integer[]) IS NULL "
    "OR node_number = ANY (CAST(:numbers AS integer[])) ORDER BY node_number, boot"
)
_EVENTS = text(
    "SELECT e.* FROM event e LEFT JOIN node n ON n.number = e.node_number "
    "LEFT JOIN pole p ON p.code = n.pole_code "
    "WHERE (CAST(:allowed AS text[]) IS NULL OR p.area_code = ANY (CAST(:allowed AS text[]))) "
    "ORDER BY e.occurred_at_ms DESC, e.id DESC LIMIT :limit"
)
_EVENTS_DURING = text(
    "SELECT e.* FROM unnest(CAST(:numbers AS integer[]), CAST(:from_ms AS bigint[]), "
    "CAST(:until_ms AS bigint[])) AS s (number, from_ms, until_ms) JOIN event e "
    "ON e.node_number = s.number AND e.occurred_at_ms >= s.from_ms "
    "AND e.occurred_at_ms < s.until_ms ORDER BY e.occurred_at_ms DESC, e.id DESC LIMIT :limit"
)


class SqlTelemetryStore:
    """TelemetryStore on PostgreSQL: a row per report, and a row per node with the newest."""

    def __init__(self, database: Database, days: SqlReportDays) -> None:
        self._database = database
        self._days = days
        self._layout_ids: dict[Layout, int] = {}

    async def store_reports(
        self, batches: Sequence[SpooledReports], judgement: Judgement = NO_JUDGEMENT
    ) -> None:
        """Store batches of one spool; what is stored already is skipped."""
        await self._learn_layouts({y for batch in batches for y in batch.reports.layouts})
        await self._days.open({day_of(t) for b in batches for t in b.reports.measured_at_ms})
        async with self._database.begin() as connection:
            stored = await self._advance(
                connection,
                batches[0].gateway_name,
                batches[0].spool_id,
                "report",
                [batch.batch_number for batch in batches],
            )
            columns, newest = self._columns([b for b in batches if b.batch_number > stored])
            if not columns["node_number"]:
                return
            await refuse_foreign(connection, batches[0].gateway_name, columns["node_number"])
            again = (await connection.execute(_STORE, columns)).all()
            if again:
                names = ("n", "b", "readings")
                await connection.execute(
                    _DISCOUNT, {name: [getattr(row, name) for row in again] for name in names}
                )
            await connection.execute(_LATEST, newest)
            await keep_judgement(connection, judgement, self._database.clock.now_ms())

    async def _advance(
        self,
        connection: AsyncConnection,
        gateway_name: str,
        spool_id: str,
        kind: str,
        numbers: Sequence[int],
    ) -> int:
        """Move the mark to the last number; return where it stood.

        Raises:
            BatchGapError: A number is missing; the caller's transaction rolls back.
        """
        stored = int(
            (
                await connection.execute(
                    _ADVANCE,
                    {
                        "gateway_name": gateway_name,
                        "spool_id": spool_id,
                        "kind": kind,
                        "batch_number": numbers[-1],
                    },
                )
            ).scalar_one()
        )
        expected = stored + 1
        for number in numbers:
            if number > expected:
                raise BatchGapError(stored=expected - 1, received=number)
            expected = max(expected, number + 1)
        return stored

    def _columns(
        self, batches: Sequence[SpooledReports]
    ) -> tuple[dict[str, list[Any]], dict[str, Any]]:
        """Join the batches into the parameters of the two statements.

        Values of all reports stand in one array; `first` and `last` (from 1) cut out a report's.
        """
        names = ("node_number", "boot", "sequence", "layout_id", "measured_at_ms", "first", "last")
        columns: dict[str, list[Any]] = {name: [] for name in names}
        value: list[float] = []
        for batch in batches:
            reports = batch.reports
            widths = [len(layout) for layout in reports.layouts]
            ids = [self._layout_ids[layout] for layout in reports.layouts]
            position = len(value)
            for layout in reports.layout:
                columns["layout_id"].append(ids[layout])
                columns["first"].append(position + 1)
                position += widths[layout]
                columns["last"].append(position)
            columns["node_number"].extend(reports.node_number)
            columns["boot"].extend(reports.boot)
            columns["sequence"].extend(reports.sequence)
            columns["measured_at_ms"].extend(reports.measured_at_ms)
            value.extend(reports.value)
        columns = _without_repetitions(columns)
        value = _as_float32(value)
        newest: dict[tuple[int, int], int] = {}
        times = columns["measured_at_ms"]
        for row, key in enumerate(zip(columns["node_number"], columns["layout_id"], strict=True)):
            best = newest.get(key)
            if best is None or times[row] >= times[best]:
                newest[key] = row
        rows = list(newest.values())
        chosen = ("node_number", "layout_id", "measured_at_ms")
        latest: dict[str, Any] = {name: [columns[name][row] for row in rows] for name in chosen}
        pieces = [value[columns["first"][row] - 1 : columns["last"][row]] for row in rows]
        ends = list(accumulate(map(len, pieces)))
        latest |= {
            "first": [end - len(piece) + 1 for end, piece in zip(ends, pieces, strict=True)],
            "last": ends,
            "value": list(chain.from_iterable(pieces)),
            "now_ms": self._database.clock.now_ms(),
        }
        columns["value"] = value
        return columns, latest

    async def _learn_layouts(self, layouts: Collection[Layout]) -> None:
        """Give new layouts ids, in a transaction of their own so that the cache never lies."""
        missing = [layout for layout in layouts if layout not in self._layout_ids]
        if not missing:
            return
        async with self._database.begin() as connection:
            for layout in missing:
                await connection.execute(
                    _ADD_LAYOUT, {"series": [series_name(key) for key in layout]}
                )
            rows = (await connection.execute(_LAYOUTS)).all()
        self._layout_ids = {tuple(series_key(name) for name in row.series): row.id for row in rows}

    async def store_events(
        self,
        gateway_name: str,
        spool_id: str,
        batch_number: int,
        events: Sequence[NodeEvent],
        judgement: Judgement = NO_JUDGEMENT,
    ) -> None:
        """Store a batch of events under the same rules."""
        async with self._database.begin() as connection:
            stored = await self._advance(
                connection, gateway_name, spool_id, "event", [batch_number]
            )
            if batch_number <= stored or not events:
                return
            await refuse_foreign(connection, gateway_name, [e.node_number for e in events])
            await connection.execute(
                _STORE_EVENTS,
                {
                    "node_number": [event.node_number for event in events],
                    "boot": [event.boot for event in events],
                    "sequence": [event.sequence for event in events],
                    "occurred_at_ms": [event.occurred_at_ms for event in events],
                    "kind": [event.kind for event in events],
                    "severity": [event.severity.value for event in events],
                    "detail": [json.dumps(dict(event.detail)) for event in events],
                },
            )
            await keep_judgement(connection, judgement, self._database.clock.now_ms())

    async def latest(self, node_number: int) -> list[LatestValue]:
        """Return the newest value of each series of a node."""
        found: dict[SeriesKey, LatestValue] = {}
        for row in await self._database.rows(_READ_LATEST, {"node_number": node_number}):
            for name, value in zip(row.series, row.content, strict=True):
                if value == value:
                    key = series_key(name)
                    found[key] = LatestValue(key, value, row.measured_at_ms)
        return [found[key] for key in sorted(found, key=lambda k: (k.metric, k.instance))]

    async def counts(self, node_numbers: Collection[int]) -> list[StoredCount]:
        """Count what is stored by node and boot; of all nodes when none is named."""
        rows = await self._database.rows(_COUNTS, {"numbers": list(node_numbers) or None})
        return [StoredCount(**row._mapping) for row in rows]

    async def events(self, allowed: AllowedAreas, *, limit: int) -> list[NodeEvent]:
        """Return the newest events, newest first."""
        areas = None if allowed is None else list(allowed)
        rows = await self._database.rows(_EVENTS, {"allowed": areas, "limit": limit})
        return [_event(row) for row in rows]

    async def events_during(self, stays: Sequence[Stay], *, limit: int) -> list[NodeEvent]:
        """Return the newest events of nodes while they stood somewhere, newest first."""
        during = {
            "numbers": [stay.node_number for stay in stays],
            "from_ms": [stay.from_ms for stay in stays],
            "until_ms": [stay.until_ms for stay in stays],
        }
        rows = await self._database.rows(_EVENTS_DURING, during | {"limit": limit})
        return [_event(row) for row in rows]


def _event(row: Row[Any]) -> NodeEvent:
    return NodeEvent(
        node_number=row.node_number,
        boot=row.boot,
        sequence=row.sequence,
        occurred_at_ms=row.occurred_at_ms,
        kind=row.kind,
        severity=Severity(row.severity),
        detail=tuple(sorted(row.detail.items())),
    )


def _as_float32(values: Sequence[float]) -> list[float]:
    """Round values to what is stored; one that float32 cannot hold is no value."""
    rounded = array("f", values)
    if math.inf in rounded or -math.inf in rounded:
        return [math.nan if math.isinf(value) else value for value in rounded]
    return rounded.tolist()


def _without_repetitions(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Keep the first of reports with the same key: a group may bring one twice."""
    keys = list(zip(columns["node_number"], columns["boot"], columns["sequence"], strict=True))
    if len(set(keys)) == len(keys):
        return columns
    rows = {key: row for row, key in reversed(list(enumerate(keys)))}
    kept = sorted(rows.values())
    return {name: [column[row] for row in kept] for name, column in columns.items()}
