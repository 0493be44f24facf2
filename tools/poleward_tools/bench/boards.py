"""What virtual boards cost: memory of each, and the time from its first instruction to registered.

Held equal: every board runs the whole node application from its own flash file and reports to one
gateway; fleet and gateway are on the same machine and their memory is not counted.
"""

import tempfile
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from poleward_tools.bench.process_family import family
from poleward_tools.demo.city import City, CityPlan
from poleward_tools.demo.narration import Silence
from poleward_tools.virtual_board.node_folder import CONSOLE_NAME

_BOARDS = 40
_READY_S = 150.0
_STARTED, _REGISTERED = "rst:0x1 ", "registered at "
_GIB_KIB = 1 << 20


class BoardsError(Exception):
    """The measurement went wrong; its figures would mean nothing."""


def run() -> dict[str, Any]:
    """Start the boards and measure once all of them are registered.

    Keys:
    - `board_kib`: proportional set size of the board host and its interpreters, per board.
    - `board_own_kib`: of that, what is not the flash file in the page cache, which can be given up.
    - `boards_per_gib`: by the latter.
    - `registered_p50_s`, `registered_max_s`: from power to registered, all boards started at once;
      the first start, with bootstrap.

    Raises:
        BoardsError: a board did not register.
        CommandError: the city does not come up.
    """
    with (
        tempfile.TemporaryDirectory(prefix="poleward-bench-") as folder,
        City(CityPlan(Path(folder) / "city", poles=_BOARDS)) as city,
    ):
        city.bring_up(Silence())
        logs = [path / CONSOLE_NAME for path in city.nodes_dir.iterdir()]

        def is_done() -> bool:
            return all(_REGISTERED in _text(log) for log in logs)

        city.wait_until(is_done, what=f"{_BOARDS} boards registered", timeout_s=_READY_S)
        host = city.boards.pid
        if host is None:
            raise BoardsError("the board host has ended")
        pids = family(host)
        memory_kib = sum(_memory_kib(pid, "Pss:") for pid in pids)
        own_kib = sum(_memory_kib(pid, "Pss_Anon:") for pid in pids)
        seconds = [_seconds_to_registered(_text(log)) for log in logs]
    return {
        "boards": _BOARDS,
        "board_kib": round(memory_kib / _BOARDS),
        "board_own_kib": round(own_kib / _BOARDS),
        "boards_per_gib": int(_GIB_KIB * _BOARDS / own_kib),
        "registered_p50_s": round(median(seconds), 2),
        "registered_max_s": round(max(seconds), 2),
    }


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def _seconds_to_registered(text: str) -> float:
    """Read the time between two lines of a board's console log."""
    times: dict[str, datetime] = {}
    for line in text.splitlines():
        stamp, _, shown = line.partition(" ")
        for mark in (_STARTED, _REGISTERED):
            if shown.startswith(mark):
                times.setdefault(mark, datetime.fromisoformat(stamp))
    if len(times) < 2:
        raise BoardsError("a board's console lacks its start or its registration")
    return (times[_REGISTERED] - times[_STARTED]).total_seconds()


def _memory_kib(pid: int, field: str) -> int:
    """Return a proportional set size: shared pages count in part (proc(5), smaps_rollup)."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    except OSError:
        return 0  # it ended meanwhile
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(field))
