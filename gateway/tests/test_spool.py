"""The spool against a model: a crash at any point loses nothing that was promised."""

import array
import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from poleward_gateway.adapters.clock import SystemClock
from poleward_gateway.adapters.storage.ballast import BALLAST_BYTES
from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.adapters.storage.sequence_numbers import SqliteSequenceNumbers
from poleward_gateway.adapters.storage.spool import SqliteSpool
from poleward_gateway.domain.errors import ConfigurationError, StorageError
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.telemetry import Event, Report, Series, Severity
from poleward_gateway.ports.spool import ReportBatch

T = TypeVar("T")
CLOCK = SystemClock()
LAYOUT = (Series("supply.active_power_w", 0), Series("lamp.level_percent", 0))


def report(sequence: int, *, node: int = 1, boot: int = 1) -> Report:
    values = array.array("d", (1.5, float(sequence)))
    return Report(NodeNumber(node), boot, sequence, 1000 * sequence, LAYOUT, values)


def event(sequence: int) -> Event:
    return Event(NodeNumber(1), 1, sequence, 5, "sos.pressed", Severity.CRITICAL, (("a", "b"),))


def open_spool(path: Path) -> tuple[Database, SqliteSpool]:
    database = Database(path)
    spool = SqliteSpool(database, reports_max=10_000_000)
    database.start()
    return database, spool


