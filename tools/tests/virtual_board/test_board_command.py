"""`poleward board run` as a program: what it says, how it ends, what it refuses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import MakeFlash

pytestmark = pytest.mark.system


def start(*arguments: str) -> subprocess.Popen[str]:
    program = "from poleward_tools.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "board", "run", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_board_says_where_it_is_and_leaves_nothing_when_stopped(
    make_flash: MakeFlash, tmp_path: Path
) -> None:
    link = tmp_path / "port"
    path = make_flash({"/main.py": b"while True: pass\n"})
    board = start("--flash", str(path), "--link", str(link), "--mac", "24ec4a000001", "--json")
    assert board.stdout
    about = json.loads(board.stdout.readline())
    assert about == {"port": str(link), "chip": "esp32", "mac": "24ec4a000001"}
    with link.open("rb", buffering=0) as port:
        shown = b""
        while b"Loaded app" not in shown:
            shown += port.read(4096)
    os.kill(board.pid, signal.SIGTERM)
    assert board.wait(20) == 0
    board.communicate()
    assert not link.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mac", "xyz"], "'xyz' is no address of 12 hex digits"),
        (["--flash-mib", "8"], "has 4194304 bytes, the chip has 8388608"),
        (["--chip", "esp8266"], "is not one of"),
    ],
)
def test_wrong_use_ends_with_code_2_and_a_reason(
    make_flash: MakeFlash, arguments: list[str], message: str
) -> None:
    board = start("--flash", str(make_flash({})), *arguments)
    _, errors = board.communicate(timeout=60)
    assert board.returncode == 2
    assert message in " ".join(errors.replace("│", " ").split())


def test_faults_are_told_to_a_running_board(make_flash: MakeFlash, tmp_path: Path) -> None:
    control = tmp_path / "control"
    board = start("--flash", str(make_flash({})), "--control", str(control))
    assert board.stdout
    assert board.stdout.readline().startswith("ESP32 24:ec:4a:")
    try:
        told = tell_board(control, "power=false")
        assert json.loads(told.stdout)["mode"] == "off"
        wrong = tell_board(control, "explode=true")
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "'explode' is none of power" in wrong.stderr
    finally:
        board.terminate()
        board.communicate(timeout=60)
    gone = tell_board(control, "state=true")
    assert gone.returncode == 3
    assert "no board answers" in gone.stderr


def tell_board(control: Path, command: str) -> subprocess.CompletedProcess[str]:
    program = "from poleward_tools.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "board", "tell", str(control), command, "--json"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
