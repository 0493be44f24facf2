"""Runs a station: several slots at a time, failed boards again, boards as they are plugged in.

What is done with one board is in `slot.py`.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from poleward_tools.flashing.errors import StationError
from poleward_tools.flashing.outcome import BoardOutcome, Result
from poleward_tools.flashing.slot import Plan, Progress, SlotWork
from poleward_tools.flashing.station import Station
from poleward_tools.flashing.writer_link import WriterNursery

MAX_SLOTS = 16
_POLL_S = 0.3


class StationRun:
    """One run of a station; a board's failure never stops the others.

    Args:
        station: open for this process.
        nursery: makes connections to boards.
        plan: what every board gets.
        progress: told slot, step and part of it; from several threads.
        retries: how often a failed board is tried again.
    """

    def __init__(
        self,
        station: Station,
        nursery: WriterNursery,
        plan: Plan,
        progress: Progress,
        *,
        retries: int = 1,
    ) -> None:
        self._station = station
        self._nursery = nursery
        self._plan = plan
        self._progress = progress
        self._retries = retries

    def once(self, slots: Mapping[str, str]) -> list[BoardOutcome]:
        """Do the boards that are there now; returns their outcomes in the order of the slots.

        Args:
            slots: port by name of the slot.

        Raises:
            StationError: no slot or too many.
            OSError: the station's disk fails.
        """
        _check(slots)
        with ThreadPoolExecutor(len(slots)) as pool:
            return list(pool.map(self._until_done, slots, slots.values()))

    def watch(
        self,
        find_slots: Callable[[], Mapping[str, str]],
        report: Callable[[BoardOutcome], None],
        stop: threading.Event,
    ) -> None:
        """Do every board once when its port appears, until `stop` is set; then finish the rest.

        Args:
            find_slots: returns port by slot for what is plugged in now.
            report: told each outcome.
            stop: ends it.

        Raises:
            OSError: the station's disk fails.
        """
        present: set[str] = set()
        jobs: dict[str, Future[BoardOutcome]] = {}
        with ThreadPoolExecutor(MAX_SLOTS) as pool:
            while jobs or not stop.is_set():
                time.sleep(_POLL_S)
                for name in [name for name, job in jobs.items() if job.done()]:
                    report(jobs.pop(name).result())
                if stop.is_set():
                    continue
                found = find_slots()
                # A board that stays in its slot is not done twice.
                present = {name for name in present if name in found or name in jobs}
                for name in found.keys() - present:
                    present.add(name)
                    jobs[name] = pool.submit(self._until_done, name, found[name])

    def _until_done(self, slot: str, port: str) -> BoardOutcome:
        attempt = 0
        while True:
            attempt += 1
            work = SlotWork(
                slot, port, station=self._station, nursery=self._nursery, plan=self._plan,
                progress=self._progress,
            )  # fmt: skip
            outcome = replace(work.run(), attempts=attempt)
            if outcome.result is not Result.FAILED or attempt > self._retries:
                return outcome


def slots_of(ports: Iterable[str]) -> dict[str, str]:
    """Name slots after their ports' last part, or after `NAME=PORT`.

    Raises:
        StationError: two slots of one name.
    """
    slots: dict[str, str] = {}
    for text in ports:
        name, separator, port = text.partition("=")
        if not separator or "://" in name:
            name, port = text.rstrip("/").rsplit("/", 1)[-1], text
        if name in slots:
            raise StationError(f"two slots are called {name}; name them with NAME=PORT")
        slots[name] = port
    return slots


def _check(slots: Mapping[str, str]) -> None:
    if not slots:
        raise StationError("no serial port; plug boards in or name ports with --port")
    if len(slots) > MAX_SLOTS:
        raise StationError(f"{len(slots)} ports; a station has at most {MAX_SLOTS} slots")
