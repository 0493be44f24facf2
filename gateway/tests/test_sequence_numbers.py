"""Sender numbers of security contexts: none twice, on this disk or on the one after it."""

from collections.abc import Sequence
from pathlib import Path

from gateway_fakes.clock import SteppedClock

from poleward_gateway.adapters.clock import SystemClock
from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.adapters.storage.sequence_numbers import SqliteSequenceNumbers


def opened(path: Path, clock: SteppedClock) -> Sequence[int]:
    """Open a context on a disk and use what was reserved."""
    database = Database(path)
    numbers = SqliteSequenceNumbers(database, clock).open_now([b"context"], 64)[b"context"]
    database.close()
    return numbers


async def test_sender_numbers_are_never_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    seen: set[int] = set()
    for start in range(4):
        database = Database(path)
        numbers = SqliteSequenceNumbers(database, SystemClock())
        found = numbers.open_now([b"context"], 64)[b"context"]
        database.start()
        assert found[0] not in seen
        assert len(found) == (3 if start == 0 else 1), "after a crash the window is unknown"
        seen |= set(range(found[0], found[0] + 10))
        await numbers.reserve(b"context", found[0] + 128)
        seen |= set(range(found[0], found[0] + 128))
        database.close()


async def test_an_orderly_stop_keeps_number_and_window(tmp_path: Path) -> None:
    path, clock = tmp_path / "g.db", SteppedClock()
    database = Database(path)
    numbers = SqliteSequenceNumbers(database, clock)
    (first, *_) = numbers.open_now([b"context"], 64)[b"context"]
    database.start()
    await numbers.close({b"context": (first + 5, (32, 0b1011))})
    database.close()
    database = Database(path)
    again = SqliteSequenceNumbers(database, clock).open_now([b"context"], 64)[b"context"]
    assert again == (first + 5, 32, 11)
    database.close()


def test_another_disk_goes_on_above_the_numbers_of_the_one_before(tmp_path: Path) -> None:
    clock = SteppedClock()
    (first, *_) = opened(tmp_path / "burnt.db", clock)
    clock.ms += 60_000
    (second, *_) = opened(tmp_path / "new.db", clock)
    assert second > first + 64
    clock.ms -= 3600_000
    (behind, *_) = opened(tmp_path / "new.db", clock)
    assert behind > second, "a clock that goes back takes no number back"
