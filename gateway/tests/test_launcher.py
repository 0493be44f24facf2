"""The launcher starts releases, tries them once and goes back, whatever they do.

A release is a folder with a shell script in the place of its interpreter.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from poleward_gateway.adapters.software import record_file
from poleward_gateway.adapters.storage.schema import SCHEMA_VERSION
from poleward_gateway.domain.software import (
    START_OTHER_EXIT,
    SoftwareRecord,
    confirm,
    try_next,
)
from poleward_gateway.domain.updates import NodeUpdate, UpdateState

DEADLINE_S = 120
FIRST, SECOND = b"1" * 32, b"2" * 32
Place = Callable[[bytes, str], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "software"


@pytest.fixture
def place(folder: Path) -> Place:
    """Put a release there that runs a script."""

    def put(release: bytes, script: str) -> None:
        python = folder / release.hex() / "environment" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\ncd {folder}\n{script}\n")
        python.chmod(0o700)
        (folder / release.hex() / "release.cbor").touch()

    return put


def command(folder: Path) -> list[str]:
    # What was installed by hand says what it is and ends.
    arguments = ["--data-dir", str(folder.parent), "about"]
    return [sys.executable, "-m", "poleward_gateway.launcher", *arguments]


def launch(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder), capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


def ran_installation(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode == 0 and json.loads(done.stdout)["schema"] == SCHEMA_VERSION


def test_without_releases_the_installation_runs(folder: Path) -> None:
    assert ran_installation(launch(folder))
    assert not folder.exists(), "there was nothing to write down"


@pytest.mark.parametrize(
    ("script", "trial_s", "why"),
    [
        ("exit 7", DEADLINE_S, "it ended with exit code 7 before it was confirmed"),
        ("kill -9 $$", DEADLINE_S, "it ended with exit code -9 before it was confirmed"),
        ("exec sleep 600", 1, "it did not prove itself within 1 s"),
    ],
)
def test_a_release_that_does_not_confirm_is_given_back(
    folder: Path, place: Place, script: str, trial_s: int, why: str
) -> None:
    place(FIRST, script)
    record_file.save(folder, try_next(SoftwareRecord(), FIRST, trial_s))
    assert ran_installation(launch(folder))
    assert record_file.load(folder).ended == NodeUpdate(FIRST, UpdateState.RETURNED, why)


def test_a_release_that_confirms_is_started_from_then_on(folder: Path, place: Place) -> None:
    # It writes what the gateway writes when it is healthy, then ends as one that is stopped.
    place(FIRST, "cp confirmed record.json; echo new")
    trial = try_next(SoftwareRecord(), FIRST, DEADLINE_S)
    record_file.save(folder, confirm(trial))
    (folder / "record.json").rename(folder / "confirmed")
    record_file.save(folder, trial)
    for _ in range(2):
        done = launch(folder)
        assert (done.returncode, done.stdout) == (0, "new\n"), done.stderr


def test_a_gateway_that_wants_another_release_is_followed_by_it(folder: Path, place: Place) -> None:
    place(FIRST, f"mv staged record.json; exit {START_OTHER_EXIT}")
    place(SECOND, "exit 7")
    running = SoftwareRecord(confirmed=FIRST)
    record_file.save(folder, try_next(SoftwareRecord(), SECOND, DEADLINE_S))
    (folder / "record.json").rename(folder / "staged")
    record_file.save(folder, running)
    assert ran_installation(launch(folder))
    ended = record_file.load(folder).ended
    assert ended is not None
    assert ended.release_digest == SECOND


def test_a_launcher_that_was_killed_during_a_trial_does_not_try_again(
    folder: Path, place: Place
) -> None:
    place(FIRST, "kill -9 $PPID; exec sleep 600")
    record_file.save(folder, try_next(SoftwareRecord(), FIRST, DEADLINE_S))
    assert launch(folder).returncode == -signal.SIGKILL
    assert ran_installation(launch(folder))
    ended = record_file.load(folder).ended
    assert ended is not None
    assert ended.reason == "it ended before it was confirmed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_launcher_that_ends_ends_its_gateway(
    folder: Path, place: Place, number: signal.Signals
) -> None:
    place(FIRST, "echo up; exec sleep 600")
    record_file.save(folder, SoftwareRecord(confirmed=FIRST))
    with subprocess.Popen(command(folder), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        os.kill(process.pid, number)
        # The pipe ends when the gateway has ended, too.
        assert process.stdout.read() == b""
        code = process.wait(DEADLINE_S)
    # A gateway that a signal ended is told by its number, as a shell does.
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 128 + signal.SIGTERM)
