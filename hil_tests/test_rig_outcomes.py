"""What pytest reports of tests on boards: error or failure, flakes, quarantine, each in a run."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

CONFTEST = """
import datetime
from pathlib import Path
from hil_tests.instruments.outcomes import Outcomes
from hil_tests.instruments.quarantine import Quarantine

def pytest_configure(config):
    config.addinivalue_line("markers", "board: on a board")
    here = Path(__file__).parent
    listed = Quarantine.load(here / "quarantine.toml", datetime.date(2026, 11, 21))
    config.pluginmanager.register(Outcomes(listed, here / "artefacts"))
"""
TESTS = """
import pytest
from hil_tests.instruments.errors import BoardError, InfrastructureError

pytestmark = pytest.mark.board
runs = []
started = []

@pytest.fixture(scope="session")
def shared():
    started.append(1)

@pytest.fixture
def lease():
    runs.append(1)

@pytest.fixture
def no_port():
    raise InfrastructureError("no port: /dev/nothing")

def test_good(shared): pass

def test_bad(): raise BoardError("no boot")

def test_rig_broken_in_the_middle(): raise InfrastructureError("no power")

def test_rig_broken_behind_another_error():
    try:
        raise InfrastructureError("no sync")
    except InfrastructureError as error:
        raise RuntimeError("cannot go on") from error

def test_rig_broken_at_the_start(no_port): pass

def test_flaky(lease, shared):
    assert len(runs) > 1, "the first time"

def test_known():
    assert 0

def test_known_until_yesterday():
    assert 0

def test_what_is_shared_was_started_once(shared):
    assert len(started) == 1
"""
QUARANTINE = """
[[quarantined]]
test = "test_boards.py::test_known"
owner = "a@example.org"
reason = "loses a byte"
expires = 2026-11-21

[[quarantined]]
test = "test_boards.py::test_known_until_yesterday"
owner = "b@example.org"
reason = "was said to be mended"
expires = 2026-11-20
"""


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "distributed"])
def test_outcomes_are_told_apart(tmp_path: Path, workers: list[str]) -> None:
    for name, text in (
        ("conftest.py", CONFTEST), ("test_boards.py", TESTS), ("quarantine.toml", QUARANTINE),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\npythonpath = {ROOT} {ROOT}/tools {ROOT}/protos {ROOT}/protos/gen\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "--junitxml=junit.xml", *workers],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    shown = done.stdout
    assert done.returncode == 1, shown
    assert "2 failed, 3 passed, 1 xfailed, 3 errors" in shown
    for line in (
        "FAILED test_boards.py::test_bad",
        "FAILED test_boards.py::test_known_until_yesterday",
        "ERROR test_boards.py::test_rig_broken_in_the_middle",
        "ERROR test_boards.py::test_rig_broken_behind_another_error",
        "ERROR test_boards.py::test_rig_broken_at_the_start",
        "XFAIL test_boards.py::test_known - quarantined until 2026-11-21 by a@example.org",
        "PASSED test_boards.py::test_flaky",
        "1 flaky on boards: passed after a power-cycle",
        "quarantine of test_boards.py::test_known_until_yesterday expired on 2026-11-20",
    ):
        assert line in shown, shown
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("errors"), suite.get("failures")) == ("3", "2")
    flaky = next(case for case in suite.iter("testcase") if case.get("name") == "test_flaky")
    assert [found.get("name") for found in flaky.iter("property")] == ["flake"]
