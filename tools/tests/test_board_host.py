"""The board host runs, restarts and ends real MicroPython processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward_tools.virtual_board.host import (
    Board,
    BoardHost,
    BoardTiming,
    ResetCause,
    next_boot,
)

DEADLINE_S = 20.0
TIMING = BoardTiming(power_off_s=0.01, reset_s=0.01, crash_first_s=0.01, crash_longest_s=0.05)
SLEEP_FOREVER = "import time\nprint('up')\ntime.sleep(1000)\n"


def make_node(parent: Path, main: str, name: str = "02504c000001") -> Path:
    folder = parent / name
    (folder / "flash").mkdir(parents=True)
    (folder / "nvs.json").write_text("{}")
    (folder / "flash" / "boot.py").write_text("")
    (folder / "flash" / "main.py").write_text(main)
    return folder


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - other processes set no Event
            await asyncio.sleep(0.01)


def console(folder: Path) -> str:
    path = folder / "console.log"
    return path.read_text() if path.exists() else ""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def start_host(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "poleward_tools", "boards", "serve", str(folder)],
        env={**os.environ, "POLEWARD_TRACE": "1"},
    )


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_reset_that_the_node_asked_for_boots_at_once() -> None:
    assert next_boot(3, 0.1, 4, BoardTiming()) == (ResetCause.RESET, BoardTiming().reset_s, 0)


def test_a_sigkill_counts_as_a_power_cut() -> None:
    cause, _, crashes = next_boot(-signal.SIGKILL, 5, 2, BoardTiming())
    assert (cause, crashes) == (ResetCause.POWER_ON, 0)


@given(st.integers(0, 2000), st.floats(0, 59))
def test_crash_back_off_grows_and_is_bounded(crashes: int, ran_s: float) -> None:
    _, wait_s, counted = next_boot(1, ran_s, crashes, BoardTiming())
    _, next_wait_s, _ = next_boot(1, ran_s, counted, BoardTiming())
    assert counted == crashes + 1
    assert wait_s <= next_wait_s <= BoardTiming().crash_longest_s


def test_a_node_that_ran_long_starts_its_back_off_anew() -> None:
    assert next_boot(1, 61, 7, BoardTiming())[1:] == (BoardTiming().crash_first_s, 1)


async def test_a_node_that_resets_boots_again_and_knows_why(tmp_path: Path) -> None:
    folder = make_node(
        tmp_path,
        "import sys, os\n"
        "print('cause', sys.argv[2], os.getcwd() == sys.argv[1] + '/flash')\n"
        "if sys.argv[2] == 'power on': sys.exit(3)\n"
        "import time; time.sleep(1000)\n",
    )
    task = asyncio.create_task(Board(folder, timing=TIMING).run())
    await until(lambda: "cause reset True" in console(folder))
    await stop(task)
    assert "cause power on True" in console(folder)
    assert json.loads((folder / "board.json").read_text())["state"] == "off"


async def test_a_node_that_crashes_is_restarted_and_its_traceback_kept(tmp_path: Path) -> None:
    folder = make_node(tmp_path, "raise ValueError('lamp fell off')\n")
    task = asyncio.create_task(Board(folder, timing=TIMING).run())
    await until(lambda: console(folder).count("ValueError: lamp fell off") >= 3)
    await stop(task)
    assert "cause watchdog" in console(folder)


async def test_power_cut_ends_the_process_and_the_node_boots_again(tmp_path: Path) -> None:
    folder = make_node(tmp_path, SLEEP_FOREVER)
    board = Board(folder, timing=TIMING)
    task = asyncio.create_task(board.run())
    await until(lambda: console(folder).count("Z up") == 1)
    first = board.pid
    board.power_cut()
    await until(lambda: console(folder).count("Z up") == 2)
    assert board.pid != first
    last = board.pid
    await stop(task)
    assert first is not None
    assert last is not None
    assert not is_running(first)
    assert not is_running(last)


async def test_a_node_that_stops_feeding_the_watchdog_is_reset(tmp_path: Path) -> None:
    folder = make_node(
        tmp_path,
        "import os, sys, time\n"
        "print('cause', sys.argv[2])\n"
        "if sys.argv[2] == 'power on':\n"
        "    open(int(os.getenv('POLEWARD_WATCHDOG_FD')), 'wb').write(b'\\n')\n"
        "time.sleep(1000)\n",
    )
    timing = BoardTiming(power_off_s=0.01, watchdog_s=0.2)
    task = asyncio.create_task(Board(folder, timing=timing).run())
    await until(lambda: "cause watchdog" in console(folder))
    await stop(task)
    assert "reset by the watchdog" in console(folder)


async def test_a_console_is_bounded(tmp_path: Path) -> None:
    folder = make_node(
        tmp_path,
        "import sys, time\n"
        "for _ in range(600): print('x' * 4000)\n"
        "print('y' * 20000)\n"
        "print('done')\n"
        "time.sleep(1000)\n",
    )
    task = asyncio.create_task(Board(folder, timing=TIMING).run())
    await until(lambda: "Z done" in console(folder))
    await stop(task)
    sizes = [path.stat().st_size for path in folder.glob("console*.log")]
    assert len(sizes) == 2
    assert max(sizes) < 1_100_000


async def test_the_heap_is_the_one_asked_for(tmp_path: Path) -> None:
    folder = make_node(
        tmp_path,
        "import gc, time\nprint('heap', gc.mem_free() + gc.mem_alloc())\ntime.sleep(1000)\n",
    )
    task = asyncio.create_task(Board(folder, heap_bytes=128 * 1024, timing=TIMING).run())
    await until(lambda: "heap" in console(folder))
    await stop(task)
    total = int(console(folder).split("heap ")[1].split()[0])
    assert 110 * 1024 < total <= 128 * 1024


async def test_a_host_follows_folders_and_switches(tmp_path: Path) -> None:
    first = make_node(tmp_path, SLEEP_FOREVER, "a")
    async with BoardHost(tmp_path) as host:
        assert await host.follow() == 1
        second = make_node(tmp_path, SLEEP_FOREVER, "b")
        (first / "off").touch()
        assert await host.follow() == 1
        await until(lambda: "Z up" in console(second))
        (first / "off").unlink()
        assert await host.follow() == 2
    states = [json.loads((node / "board.json").read_text())["state"] for node in (first, second)]
    assert states == ["off", "off"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_no_vm_outlives_its_host(tmp_path: Path, number: signal.Signals) -> None:
    folders = [make_node(tmp_path, SLEEP_FOREVER, name) for name in ("a", "b")]
    host = start_host(tmp_path)
    try:
        await until(lambda: all("Z up" in console(folder) for folder in folders))
        pids = [json.loads((folder / "board.json").read_text())["pid"] for folder in folders]
        assert all(is_running(pid) for pid in pids)
        host.send_signal(number)
        code = await asyncio.to_thread(host.wait, DEADLINE_S)
        await until(lambda: not any(is_running(pid) for pid in pids))
        assert code == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    finally:
        host.kill()
        host.wait()
