"""Saves what can be read of a damaged database into a new one.

Not a repair: the damaged file is kept beside the new one, for people. What is lost comes again from
the fleet (desired state) or is gone (reports that were not acknowledged). Which security contexts
were used is not known any more, and that is noted (sequence_numbers.py).
"""

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from poleward_gateway.adapters.storage.schema import prepare

CONTEXTS_LOST = "contexts_lost"
"""In `meta`: a context that is not there may have been used all the same."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_ROWS_AT_ONCE = 500
_LEFT_BEHIND = {"sqlite_sequence", "report_batch", "event_batch"}


@dataclass(frozen=True, slots=True)
class Salvage:
    """What was saved.

    Args:
        kept_as: The damaged file.
        rows: How many rows of each table were read.
    """

    kept_as: Path
    rows: dict[str, int]


def is_damage(error: BaseException | None) -> bool:
    """Say whether an error means that the file is damaged."""
    return (
        isinstance(error, sqlite3.DatabaseError)
        and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED
    )


def mark_damaged(path: Path) -> None:
    """Have the next start save what can be read of a database."""
    _marker(path).touch()


def is_marked(path: Path) -> bool:
    """Say whether a database was found damaged while it was used."""
    return _marker(path).exists()


def salvage(path: Path) -> Salvage:
    """Move a damaged database aside and make a new one with what can be read of it.

    Raises:
        OSError, sqlite3.Error: The new one cannot be made.
    """
    now_s = int(time.time())
    aside = path.with_name(f"{path.name}.damaged-{now_s}")
    # The write-ahead log goes with its file, so that what it holds is read too.
    for suffix in ("", "-wal"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.replace(f"{aside}{suffix}")
    new = sqlite3.connect(path, isolation_level=None)
    old = sqlite3.connect(aside, isolation_level=None)
    try:
        prepare(new)
        tables = [
            name
            for (name,) in new.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if name not in _LEFT_BEHIND
        ]
        new.execute("BEGIN IMMEDIATE")
        rows = {table: _copy(old, new, table) for table in tables}
        # Batches are numbered anew; the fleet knows by their keys what it has.
        new.execute(
            "DELETE FROM meta WHERE name IN ('spool_id', 'report_assigned', 'event_assigned')"
        )
        # What was received since the windows were written is not known.
        new.execute("UPDATE security_context SET replay_index = NULL, replay_bits = NULL")
        new.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (CONTEXTS_LOST, "yes"))
        new.execute("COMMIT")
    finally:
        old.close()
        new.close()
    _marker(path).unlink(missing_ok=True)
    return Salvage(aside, rows)


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> int:
    """Copy a table's rows from both ends, as far as they can be read."""
    (key,) = (row[1] for row in new.execute(f"PRAGMA table_info({table})") if row[5])
    for order in ("ASC", "DESC"):
        try:
            found = old.execute(f"SELECT * FROM {table} ORDER BY {key} {order}")  # noqa: S608
            while rows := found.fetchmany(_ROWS_AT_ONCE):
                places = ", ".join("?" * len(rows[0]))
                new.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({places})", rows)  # noqa: S608
            break
        except sqlite3.Error:
            # Damaged from here on: what lies behind is reached from the other end.
            continue
    (count,) = new.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(count)


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.is-damaged")
