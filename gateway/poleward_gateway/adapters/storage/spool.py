"""The spool: reports and events from the commit that precedes their 2.04 to the fleet's ack.

Not the decision what is a duplicate or a gap: domain/telemetry.py.
"""

import array
import json
import secrets
import sqlite3
from collections.abc import Sequence

from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.telemetry import (
    Event,
    ReceivedMark,
    Report,
    Series,
    Severity,
    gap_event,
)
from poleward_gateway.ports.spool import EventBatch, ReportBatch

MARKS_WRITTEN_EVERY = 8192
"""Reports after which marks are written; a start reads at most about as many again."""

DROPPED_AT_ONCE = 16
"""One in so many of the reports that wait is dropped when there is no room: in large pieces, so
that the gaps, which are events and stay, are few."""

ROWS_AT_ONCE = 128
"""Rows that one statement inserts. SQLite's module gives up the interpreter for each statement and
waits to get it back, which with a row each doubles what a report costs under load."""

_INSERT_REPORTS = "INSERT INTO report (id, node, boot, sequence, time_ms, layout, readings) VALUES "
_INSERT_EVENTS = (
    "INSERT INTO event (node, boot, sequence, occurred_at_ms, kind, severity, detail) VALUES "
)
_INSERT_MARKS = "INSERT OR REPLACE INTO mark (node, boot, highest, window) VALUES "
_REPORT = "report"
_EVENT = "event"


