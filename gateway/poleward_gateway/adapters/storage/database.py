"""One SQLite file, one thread that writes it, many writers that share a commit.

Not what is written: the stores bring their statements as functions of a connection.
"""

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from poleward_gateway.adapters.storage.ballast import Ballast
from poleward_gateway.adapters.storage.salvage import (
    Salvage,
    is_damage,
    is_marked,
    mark_damaged,
    salvage,
)
from poleward_gateway.adapters.storage.schema import prepare
from poleward_gateway.domain.errors import ConfigurationError, StorageError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

COMMIT_INTERVAL_S = 0.02
"""Commits that may wait are this far apart; 1,000 reports/s then cost 47 commits, not 1,000."""

GROUP_LIMIT = 4096
"""Pieces of work in one transaction at most."""

COMPANY_ENOUGH = 128
"""Rows that are worth a commit of their own: under load nothing is held for company."""


@dataclass(slots=True)
class _Item:
    """One piece of work and who waits for it."""

    work: Work[Any]
    can_wait: bool
    rows: int
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    result: Any = None
    error: Exception | None = None

    def take(self, result: Any) -> None:
        """Keep what the work returned, but no cursor: an open one keeps the file locked."""
        self.result = None if isinstance(result, sqlite3.Cursor) else result


class Database:
    """The gateway's file and its writing thread.

    Work is done in the order it was given. Everything taken since the last commit shares the next
    one; a caller's future is done only after its commit is on disk. Work that can wait is held
    while commits follow each other within COMMIT_INTERVAL_S, until there is enough of it; work that
    cannot ends the hold, so an event never waits for company. The queue is bounded by the callers:
    each awaits its future. A file that is found damaged at the start is replaced by what can be
    read of it; one that is found damaged later is marked for the next start.

    Args:
        path: The file; made when absent, readable by its owner only.

    Raises:
        ConfigurationError: The file cannot be opened or is not ours.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self.salvage: Salvage | None = None
            self._connection = self._open(path)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"cannot use the database {path}: {error}; is another gateway using the folder?"
            ) from error
        self.path = path
        self._ballast = Ballast(path.with_name("ballast"))
        self._ballast.hold()
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._on_commit: list[Callable[[], None]] = []
        self._on_rollback: list[Callable[[], None]] = []
        self._on_full: list[Callable[[sqlite3.Connection], bool]] = []
        self._committed_at_s = 0.0
        self.commits = 0
        self.is_damaged = False
        self._thread = threading.Thread(target=self._run, name="database", daemon=True)
        self._closed = False

    def _open(self, path: Path) -> sqlite3.Connection:
        """Open the file; save what can be read of a damaged one first."""
        if is_marked(path):
            self.salvage = salvage(path)
        try:
            return _connect(path)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        self.salvage = salvage(path)
        return _connect(path)

    def hold_ballast(self) -> None:
        """Take back the space that a full disk made us give up, once there is plenty."""
        self._ballast.hold()

    @property
    def is_running(self) -> bool:
        """Say whether the writing thread lives."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the writing thread; until then `read_now` may be used."""
        self._thread.start()

    def read_now(self, work: Work[T]) -> T:
        """Run a query before the thread starts.

        Raises:
            StorageError: The file is damaged; another start saves what can be read of it.
        """
        assert not self._thread.is_alive()
        try:
            return work(self._connection)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            mark_damaged(self.path)
            raise StorageError(
                f"{self.path} is damaged ({error}); start the gateway again: "
                "it saves what can be read and keeps the damaged file"
            ) from error

    def watch(
        self,
        *,
        on_commit: Callable[[], None],
        on_rollback: Callable[[], None],
        on_full: Callable[[sqlite3.Connection], bool],
    ) -> None:
        """Call functions on the writing thread.

        Args:
            on_commit: After each commit.
            on_rollback: After each failed transaction.
            on_full: In a transaction of its own when the disk is full: makes room and says whether
                it could.
        """
        self._on_commit.append(on_commit)
        self._on_rollback.append(on_rollback)
        self._on_full.append(on_full)

    async def run(self, work: Work[T], *, can_wait: bool = False, rows: int = 1) -> T:
        """Do work in a transaction; returns after it is on disk.

        Args:
            work: Function of the connection; runs on the writing thread.
            can_wait: It may be held for a moment to share a commit.
            rows: How much it writes; COMPANY_ENOUGH ends the hold.

        Raises:
            StorageError: It is not on disk; the caller must not acknowledge.
        """
        if self._closed:
            raise StorageError(f"the database {self.path} is closed")
        loop = asyncio.get_running_loop()
        item = _Item(work, can_wait, rows, loop, loop.create_future())
        self._queue.put(item)
        result: T = await item.future
        return result

    def close(self) -> None:
        """Commit what was given, stop the thread and close the file."""
        if self._closed:
            return
        self._closed = True
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        """Be the writing thread."""
        while True:
            first = self._queue.get()
            if first is None:
                return
            group = [first]
            ends = self._gather(group)
            self._commit(group)
            if ends:
                return

    def _gather(self, group: list[_Item]) -> bool:
        """Fill a group; True when the thread is to end after it."""
        hold_until_s = self._committed_at_s + COMMIT_INTERVAL_S
        rows = group[0].rows
        waits = group[0].can_wait and rows < COMPANY_ENOUGH
        while len(group) < GROUP_LIMIT:
            try:
                left_s = hold_until_s - time.monotonic() if waits else 0.0
                item = self._queue.get(timeout=left_s) if left_s > 0 else self._queue.get_nowait()
            except queue.Empty:
                return False
            if item is None:
                return True
            group.append(item)
            rows += item.rows
            waits = waits and item.can_wait and rows < COMPANY_ENOUGH
        return False

    def _commit(self, group: list[_Item]) -> None:
        """Do a group's work in one transaction and tell who waits."""
        failure = self._transact(lambda: self._do_all(group))
        if _is_full(failure) and self._make_room():
            failure = self._transact(lambda: self._do_all(group))
        self._committed_at_s = time.monotonic()
        self._tell(group, failure)

    def _transact(self, work: Callable[[], object]) -> StorageError | None:
        """Do work in one transaction; return why it is not on disk, if it is not."""
        failure: StorageError | None = None
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            work()
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody was promised anything
            failure = StorageError(f"cannot write {self.path}: {error}; check the disk")
            failure.__cause__ = error
            if is_damage(error) and not self.is_damaged:
                self.is_damaged = True
                mark_damaged(self.path)
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        self.commits += 1
        for told in self._on_commit if failure is None else self._on_rollback:
            told()
        return failure

    def _make_room(self) -> bool:
        """Give up the ballast and what is worth least; False when that did not help."""
        self._ballast.give_up()
        made: list[bool] = []
        failure = self._transact(
            lambda: made.extend(make_room(self._connection) for make_room in self._on_full)
        )
        return failure is None and any(made)

    def _do_all(self, group: list[_Item]) -> None:
        """Do a group's work."""
        for item in group:
            self._do(item)

    def _do(self, item: _Item) -> None:
        """Do one piece of work; its failure alone undoes it alone."""
        item.error = None
        if item.can_wait:
            # Plain appends: a savepoint for each would cost more than the work.
            item.take(item.work(self._connection))
            return
        self._connection.execute("SAVEPOINT piece")
        try:
            item.take(item.work(self._connection))
        except Exception as error:
            if _is_full(error) or is_damage(error):
                raise
            item.error = error
            self._connection.execute("ROLLBACK TO piece")
        self._connection.execute("RELEASE piece")

    @staticmethod
    def _tell(group: list[_Item], failure: Exception | None) -> None:
        """Resolve the futures of a group, with one wake-up for each loop."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Item]] = {}
        for item in group:
            by_loop.setdefault(item.loop, []).append(item)
        for loop, items in by_loop.items():
            # RuntimeError: the loop is closed, so nobody waits any more.
            try:
                loop.call_soon_threadsafe(_resolve, items, failure)
            except RuntimeError:
                continue


def _connect(path: Path) -> sqlite3.Connection:
    """Open a connection that nobody else has.

    Raises:
        sqlite3.Error: Somebody has it, or the file is damaged or not ours.
    """
    # Autocommit mode: transactions begin and end where Database says.
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        prepare(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _is_full(error: BaseException | None) -> bool:
    """Say whether the disk had no room."""
    if isinstance(error, StorageError):
        error = error.__cause__
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode == sqlite3.SQLITE_FULL


def _resolve(items: list[_Item], failure: Exception | None) -> None:
    """Resolve futures on their own loop."""
    for item in items:
        if item.future.done():
            continue
        error = item.error or failure
        if error is None:
            item.future.set_result(item.result)
        else:
            item.future.set_exception(error)
