"""The benchmark `soak`: a city at ten times its real rate, and whether anything grows.

Not a test. 200 virtual boards run the real firmware; fleet and gateway are the real programs. What
is measured is of the two servers and of the process that holds the boards.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from poleward_tools.cli.output import progress
from poleward_tools.client import ClientError
from poleward_tools.demo.city import City, CityPlan
from poleward_tools.demo.narration import TerminalNarrator
from poleward_tools.demo.program import Program
from poleward_tools.demo.story import lost_readings

BOARDS = 200
REPORT_INTERVAL_S = 6
"""A pole reports each minute."""
SAMPLES = 30
"""Spread over the time, but at least SAMPLE_EVERY_S apart."""
SAMPLE_EVERY_S = 5.0
COMMANDS_PER_SAMPLE = 5
_ONLINE_S = 900.0
_LAST_REPORTS_S = 120.0


def run(seconds: float = 120.0) -> dict[str, Any]:
    """Bring the city up, watch it, and say how much the last third differs from the first.

    - `rss_mb`, `descriptors`: of each program over the time, one value for each sample.
    - `command_ms`: the slowest of COMMANDS_PER_SAMPLE lamp commands, from the API and back.
    - `*_growth`: median of the last third to that of the first; 1.0 is flat.
    - `readings_per_s`: stored in the database, over the whole time.
    - `lost`: readings missing between the first and the last of a node.

    Args:
        seconds: To watch; bringing 200 boards up takes minutes before that.
    """
    # Not private: the database's account must reach its folder.
    with tempfile.TemporaryDirectory(prefix="poleward-bench-") as folder:
        plan = CityPlan(Path(folder) / "city", BOARDS, report_interval_s=REPORT_INTERVAL_S)
        with City(plan) as city:
            with TerminalNarrator(progress) as narrator:
                city.bring_up(narrator)
            progress.print("Waiting for every board to register …")
            began_s = time.monotonic()
            city.wait_until(
                lambda: _online(city) == BOARDS, what="all boards online", timeout_s=_ONLINE_S,
                poll_s=2.0,
            )  # fmt: skip
            up_s = time.monotonic() - began_s
            return {"boards": BOARDS, "up_s": round(up_s, 1), **_watch(city, seconds)}


def _watch(city: City, seconds: float) -> dict[str, Any]:
    """Take samples over a time."""
    programs = {"gateway": city.gateway, "fleet": city.fleet, "boards": city.boards}
    series: dict[str, list[float]] = {}
    every_s = max(SAMPLE_EVERY_S, seconds / SAMPLES)
    stored_before = _stored(city)
    began_s = time.monotonic()
    samples = 0
    failed = 0
    while time.monotonic() - began_s < seconds:
        city.check()
        samples += 1
        for name, program in programs.items():
            series.setdefault(f"{name}_rss_mb", []).append(_rss_mb(program))
            series.setdefault(f"{name}_descriptors", []).append(_descriptors(program))
        command_ms, failures = _command_ms(city, samples)
        failed += failures
        series.setdefault("command_ms", []).append(command_ms)
        said = {name: values[-1] for name, values in series.items()}
        progress.print(f"{time.monotonic() - began_s:6.0f} s  {said}", markup=False)
        time.sleep(max(0.0, began_s + samples * every_s - time.monotonic()))
    watched_s = time.monotonic() - began_s
    stored = _stored(city) - stored_before
    return {
        **{f"{name}_growth": _growth(values) for name, values in series.items()},
        "command_max_ms": max(series["command_ms"]),
        "commands_failed": failed,
        "readings_per_s": round(stored / watched_s, 1),
        "lost": _lost(city),
        "series": series,
    }


def _online(city: City) -> int:
    """Count the boards that the fleet takes to be online."""
    return sum(
        1 for view in city.client.list_poles() if view.node and view.node.link_state == "online"
    )


def _stored(city: City) -> int:
    """Count the readings in the database."""
    return sum(count.readings for count in city.client.stored_counts())


def _lost(city: City) -> int:
    """Count what is missing once what is under way has had time to arrive."""
    give_up_s = time.monotonic() + _LAST_REPORTS_S
    while (lost := lost_readings(city.client.stored_counts())) and time.monotonic() < give_up_s:
        time.sleep(SAMPLE_EVERY_S)
    return lost


def _command_ms(city: City, sample: int) -> tuple[float, int]:
    """Command some lamps; return the slowest answer and how many were not done."""
    slowest_ms, failed = 0.0, 0
    for place in range(COMMANDS_PER_SAMPLE):
        pole = city.poles[(sample * COMMANDS_PER_SAMPLE + place) % len(city.poles)]
        try:
            answer = city.client.set_pole_lamp(pole.code, 20 + sample % 60)
        except ClientError:
            failed += 1
            continue
        failed += answer.status != "done"
        slowest_ms = max(slowest_ms, answer.elapsed_ms)
    return slowest_ms, failed


def _growth(values: list[float]) -> float:
    """Return the median of the last third to that of the first."""
    third = max(1, len(values) // 3)
    first = statistics.median(values[:third])
    return round(statistics.median(values[-third:]) / first, 3) if first else 0.0


def _rss_mb(program: Program) -> float:
    """Return the resident memory of a program's process."""
    status = Path(f"/proc/{program.pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return round(int(line.split()[1]) / 1024, 1)


def _descriptors(program: Program) -> int:
    """Count the open descriptors of a program's process."""
    return sum(1 for _ in Path(f"/proc/{program.pid}/fd").iterdir())
