"""`poleward demo` as a newcomer runs it, and what it leaves behind."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system]

DEADLINE_S = 180.0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder in which another account can run the demo's database; not below pytest's."""
    with tempfile.TemporaryDirectory(prefix="poleward-tests-") as name:
        yield Path(name)


def processes_of(folder: Path) -> list[int]:
    """Find every process whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def nothing_is_left(folder: Path) -> bool:
    give_up_at = time.monotonic() + DEADLINE_S
    while processes_of(folder):
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.1)
    return True


@contextlib.contextmanager
def start_demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [
            sys.executable, "-m", "poleward_tools", "demo", "--poles", "2",
            "--report-interval-s", "1", "--web-port", "0", "--data", str(folder), *arguments,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("POLEWARD")},
    ) as demo:  # fmt: skip
        try:
            yield demo
        finally:
            demo.kill()


def test_the_scripted_story_holds_and_prints_its_figures(open_folder: Path) -> None:
    folder = open_folder / "city"
    with start_demo(folder, "--once", "--json") as demo:
        out, err = demo.communicate(timeout=2 * DEADLINE_S)
    assert demo.returncode == 0, err
    figures = json.loads(out)
    assert list(figures) == [
        "poles", "registered", "readings_stored", "readings_lost", "command_ms", "ota_confirmed",
        "bad_release_refused", "seconds",
    ]  # fmt: skip
    assert (figures["poles"], figures["registered"], figures["ota_confirmed"]) == (2, 2, 2)
    assert figures["readings_stored"] > 0
    assert figures["readings_lost"] == 0
    assert figures["command_ms"] > 0
    assert figures["bad_release_refused"] is True
    assert nothing_is_left(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running_however_the_demo_ends(
    open_folder: Path, number: signal.Signals
) -> None:
    folder = open_folder / "city"
    with start_demo(folder) as demo:
        give_up_at = time.monotonic() + DEADLINE_S
        # In the middle: the database and the fleet run, nodes are about to.
        while not (folder / "gateway" / "run" / "gateway.json").exists():
            assert demo.poll() is None
            assert time.monotonic() < give_up_at
            time.sleep(0.05)
        demo.send_signal(number)
        demo.communicate(timeout=DEADLINE_S)
        assert nothing_is_left(folder)


def test_a_city_that_is_started_again_reports_again_and_its_hints_can_be_copied(
    open_folder: Path,
) -> None:
    folder = open_folder / "two words"
    for _ in range(2):
        with start_demo(folder) as demo:
            assert demo.stdout is not None
            # It says so only after every node has been heard in this run.
            hints = []
            for line in demo.stdout:
                hints.append(line.strip())
                if hints[-1].startswith("Ctrl-C"):
                    break
            assert hints, demo.communicate(timeout=DEADLINE_S)
            (login,) = [line for line in hints if line.startswith("poleward login")]
            assert str(folder / "fleet" / "admin.json") in shlex.split(login)
            demo.send_signal(signal.SIGINT)
            _, err = demo.communicate(timeout=DEADLINE_S)
            assert demo.returncode == 0, err
    assert nothing_is_left(folder)
