"""Sequence numbers of security contexts, kept so that none is ever used twice.

Not the contexts themselves: the node link derives keys and checks replays.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.adapters.storage.salvage import CONTEXTS_LOST
from poleward_gateway.ports.clock import Clock

Window = tuple[int, int]
"""Replay window: lowest index and bits (RFC 8613, 7.4)."""

_EPOCH_S = 1_767_225_600  # 2026-01-01; no gateway is older
_NUMBERS_PER_S = 64
"""More messages than any node gets on average; 2 ** 40 numbers last for five centuries."""


class SqliteSequenceNumbers:
    """Reservations of sender numbers and replay windows by context id.

    A context is forgotten by nobody: keys that come back must go on where they stopped. A window
    is kept only by an orderly stop and taken away when it is read, so that a crash leaves none
    and the node is asked for an Echo instead (RFC 8613, B.1.2).

    Numbers begin at the time (ADR 45): the same keys may have been used on another disk, by the
    gateway before this one or before a backup was put back, and no number may be used twice under
    them (RFC 8613, 7.2.1).

    Args:
        database: Where.
        clock: For where numbers begin.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def open_now(self, context_ids: Iterable[bytes], step: int) -> dict[bytes, Sequence[int]]:
        """Do what `open` does, before the database's thread starts."""
        wanted, floor = list(context_ids), self._floor()

        def work(connection: sqlite3.Connection) -> dict[bytes, Sequence[int]]:
            connection.execute("BEGIN IMMEDIATE")
            found = _open(connection, wanted, step, floor)
            connection.execute("COMMIT")
            return found

        return self._database.read_now(work)

    async def open(self, context_ids: Iterable[bytes], step: int) -> dict[bytes, Sequence[int]]:
        """Reserve the next `step` sender numbers of contexts and take their windows.

        Returns:
            For each context the first reserved number, followed by index and bits of its replay
            window where one is known; that of a context which was never used is empty.
        """
        wanted, floor = list(context_ids), self._floor()
        return await self._database.run(lambda c: _open(c, wanted, step, floor))

    async def reserve(self, context_id: bytes, up_to: int) -> None:
        """Reserve sender numbers below `up_to`; returns after the commit."""
        await self._database.run(
            lambda c: c.execute(
                "UPDATE security_context SET sender_reserved = max(sender_reserved, ?)"
                " WHERE context_id = ?",
                (up_to, context_id),
            )
        )

    async def close(self, used: Mapping[bytes, tuple[int, Window | None]]) -> None:
        """Keep the next sender number and the window of contexts at an orderly stop."""
        rows = [
            (sender, *(window or (None, None)), context_id)
            for context_id, (sender, window) in used.items()
        ]
        await self._database.run(
            lambda c: c.executemany(
                "UPDATE security_context SET sender_reserved = ?, replay_index = ?,"
                " replay_bits = ? WHERE context_id = ?",
                rows,
            )
        )

    def _floor(self) -> int:
        return max(0, (self._clock.now_ms() - _EPOCH_S * 1000) * _NUMBERS_PER_S // 1000)


def _open(
    connection: sqlite3.Connection, context_ids: list[bytes], step: int, floor: int
) -> dict[bytes, Sequence[int]]:
    """Read and reserve in one transaction."""
    found: dict[bytes, Sequence[int]] = {}
    lost = connection.execute("SELECT 1 FROM meta WHERE name = ?", (CONTEXTS_LOST,)).fetchone()
    for context_id in context_ids:
        row = connection.execute(
            "SELECT sender_reserved, replay_index, replay_bits FROM security_context"
            " WHERE context_id = ?",
            (context_id,),
        ).fetchone()
        if row is None:
            found[context_id] = (floor,) if lost else (floor, 0, 0)
        else:
            sender = max(row[0], floor)
            found[context_id] = (sender, *row[1:]) if row[1] is not None else (sender,)
        connection.execute(
            "INSERT INTO security_context (context_id, sender_reserved) VALUES (?, ?)"
            " ON CONFLICT (context_id) DO UPDATE SET sender_reserved = excluded.sender_reserved,"
            " replay_index = NULL, replay_bits = NULL",
            (context_id, found[context_id][0] + step),
        )
    return found