class SqliteSpool:
    """Implements the port Spool; see there for what is promised.

    Overflow: beyond `reports_max` waiting reports, or when the disk is full, the oldest go that are
    in no batch yet, counted and with a gap event for each node. Events never go.

    `_marks` is written on the writing thread only, after the commit that makes it true, and read
    on the event loop; `_new_marks` belongs to the transaction under way. Marks reach the disk
    once in MARKS_WRITTEN_EVERY reports and before reports are forgotten; a start makes up the rest
    from the reports themselves.

    Args:
        reports_max: So many reports may wait for the fleet.
    """

    def __init__(self, database: Database, *, reports_max: int) -> None:
        self._database = database
        self._reports_max = reports_max
        self._layouts: dict[tuple[Series, ...], int] = {}
        self._layout_of: dict[int, tuple[Series, ...]] = {}
        self._new_layouts: list[tuple[Series, ...]] = []
        self._marks: dict[int, ReceivedMark] = {}
        self._new_marks: dict[int, ReceivedMark] = {}
        self._changed_marks: set[int] = set()
        self._unwritten = 0
        self._new_unwritten = 0
        self._written_marks: dict[int, ReceivedMark] | None = None
        self._waiting = 0
        self._waiting_change = 0
        self._last_id = 0
        self._new_last_id = 0
        self._dropped = 0
        self._new_dropped = 0
        self._spool_id = database.read_now(self._load)
        self._start_transaction()
        database.watch(
            on_commit=self._committed, on_rollback=self._rolled_back, on_full=self._drop_oldest
        )

    @property
    def spool_id(self) -> str:
        """Random id of this spool."""
        return self._spool_id

    def mark(self, node: NodeNumber) -> ReceivedMark | None:
        """Return which reports of a node are or were on disk."""
        return self._marks.get(node)

    def waiting_reports(self) -> int:
        """Say how many reports wait for the fleet."""
        return self._waiting

    def dropped_reports(self) -> int:
        """Say how many reports this spool has dropped since it was made."""
        return self._dropped

    async def add_reports(self, reports: Sequence[Report]) -> None:
        """Store reports; returns after the commit.

        Raises:
            StorageError: None of them is stored.
        """
        await self._database.run(
            lambda c: self._insert_reports(c, reports), can_wait=True, rows=len(reports)
        )

    async def add_events(self, events: Sequence[Event]) -> None:
        """Store events; returns after the commit.

        Raises:
            StorageError: They are not stored.
        """
        await self._database.run(lambda c: _insert_events(c, events))

    async def report_batch_after(self, number: int, limit: int) -> ReportBatch | None:
        """Return the report batch that follows `number`."""
        return await self._database.run(lambda c: self._report_batch(c, number, limit))

    async def event_batch_after(self, number: int, limit: int) -> EventBatch | None:
        """Return the event batch that follows `number`."""
        return await self._database.run(lambda c: _event_batch(c, number, limit))

    async def acknowledge_reports(self, number: int) -> None:
        """Forget report batches up to and including `number`."""

        def acknowledge(connection: sqlite3.Connection) -> None:
            # The reports that are about to go may be what a start would make marks of.
            written = self._write_marks(connection)
            self._waiting_change -= _acknowledge(connection, _REPORT, number)
            self._written_marks = written

        await self._database.run(acknowledge)

    async def acknowledge_events(self, number: int) -> None:
        """Forget event batches up to and including `number`."""
        await self._database.run(lambda c: _acknowledge(c, _EVENT, number))

    async def can_go_on_after(self, report_number: int, event_number: int) -> bool:
        """Say whether these numbers were assigned and what follows them is still here."""
        return await self._database.run(
            lambda c: _follows(c, _REPORT, report_number) and _follows(c, _EVENT, event_number)
        )

    async def restart_numbering(self) -> str:
        """Take a new spool id and number what is spooled from 1."""

        def restart(connection: sqlite3.Connection) -> str:
            for table in (_REPORT, _EVENT):
                (first,) = connection.execute(f"SELECT min(id) FROM {table}").fetchone()  # noqa: S608
                if first is None:
                    first = _assigned(connection, table)[1] + 1
                connection.execute(f"DELETE FROM {table}_batch")  # noqa: S608
                _set_meta(connection, f"{table}_assigned", f"0 {first - 1}")
            spool_id = secrets.token_hex(16)
            _set_meta(connection, "spool_id", spool_id)
            return spool_id

        self._spool_id = await self._database.run(restart)
        return self._spool_id

    def _load(self, connection: sqlite3.Connection) -> str:
        """Read what stays in memory; make the spool's id the first time."""
        for layout_id, series in connection.execute("SELECT id, series FROM layout"):
            layout = tuple(Series(metric, instance) for metric, instance in json.loads(series))
            self._layouts[layout] = layout_id
            self._layout_of[layout_id] = layout
        for node, boot, highest, window in connection.execute("SELECT * FROM mark"):
            self._marks[node] = ReceivedMark(boot, highest, window)
        for node, boot, sequence in connection.execute(
            "SELECT node, boot, sequence FROM report WHERE id > ? ORDER BY id",
            (int(_meta(connection, "marked_up_to") or 0),),
        ):
            before = self._marks.get(node)
            self._marks[node] = (
                ReceivedMark.first(boot, sequence)
                if before is None
                else before.after(boot, sequence)
            )
            self._changed_marks.add(node)
            self._unwritten += 1
        self._waiting, highest = connection.execute(
            "SELECT count(*), ifnull(max(id), 0) FROM report"
        ).fetchone()
        # Rows behind the last batch may be gone too: dropped.
        self._last_id = max(highest, _assigned(connection, _REPORT)[1])
        self._dropped = int(_meta(connection, "reports_dropped") or 0)
        found = _meta(connection, "spool_id")
        if found is None:
            found = secrets.token_hex(16)
            _set_meta(connection, "spool_id", found)
        return found

    def _insert_reports(self, connection: sqlite3.Connection, reports: Sequence[Report]) -> None:
        """Insert reports, and note their nodes' marks."""
        rows: list[object] = []
        row_id = self._new_last_id
        marks, new_marks = self._marks, self._new_marks
        layout: tuple[Series, ...] | None = None
        layout_id = 0
        for node, boot, sequence, time_ms, series, values, _ in reports:
            # Most have the layout of the one before; hashing one costs as much as all the rest.
            if series is not layout:
                layout, layout_id = series, self._layout_id(connection, series)
            row_id += 1
            rows += (row_id, node, boot, sequence, time_ms, layout_id, values.tobytes())
            before = new_marks.get(node) or marks.get(node)
            new_marks[node] = (
                ReceivedMark.first(boot, sequence)
                if before is None
                else before.after(boot, sequence)
            )
        _insert(connection, _INSERT_REPORTS, rows, columns=7)
        self._new_last_id = row_id
        self._waiting_change += len(reports)
        self._new_unwritten += len(reports)
        if self._unwritten + self._new_unwritten >= MARKS_WRITTEN_EVERY:
            self._written_marks = self._write_marks(connection)
        if self._waiting + self._waiting_change > self._reports_max:
            self._drop_oldest(connection)

    def _drop_oldest(self, connection: sqlite3.Connection) -> bool:
        """Drop the oldest reports that are in no batch; False when there are none."""
        (_, assigned_id) = _assigned(connection, _REPORT)
        limit = (self._waiting + self._waiting_change) // DROPPED_AT_ONCE + 1
        (last_id,) = connection.execute(
            "SELECT max(id) FROM (SELECT id FROM report WHERE id > ? ORDER BY id LIMIT ?)",
            (assigned_id, limit),
        ).fetchone()
        if last_id is None:
            return False
        # The reports that are about to go may be what a start would make marks of.
        self._written_marks = self._write_marks(connection)
        gaps = [
            gap_event(NodeNumber(node), boot, range(first, last + 1), time_ms)
            for node, boot, first, last, time_ms in connection.execute(
                "SELECT node, boot, min(sequence), max(sequence), max(time_ms) FROM report"
                " WHERE id > ? AND id <= ? GROUP BY node, boot",
                (assigned_id, last_id),
            )
        ]
        dropped = connection.execute(
            "DELETE FROM report WHERE id > ? AND id <= ?", (assigned_id, last_id)
        ).rowcount
        _insert_events(connection, gaps)
        self._new_dropped += dropped
        self._waiting_change -= dropped
        _set_meta(connection, "reports_dropped", str(self._dropped + self._new_dropped))
        return True

    def _write_marks(self, connection: sqlite3.Connection) -> dict[int, ReceivedMark]:
        """Write the marks that changed, and up to which report they are true.

        Returns:
            The new marks that were written.
        """
        nodes = self._changed_marks | self._new_marks.keys()
        rows: list[object] = []
        for node in nodes:
            rows += (node, *(self._new_marks.get(node) or self._marks[node]))
        _insert(connection, _INSERT_MARKS, rows, columns=4)
        (last_id,) = connection.execute("SELECT max(id) FROM report").fetchone()
        if last_id is not None:
            _set_meta(connection, "marked_up_to", str(last_id))
        return dict(self._new_marks)

    def _layout_id(self, connection: sqlite3.Connection, layout: tuple[Series, ...]) -> int:
        """Return the id of a layout; insert one that was not seen before."""
        known_id = self._layouts.get(layout)
        if known_id is not None:
            return known_id
        series = json.dumps([(one.metric, one.instance) for one in layout])
        layout_id = connection.execute(
            "INSERT INTO layout (series) VALUES (?)", (series,)
        ).lastrowid
        assert layout_id is not None
        self._layouts[layout] = layout_id
        self._layout_of[layout_id] = layout
        self._new_layouts.append(layout)
        return layout_id

    def _committed(self) -> None:
        """Make the transaction's marks the marks."""
        self._marks.update(self._new_marks)
        written = self._written_marks
        if written is None:
            self._changed_marks |= self._new_marks.keys()
            self._unwritten += self._new_unwritten
        else:
            # What came after the writing, in the same transaction.
            self._changed_marks = {
                node for node, mark in self._new_marks.items() if written.get(node) is not mark
            }
            self._unwritten = len(self._changed_marks)
        self._waiting += self._waiting_change
        self._last_id = self._new_last_id
        self._dropped += self._new_dropped
        self._start_transaction()

    def _rolled_back(self) -> None:
        """Forget what the failed transaction would have made."""
        for layout in self._new_layouts:
            self._layout_of.pop(self._layouts.pop(layout))
        self._start_transaction()

    def _start_transaction(self) -> None:
        """Forget what belonged to the transaction that ended."""
        self._new_layouts.clear()
        self._new_marks.clear()
        self._waiting_change = 0
        self._new_unwritten = 0
        self._new_dropped = 0
        self._new_last_id = self._last_id
        self._written_marks = None

    def _report_batch(
        self, connection: sqlite3.Connection, number: int, limit: int
    ) -> ReportBatch | None:
        """Load or assign a batch of reports."""
        bounds = _bounds(connection, _REPORT, number + 1, limit)
        if bounds is None:
            return None
        rows = connection.execute(
            "SELECT node, boot, sequence, time_ms, layout, readings FROM report"
            " WHERE id BETWEEN ? AND ? ORDER BY id",
            bounds,
        )
        reports = tuple(
            Report(NodeNumber(node), boot, sequence, time_ms, self._layout_of[layout],
                   array.array("d", readings))
            for node, boot, sequence, time_ms, layout, readings in rows
        )  # fmt: skip
        return ReportBatch(number + 1, reports)


