"""The benchmark `sos`: emergency calls of a street of nodes until the operator's alarm stands.

Not a test. Fleet and gateway are the real programs and each node is a MicroPython VM; all report
as often as in the demo meanwhile.
"""

import asyncio
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from poleward_tools.bench.report_keys import percentiles
from poleward_tools.cli.output import progress
from poleward_tools.demo.city import City, CityPlan
from poleward_tools.demo.narration import TerminalNarrator
from poleward_tools.virtual_board.control import tell
from poleward_tools.virtual_board.node_folder import CONSOLE_NAME, CONTROL_NAME

BOARDS = 50
_AWAY_EACH = 5
_REPORT_INTERVAL_S = 5
_ONLINE_S = 900.0
_ALARM_S = 120.0
_ASKED_EVERY_S = 0.01
_LIGHT = re.compile(r"emergency call, light after (\d+) ms")


def run(boards: int = BOARDS) -> dict[str, Any]:
    """Press each node's button once; return the figures.

    - `p50_ms`, `p99_ms`: from the press until the fleet's API lists the alarm, one call after the
      other, with the fleet there.
    - `presses_away`: of one in five, pressed together while the fleet was away; they count in
      `lost` only.
    - `lost`: presses without an alarm.
    - `local_light_ms_max`: from the press until the node drives its lamp, by the node's clock.

    Args:
        boards: at least 2.
    """
    # Not private: the database's account must reach its folder.
    with tempfile.TemporaryDirectory(prefix="poleward-bench-") as folder:
        plan = CityPlan(Path(folder) / "city", boards, report_interval_s=_REPORT_INTERVAL_S)
        with City(plan) as city:
            with TerminalNarrator(progress) as narrator:
                city.bring_up(narrator)
            city.wait_until(
                lambda: _reported(city) == boards, what="reports of all boards",
                timeout_s=_ONLINE_S, poll_s=1.0,
            )  # fmt: skip
            return _measure(city)


def _measure(city: City) -> dict[str, Any]:
    controls = sorted(city.nodes_dir.glob(f"*/{CONTROL_NAME}"))
    away = controls[_AWAY_EACH - 1 :: _AWAY_EACH]
    consoles = [control.with_name(CONSOLE_NAME) for control in controls]
    latencies_s: list[float] = []
    for control in controls:
        if control in away:
            continue
        before, pressed_at = _calling(city), time.perf_counter()
        _press(control)
        if _wait_calling(city, before + 1):
            latencies_s.append(time.perf_counter() - pressed_at)
            progress.print(f"{control.parent.name}: {latencies_s[-1]:.3f} s")
    city.fleet.kill()
    for control in away:
        _press(control)
    city.start_fleet_again()
    _wait_calling(city, len(controls))
    return {
        "presses": len(controls),
        "presses_away": len(away),
        **{f"{name}_ms": round(ms) for name, ms in percentiles(latencies_s).items()},
        "lost": len(controls) - _calling(city),
        "local_light_ms_max": max(map(_light_ms, consoles)),
    }


def _press(control: Path) -> None:
    """Press the button of a board."""
    asyncio.run(tell(control, {"press_button": True}))


def _reported(city: City) -> int:
    """Count the nodes whose reports are stored."""
    return len({count.node_number for count in city.client.stored_counts()})


def _calling(city: City) -> int:
    """Count the poles with an emergency call that stands."""
    alarms = city.client.alarms.list_alarms(limit=1000)
    return len({alarm.pole_code for alarm in alarms if alarm.kind == "sos"})


def _wait_calling(city: City, poles: int) -> bool:
    """Wait until so many poles call; False when they do not."""
    give_up_at = time.perf_counter() + _ALARM_S
    while _calling(city) < poles:
        if time.perf_counter() > give_up_at:
            return False
        time.sleep(_ASKED_EVERY_S)
    return True


def _light_ms(console: Path) -> int:
    """Read from a node's console how long its lamp took."""
    found = _LIGHT.findall(console.read_text(encoding="utf-8", errors="replace"))
    return max(map(int, found), default=0)
