"""The rack runs boards of a folder, breaks and mends them on command, and leaves nothing behind."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from poleward_tools.flash_image.node_image import prepare_software
from poleward_tools.flash_image.node_nvs import Trust, new_identity
from poleward_tools.virtual_board.application import GUEST_HEAP_BYTES
from poleward_tools.virtual_board.control import ControlError, tell
from poleward_tools.virtual_board.node_folder import NodeFolder, ProductionRun
from poleward_tools.virtual_board.rack import Rack
from poleward_tools.virtual_board.stand_ins import stand_in_firmware
from poleward_tools.virtual_board.surroundings import Surroundings

pytestmark = pytest.mark.system

DEADLINE_S = 60.0
SLEEP_FOREVER = "import time\nprint('up')\ntime.sleep(1000)\n"


def make_board(parent: Path, main: str, number: int = 1) -> NodeFolder:
    files = {"main.py": main.encode()}
    software = prepare_software(stand_in_firmware("esp32"), files)
    run = ProductionRun(software, Trust("coap://127.0.0.1:5683", (bytes(32),)))
    surroundings = Surroundings(seed=number, lamp_nominal_w=90, air=b"PWAS")
    mac = b"\x02\x50\x4c" + number.to_bytes(3, "big")
    return NodeFolder.make(parent, new_identity(mac), surroundings, run)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - other processes set no Event
            await asyncio.sleep(0.01)


def console(board: NodeFolder) -> str:
    return board.console.read_text() if board.console.exists() else ""


def children_of(pid: int) -> set[int]:
    """List the processes below one, however deep."""
    below = {pid}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal():
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(parent) in below and state != "Z":
                    below.add(int(entry.name))
    return below - {pid}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_rack_follows_folders_and_each_board_has_port_control_and_log(
    tmp_path: Path,
) -> None:
    first = make_board(tmp_path, SLEEP_FOREVER, 1)
    async with Rack(tmp_path) as rack:
        assert await rack.follow() == 1
        second = make_board(tmp_path, SLEEP_FOREVER, 2)
        assert await rack.follow() == 2
        await until(lambda: all("Z up" in console(board) for board in (first, second)))
        assert "rst:0x1 (POWERON_RESET)" in console(first)
        assert first.port.is_symlink()
        assert (await tell(second.control, {"state": True}))["mode"] == "running"
        for file in sorted(first.path.iterdir(), reverse=True):
            file.unlink()
        first.path.rmdir()
        assert await rack.follow() == 1
    assert not second.control.exists()
    assert not second.port.is_symlink()


async def test_power_and_resets_are_told_apart(tmp_path: Path) -> None:
    board = make_board(
        tmp_path,
        "import machine, time\n"
        "print('cause', machine.reset_cause())\n"
        "if machine.reset_cause() == machine.HARD_RESET: time.sleep(1000)\n"
        "time.sleep(0.01)\n"
        "if machine.reset_cause() == machine.PWRON_RESET: machine.reset()\n",
    )
    async with Rack(tmp_path) as rack:
        await rack.follow()
        await until(lambda: "cause 2" in console(board))
        assert (await tell(board.control, {"power": False}))["mode"] == "off"
        starts = (await tell(board.control, {"state": True}))["starts"]
        await tell(board.control, {"power": True})
        await until(lambda: console(board).count("cause 2") == 2)
        await tell(board.control, {"power_cut": True})
        await until(lambda: console(board).count("cause 2") == 3)
        state = await tell(board.control, {"state": True})
        assert state["starts"] == starts + 4
        assert state["reset_reason"] == "SW_CPU_RESET"


async def test_a_hanging_board_is_reset_by_its_watchdog(tmp_path: Path) -> None:
    board = make_board(
        tmp_path,
        "import machine\n"
        "print('cause', machine.reset_cause())\n"
        "watchdog = machine.WDT(timeout=500)\n"
        "while True: watchdog.feed()\n",
    )
    async with Rack(tmp_path) as rack:
        await rack.follow()
        await until(lambda: "cause 1" in console(board))
        await tell(board.control, {"hang": True})
        await until(lambda: "cause 3" in console(board))
    assert "TG1WDT_SYS_RESET" in console(board)


async def test_the_guest_sees_its_surroundings_and_their_changes(tmp_path: Path) -> None:
    board = make_board(
        tmp_path,
        "import surroundings, time\n"
        "print('watts', surroundings.setting('lamp_nominal_w'), surroundings.air(0, 9))\n"
        "while not surroundings.setting('lamp_is_broken'): time.sleep_ms(5)\n"
        "print('dark')\n"
        "try: surroundings.setting('moon')\n"
        "except KeyError as error: print('no', error)\n",
    )
    async with Rack(tmp_path) as rack:
        await rack.follow()
        await until(lambda: "watts 90 b'PWAS'" in console(board))
        with pytest.raises(ControlError, match="lamp_is_broken is a bool, not 1"):
            await tell(board.control, {"surroundings": {"lamp_is_broken": 1}})
        await tell(board.control, {"surroundings": {"lamp_is_broken": True}})
        await until(lambda: "dark" in console(board))
        await until(lambda: "no moon" in console(board))


async def test_a_console_log_is_bounded(tmp_path: Path) -> None:
    board = make_board(
        tmp_path,
        "for _ in range(600): print('x' * 4000)\nprint('y' * 20000)\nprint('done')\n",
    )
    async with Rack(tmp_path) as rack:
        await rack.follow()
        await until(lambda: "Z done" in console(board))
    sizes = [path.stat().st_size for path in board.path.glob("console*.log")]
    assert len(sizes) == 2
    assert max(sizes) < 1_100_000


async def test_the_heap_is_the_one_asked_for(tmp_path: Path) -> None:
    board = make_board(tmp_path, "import gc\nprint('heap', gc.mem_free() + gc.mem_alloc())\n")
    async with Rack(tmp_path, heap_bytes=128 * 1024) as rack:
        await rack.follow()
        await until(lambda: "heap" in console(board))
    total = int(console(board).split("heap ")[1].split()[0])
    assert 110 * 1024 < total - GUEST_HEAP_BYTES <= 128 * 1024


def start_rack(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "poleward_tools", "board", "serve", str(folder)],
        env={**os.environ, "POLEWARD_TRACE": "1"},
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_no_vm_outlives_its_rack(tmp_path: Path, number: signal.Signals) -> None:
    boards = [make_board(tmp_path, SLEEP_FOREVER, n) for n in (1, 2)]
    rack = start_rack(tmp_path)
    try:
        await until(lambda: all("Z up" in console(board) for board in boards))
        pids = children_of(rack.pid)
        assert len(pids) == 3  # two boards and what they were forked from
        rack.send_signal(number)
        code = await asyncio.to_thread(rack.wait, DEADLINE_S)
        await until(lambda: not any(is_running(pid) for pid in pids))
        assert code == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    finally:
        rack.kill()
        rack.wait()


def test_a_folder_that_is_not_understood_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "board.json").write_text(json.dumps({"chip": "z80", "mac": "00"}))
    done = subprocess.run(
        [sys.executable, "-m", "poleward_tools", "board", "serve", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "is no board's folder" in done.stderr
    assert "Traceback" not in done.stderr
