"""Tables of the gateway's database and how an older file becomes a current one.

Not the queries: each store has its own.
"""

import sqlite3

SCHEMA_VERSION = 1
READABLE_FROM = 1
"""The oldest schema version whose gateways can still use the file: one that is updated must be able
to go back. Steps that only add leave this as it is."""

# The spool is append-only with rowid keys: a clustered (node, boot, sequence) key was three times
# slower, because every batch dirtied hundreds of pages. An id is never used again, so that a batch
# can name its rows by their last id; spool.py counts them, as AUTOINCREMENT costs a write for each.
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE layout (id INTEGER PRIMARY KEY, series TEXT NOT NULL UNIQUE);
CREATE TABLE report (
    id INTEGER PRIMARY KEY,
    node INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    layout INTEGER NOT NULL,
    readings BLOB NOT NULL
);
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    node INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    occurred_at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    severity INTEGER NOT NULL,
    detail TEXT NOT NULL
);
CREATE TABLE report_batch (number INTEGER PRIMARY KEY, first_id INTEGER, last_id INTEGER);
CREATE TABLE event_batch (number INTEGER PRIMARY KEY, first_id INTEGER, last_id INTEGER);
CREATE TABLE mark (
    node INTEGER PRIMARY KEY,
    boot INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    window INTEGER NOT NULL
);
CREATE TABLE desired_node (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE security_context (
    context_id BLOB PRIMARY KEY,
    sender_reserved INTEGER NOT NULL,
    replay_index INTEGER,
    replay_bits INTEGER
) WITHOUT ROWID;
CREATE TABLE command (
    command_id BLOB PRIMARY KEY,
    deadline_ms INTEGER NOT NULL,
    status TEXT,
    detail TEXT,
    finished_at_ms INTEGER,
    delivered INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE node_layout (layout_id INTEGER PRIMARY KEY, paths TEXT NOT NULL);
CREATE TABLE registration (
    node INTEGER PRIMARY KEY,
    until_ms INTEGER NOT NULL,
    heard_at_ms INTEGER NOT NULL,
    is_queued INTEGER NOT NULL,
    location TEXT NOT NULL
);
CREATE TABLE node_update (
    node INTEGER PRIMARY KEY,
    release_digest BLOB NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE TABLE site_visit (
    visit_id TEXT PRIMARY KEY,
    content BLOB NOT NULL,
    node INTEGER NOT NULL,
    pole TEXT NOT NULL,
    is_told INTEGER NOT NULL,
    conflict TEXT NOT NULL
) WITHOUT ROWID;
"""


# What leads from each version to the next; a new file takes the same way.
_STEPS = {0: _TABLES}


def prepare(connection: sqlite3.Connection) -> None:
    """Set what every connection needs and make the tables of a new file.

    Raises:
        sqlite3.DatabaseError: The file is not ours, or of a newer gateway and we cannot use it.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION and _readable_from(connection) > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(
            f"its schema is version {version}, this gateway knows {SCHEMA_VERSION}"
        )
    for step in range(version, SCHEMA_VERSION):
        connection.executescript(
            f"BEGIN IMMEDIATE; {_STEPS[step]} PRAGMA user_version = {step + 1};"
        )
        connection.execute(
            "INSERT OR REPLACE INTO meta VALUES ('readable_from', ?)", (str(READABLE_FROM),)
        )
        connection.execute("COMMIT")


def _readable_from(connection: sqlite3.Connection) -> int:
    """Return what the newer gateway that changed the file said about older ones."""
    found = connection.execute("SELECT value FROM meta WHERE name = 'readable_from'").fetchone()
    return SCHEMA_VERSION + 1 if found is None else int(found[0])