class SpoolMachine(RuleBasedStateMachine):
    """Reports go in, batches come out, the fleet acknowledges, the power fails."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.copies = 0
        self.next_sequence = 0
        self.spooled: list[int] = []
        self.batches: dict[int, ReportBatch] = {}
        self.acknowledged = 0
        self.sent = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.database, self.spool = open_spool(self.folder / "0.db")

    @rule(count=st.integers(1, 5))
    def take_reports(self, count: int) -> None:
        async def take() -> None:
            await asyncio.gather(
                *(self.spool.add_reports([report(self.next_sequence + i)]) for i in range(count))
            )

        self.run(take())
        self.spooled += range(self.next_sequence, self.next_sequence + count)
        self.next_sequence += count

    @rule(limit=st.integers(1, 4))
    def send_a_batch(self, limit: int) -> None:
        batch = self.run(self.spool.report_batch_after(self.sent, limit))
        if batch is None:
            return
        assert batch.number == self.sent + 1
        assert self.batches.setdefault(batch.number, batch) == batch
        self.sent = batch.number

    @rule()
    def go_back_to_the_acknowledged(self) -> None:
        self.sent = self.acknowledged

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(self.acknowledged, max(self.batches, default=0)))
        self.run(self.spool.acknowledge_reports(number))
        self.acknowledged = max(self.acknowledged, number)
        self.sent = max(self.sent, self.acknowledged)

    @rule()
    def lose_power(self) -> None:
        """Go on from what is on disk at this moment, as after a crash."""
        self.copies += 1
        path = self.folder / f"{self.copies}.db"
        for suffix in ("", "-wal"):
            source = Path(f"{self.database.path}{suffix}")
            if source.exists():
                shutil.copy(source, f"{path}{suffix}")
        spool_id = self.spool.spool_id
        self.database.close()
        self.database, self.spool = open_spool(path)
        assert self.spool.spool_id == spool_id
        self.sent = self.acknowledged

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "spool"):
            return
        gone = sum(len(self.batches[n].reports) for n in range(1, self.acknowledged + 1))
        assert self.spool.waiting_reports() == len(self.spooled) - gone
        in_batches = [r.sequence for n in sorted(self.batches) for r in self.batches[n].reports]
        assert in_batches == self.spooled[: len(in_batches)]
        mark = self.spool.mark(NodeNumber(1))
        assert (mark.highest if mark else -1) == self.next_sequence - 1

    def teardown(self) -> None:
        self.database.close()
        self.loop.close()
        shutil.rmtree(self.folder)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=25, stateful_step_count=20)


async def test_events_have_batches_of_their_own(tmp_path: Path) -> None:
    database, spool = open_spool(tmp_path / "g.db")
    await spool.add_reports([report(0)])
    await spool.add_events([event(0), event(1)])
    batch = await spool.event_batch_after(0, 10)
    assert batch is not None
    assert batch.number == 1
    assert batch.events == (event(0), event(1))
    await spool.acknowledge_events(1)
    assert await spool.event_batch_after(1, 10) is None
    assert spool.waiting_reports() == 1
    database.close()


async def test_many_reports_share_a_commit(tmp_path: Path) -> None:
    database, spool = open_spool(tmp_path / "g.db")
    await spool.add_reports([report(0)])
    before = database.commits
    await asyncio.gather(*(spool.add_reports([report(i)]) for i in range(1, 1001)))
    assert database.commits - before < 100
    database.close()


async def fill(spool: SqliteSpool, count: int) -> None:
    for first in range(0, count, 100):
        await asyncio.gather(*(spool.add_reports([report(first + i)]) for i in range(100)))


async def test_beyond_its_quota_the_oldest_reports_go_counted_and_events_stay(
    tmp_path: Path,
) -> None:
    database = Database(tmp_path / "g.db")
    spool = SqliteSpool(database, reports_max=1600)
    database.start()
    await spool.add_events([event(0)])
    await fill(spool, 100)
    batch = await spool.report_batch_after(0, 50)
    await fill(spool, 3000)
    assert spool.waiting_reports() <= 1600
    assert spool.dropped_reports() == 3100 - spool.waiting_reports()
    assert await spool.report_batch_after(0, 50) == batch, "a batch always has the same content"
    following = await spool.report_batch_after(1, 1)
    assert following is not None
    events = await spool.event_batch_after(0, 1000)
    assert events is not None
    assert events.events[0] == event(0)
    gaps = [dict(gap.detail) for gap in events.events[1:]]
    assert {gap.kind for gap in events.events[1:]} == {"reports.gap"}
    assert int(gaps[-1]["last"]) == following.reports[0].sequence - 1
    await asyncio.to_thread(database.close)
    database, spool = open_spool(tmp_path / "g.db")
    assert spool.dropped_reports() == 3100 - spool.waiting_reports()
    mark = spool.mark(NodeNumber(1))
    assert mark is not None
    assert mark.highest == 2999
    database.close()


async def test_ids_of_dropped_reports_are_not_used_again(tmp_path: Path) -> None:
    database = Database(tmp_path / "g.db")
    spool = SqliteSpool(database, reports_max=0)
    database.start()
    await spool.add_reports([report(0)])
    assert spool.waiting_reports() == 0
    await spool.add_events([event(0)])
    assert await spool.report_batch_after(0, 10) is None
    database.close()
    database, spool = open_spool(tmp_path / "g.db")
    await spool.add_reports([report(1)])
    batch = await spool.report_batch_after(0, 10)
    assert batch is not None
    assert [one.sequence for one in batch.reports] == [1]
    database.close()


async def test_a_full_disk_costs_the_oldest_reports_only(tmp_path: Path) -> None:
    database, spool = open_spool(tmp_path / "g.db")
    ballast = tmp_path / "ballast"
    assert ballast.stat().st_size == BALLAST_BYTES
    await database.run(lambda c: c.execute("PRAGMA max_page_count = 60"))
    await fill(spool, 10_000)
    assert spool.dropped_reports() > 0
    assert spool.dropped_reports() + spool.waiting_reports() == 10_000
    assert not ballast.exists(), "its space was given up"
    await spool.add_events([event(number) for number in range(100)])
    mark = spool.mark(NodeNumber(1))
    assert mark is not None
    assert mark.highest == 9_999
    database.hold_ballast()
    assert ballast.exists()
    database.close()


async def test_a_failed_commit_promises_nothing(tmp_path: Path) -> None:
    database, spool = open_spool(tmp_path / "g.db")
    await fill(spool, 100)
    # What is in a batch cannot be dropped to make room.
    await spool.report_batch_after(0, 100)
    (pages,) = await database.run(lambda c: c.execute("PRAGMA page_count").fetchone())
    await database.run(lambda c: c.execute(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StorageError, match="check the disk"):
        await spool.add_reports([report(number) for number in range(100, 10_000)])
    mark = spool.mark(NodeNumber(1))
    assert mark is not None
    assert mark.highest == 99
    assert spool.waiting_reports() == 100
    await database.run(lambda c: c.execute("PRAGMA max_page_count = 1000000"))
    await spool.add_reports([report(100)])
    (count,) = await database.run(lambda c: c.execute("SELECT count(*) FROM report").fetchone())
    assert count == 101
    database.close()


def test_two_gateways_cannot_use_one_folder(tmp_path: Path) -> None:
    database = Database(tmp_path / "g.db")
    with pytest.raises(ConfigurationError, match="another gateway"):
        Database(tmp_path / "g.db")
    database.close()


def newer_file(path: Path, *, readable_from: str) -> None:
    database = Database(path)
    database.read_now(lambda c: c.execute("PRAGMA user_version = 99"))
    database.read_now(
        lambda c: c.execute(
            "UPDATE meta SET value = ? WHERE name = 'readable_from'", (readable_from,)
        )
    )
    database.close()


def test_a_file_that_a_newer_gateway_only_added_to_is_used(tmp_path: Path) -> None:
    newer_file(tmp_path / "g.db", readable_from="1")
    Database(tmp_path / "g.db").close()


def test_a_file_of_a_newer_gateway_is_refused_when_older_ones_cannot_use_it(
    tmp_path: Path,
) -> None:
    newer_file(tmp_path / "g.db", readable_from="2")
    with pytest.raises(ConfigurationError, match="its schema is version 99"):
        Database(tmp_path / "g.db")


async def test_what_can_be_read_of_a_damaged_file_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    database, spool = open_spool(path)
    numbers = SqliteSequenceNumbers(database, CLOCK)
    (used,) = (await numbers.open([b"context"], 64)).values()
    await spool.add_events([event(0)])
    await fill(spool, 5000)
    database.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * 8192)
    database = Database(path)
    with pytest.raises(StorageError, match="damaged"):
        SqliteSpool(database, reports_max=10_000_000)
    database.close()

    database = Database(path)
    assert database.salvage is not None
    assert database.salvage.kept_as.stat().st_size == size
    found = SqliteSequenceNumbers(database, CLOCK).open_now([b"context", b"other"], 64)
    # Neither may a number be used again, nor is any window known: each node is challenged.
    assert len(found[b"context"]) == len(found[b"other"]) == 1
    assert used[0] + 64 <= found[b"context"][0] < 1 << 40
    assert used[0] < found[b"other"][0] < 1 << 40
    spool = SqliteSpool(database, reports_max=10_000_000)
    database.start()
    assert 2000 < spool.waiting_reports() < 5000
    events = await spool.event_batch_after(0, 10)
    assert events is not None
    assert events.events == (event(0),)
    database.close()
    database, _ = open_spool(path)
    assert database.salvage is None
    database.close()


async def test_damage_that_is_found_while_it_is_used_is_for_the_next_start(
    tmp_path: Path,
) -> None:
    path = tmp_path / "g.db"
    database, spool = open_spool(path)
    await spool.add_reports([report(0)])

    def fail(_: object) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with pytest.raises(StorageError, match="malformed"):
        await database.run(fail)
    assert database.is_damaged
    database.close()
    database, spool = open_spool(path)
    assert database.salvage is not None
    assert spool.waiting_reports() == 1
    database.close()


def test_a_file_that_is_no_database_is_kept_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    path.write_bytes(b"x" * 4096)
    database = Database(path)
    assert database.salvage is not None
    assert database.salvage.kept_as.read_bytes() == b"x" * 4096
    database.close()


def test_the_database_is_its_owners_only(tmp_path: Path) -> None:
    database = Database(tmp_path / "g.db")
    assert (tmp_path / "g.db").stat().st_mode & 0o777 == 0o600
    database.close()
