"""`poleward rig check` as a CI engineer runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RIGS = Path(__file__).with_name("rigs")

pytestmark = pytest.mark.system


def rig_check(env: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "poleward_tools", "rig", "check", "--env", str(env), "--json"],
        # Elsewhere, so that only the rig's file can lead to its drivers.
        cwd="/", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_virtual_rig_is_good() -> None:
    done = rig_check(RIGS / "virtual.yaml")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["is_good"]
    checks = [finding["check"] for finding in told["findings"]]
    assert checks == ["clock"] + ["port", "power", "sync", "link"] * 3


def test_a_bench_without_its_board_names_the_port() -> None:
    done = rig_check(RIGS / "bench.yaml")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    failed = [found for found in json.loads(done.stdout)["findings"] if not found["is_good"]]
    assert [(found["board"], found["check"]) for found in failed] == [("main", "port")]
    assert "/dev/serial/by-path/" in failed[0]["text"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no rig file"),
        ("targets: [", "configuration file"),
        ("targets:\n  main: {}\n", "rig_drivers.py"),
    ],
)
def test_a_rig_file_that_cannot_be_used_is_a_usage_error(
    tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "rig.yaml"
    if text is not None:
        path.write_text(text)
    done = rig_check(path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