def _insert(
    connection: sqlite3.Connection, statement: str, rows: list[object], *, columns: int
) -> None:
    """Insert rows whose values stand one behind the other."""
    row = f"({', '.join('?' * columns)})"
    for start in range(0, len(rows), columns * ROWS_AT_ONCE):
        some = rows[start : start + columns * ROWS_AT_ONCE]
        connection.execute(statement + ", ".join([row] * (len(some) // columns)), some)


def _insert_events(connection: sqlite3.Connection, events: Sequence[Event]) -> None:
    """Insert events."""
    rows: list[object] = []
    for e in events:
        rows += (e.node, e.boot, e.sequence, e.occurred_at_ms, e.kind, e.severity.value,
                 json.dumps(e.detail))  # fmt: skip
    _insert(connection, _INSERT_EVENTS, rows, columns=7)


def _event_batch(connection: sqlite3.Connection, number: int, limit: int) -> EventBatch | None:
    """Load or assign a batch of events."""
    bounds = _bounds(connection, _EVENT, number + 1, limit)
    if bounds is None:
        return None
    rows = connection.execute(
        "SELECT node, boot, sequence, occurred_at_ms, kind, severity, detail FROM event"
        " WHERE id BETWEEN ? AND ? ORDER BY id",
        bounds,
    )
    events = tuple(
        Event(NodeNumber(node), boot, sequence, occurred_at_ms, kind, Severity(severity),
              tuple((key, value) for key, value in json.loads(detail)))
        for node, boot, sequence, occurred_at_ms, kind, severity, detail in rows
    )  # fmt: skip
    return EventBatch(number + 1, events)


def _bounds(
    connection: sqlite3.Connection, table: str, number: int, limit: int
) -> tuple[int, int] | None:
    """Return the row ids of a batch; a new batch takes the oldest rows not in any."""
    known: tuple[int, int] | None = connection.execute(
        f"SELECT first_id, last_id FROM {table}_batch WHERE number = ?",  # noqa: S608
        (number,),
    ).fetchone()
    if known is not None:
        return known
    assigned, last_id = _assigned(connection, table)
    if number != assigned + 1:
        return None
    first, last = connection.execute(
        f"SELECT min(id), max(id) FROM"  # noqa: S608
        f" (SELECT id FROM {table} WHERE id > ? ORDER BY id LIMIT ?)",
        (last_id, limit),
    ).fetchone()
    if first is None:
        return None
    connection.execute(
        f"INSERT INTO {table}_batch (number, first_id, last_id) VALUES (?, ?, ?)",  # noqa: S608
        (number, first, last),
    )
    _set_meta(connection, f"{table}_assigned", f"{number} {last}")
    return first, last


def _acknowledge(connection: sqlite3.Connection, table: str, number: int) -> int:
    """Delete the rows of batches up to and including `number`; return how many."""
    (last_id,) = connection.execute(
        f"SELECT max(last_id) FROM {table}_batch WHERE number <= ?",  # noqa: S608
        (number,),
    ).fetchone()
    if last_id is None:
        return 0
    connection.execute(f"DELETE FROM {table}_batch WHERE number <= ?", (number,))  # noqa: S608
    return connection.execute(
        f"DELETE FROM {table} WHERE id <= ?",  # noqa: S608
        (last_id,),
    ).rowcount


def _follows(connection: sqlite3.Connection, table: str, number: int) -> bool:
    """Say whether batch `number + 1` is here, or would be the next to be assigned."""
    if number == _assigned(connection, table)[0]:
        return True
    query = f"SELECT 1 FROM {table}_batch WHERE number = ?"  # noqa: S608
    return connection.execute(query, (number + 1,)).fetchone() is not None


def _assigned(connection: sqlite3.Connection, table: str) -> tuple[int, int]:
    """Return the highest batch number assigned and the last row id in it."""
    found = _meta(connection, f"{table}_assigned")
    if found is None:
        return 0, 0
    number, last_id = found.split()
    return int(number), int(last_id)


def _meta(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _set_meta(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )
