"""The `poleward` command: results on standard output, one clear line on errors, exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from fake_fleet import RunningFleet
from poleward.v1 import inventory_service_pb2 as inventory
from poleward.v1 import release_service_pb2 as releases
from poleward.v1 import rollout_service_pb2 as rollouts
from poleward_tools.cli.main import app


def poleward(
    *arguments: str, fleet: RunningFleet | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("POLEWARD_")}
    if fleet is not None:
        variables |= {"POLEWARD_FLEET": fleet.url, "POLEWARD_TOKEN": fleet.token}
    return subprocess.run(
        [sys.executable, "-m", "poleward_tools", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=variables | {"COLUMNS": "200"} | environment,
    )


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL_COMMANDS = dict(commands(typer.main.get_command(app)))
SERVERS = {"fleet serve", "gateway serve", "board serve"}


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_every_command_shows_an_example_and_describes_its_options(name: str) -> None:
    command = ALL_COMMANDS[name]
    assert f"poleward {name}" in (command.help or "").partition("Example:")[2]
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


@pytest.mark.parametrize("name", sorted(set(ALL_COMMANDS) - SERVERS))
def test_every_command_that_ends_can_print_json(name: str) -> None:
    assert "--json" in [option for p in ALL_COMMANDS[name].params for option in p.opts]


def test_a_lamp_is_set_and_the_outcome_printed(fleet: RunningFleet) -> None:
    done = poleward("lamp", "set", "P1", "30", "--minutes", "2", "--json", fleet=fleet)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"] == {"status": "done", "detail": "", "elapsed_ms": 7}
    assert fleet.fake.lamp_requests[0].duration_s == 120


@pytest.mark.parametrize(("status", "code"), [("refused", 4), ("unreachable", 3), ("expired", 1)])
def test_a_lamp_that_was_not_set_shows_in_the_exit_code(
    fleet: RunningFleet, status: str, code: int
) -> None:
    fleet.fake.lamp = inventory.SetPoleLampResponse(status=status, detail="because")
    done = poleward("lamp", "set", "P1", "30", fleet=fleet)
    assert done.returncode == code
    assert "because" in done.stdout


def test_a_level_over_100_is_wrong_usage(fleet: RunningFleet) -> None:
    assert poleward("lamp", "set", "P1", "101", fleet=fleet).returncode == 2


def test_a_fleet_that_is_away_exits_3_with_one_line() -> None:
    done = poleward("node", "list", "--fleet", "http://127.0.0.1:1", "--token", "s." + "0" * 32)
    assert done.returncode == 3
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_profile_exits_2_and_says_what_to_do(tmp_path: Path) -> None:
    done = poleward("node", "list", XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == 2
    assert "poleward login" in done.stderr


def test_an_unexpected_error_is_one_line_unless_asked(tmp_path: Path) -> None:
    folder = tmp_path / "nodes"
    folder.mkdir()
    node = folder / "a"
    node.mkdir()
    # Without a flash: the rack cannot run it.
    (node / "board.json").write_text('{"chip": "esp32", "mac": "02504c000001"}')
    done = poleward("board", "serve", str(folder))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "POLEWARD_TRACE=1" in done.stderr
    assert "Traceback" in poleward("board", "serve", str(folder), POLEWARD_TRACE="1").stderr


def test_a_duration_of_more_than_a_week_is_wrong_usage(fleet: RunningFleet) -> None:
    done = poleward("lamp", "set", "P1", "30", "--minutes", "10081", fleet=fleet)
    assert done.returncode == 2
    assert "10080" in done.stderr


def test_poles_are_listed(fleet: RunningFleet) -> None:
    pole = inventory.Pole(code="P1", area_code="990000000000", equipment=["lamp"])
    fleet.fake.poles.append(inventory.PoleView(pole=pole))
    listed = poleward("pole", "list", "--json", fleet=fleet)
    assert json.loads(listed.stdout)["poles"][0]["pole"]["code"] == "P1"


def test_a_rollout_names_its_release_by_version(fleet: RunningFleet) -> None:
    fleet.fake.releases = [releases.Release(digest=b"\x01" * 32, version="1.1.0", sequence=2)]
    fleet.fake.rollout.state = "finished"
    done = poleward("rollout", "create", "1.1.0", "--wait", "--json", fleet=fleet)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["release_digest"] == "01" * 32


def test_releases_are_listed_for_people_and_programs(fleet: RunningFleet) -> None:
    fleet.fake.releases = [releases.Release(digest=b"\x01" * 32, version="1.1.0", sequence=2)]
    assert "010101010101" in poleward("release", "list", fleet=fleet).stdout
    (found,) = json.loads(poleward("release", "list", "--json", fleet=fleet).stdout)["releases"]
    assert (found["version"], found["sequence"], found["digest"]) == ("1.1.0", 2, "01" * 32)


def test_a_rollout_of_an_unknown_release_lists_what_there_is(fleet: RunningFleet) -> None:
    fleet.fake.releases = [releases.Release(digest=b"\x01" * 32, version="1.1.0", sequence=2)]
    done = poleward("rollout", "create", "9.9.9", fleet=fleet)
    assert done.returncode == 4
    assert "1.1.0" in done.stderr


def test_a_rollout_that_stopped_exits_1(fleet: RunningFleet) -> None:
    fleet.fake.releases = [releases.Release(digest=b"\x01" * 32, version="1.1.0", sequence=2)]
    fleet.fake.rollout.state = "stopped"
    assert poleward("rollout", "create", "1.1.0", "--wait", fleet=fleet).returncode == 1


def test_a_rollout_is_tried_with_waves_windows_and_limits(fleet: RunningFleet) -> None:
    fleet.fake.releases = [
        releases.Release(digest=bytes([n]) * 32, version=f"1.{n}.0", sequence=n) for n in (1, 2)
    ]
    done = poleward(
        "rollout", "create", "1.1.0", "--label", "pilot", "--pole", "P-1", "--also-later",
        "--wave", "3,wait=30m", "--wave", "10%,success=95,approve", "--jitter", "5m",
        "--window", "mon-fri 01:00-05:00", "--time-zone", "Asia/Shanghai", "--return-to", "1.2.0",
        "--silence", "10m", "--dry-run", fleet=fleet,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "43 nodes in 2 waves (3, 40)" in done.stdout
    assert "About 10 min" in done.stdout
    asked = fleet.fake.tried
    assert [(w.nodes, w.percent, w.wait_s) for w in asked.policy.waves] == [
        (3, 0, 1800), (0, 10, 0), (0, 0, 0),
    ]  # fmt: skip
    assert asked.policy.waves[1].needs_approval
    assert list(asked.policy.windows[0].weekdays) == [0, 1, 2, 3, 4]
    assert asked.policy.return_digest == b"\x02" * 32
    assert (asked.policy.trial_s, asked.policy.jitter_s) == (600, 300)
    assert list(asked.target.labels) == ["pilot"]
    assert asked.target.also_later


def test_a_rollout_with_a_wave_that_cannot_be_read_is_wrong_usage(fleet: RunningFleet) -> None:
    fleet.fake.releases = [releases.Release(digest=b"\x01" * 32, version="1.1.0", sequence=2)]
    done = poleward("rollout", "create", "1.1.0", "--wave", "many", fleet=fleet)
    assert done.returncode == 2
    assert "10%,success=95" in done.stderr


def test_a_rollout_is_listed_approved_and_reported_with_every_node(fleet: RunningFleet) -> None:
    fleet.fake.rollout.state = "proposed"
    fleet.fake.rollout.waits_for = "second_person"
    fleet.fake.rollout_nodes = [
        rollouts.RolloutNode(
            node_number=n, pole_code=f"P-{n}", state=state, wave=1,
            attempts=1 + (state == "failed"),
            reason="" if state == "confirmed" else f"why it {state}",
            since_ms=fleet.fake.rollout.created_at_ms + 1000 * n,
        )
        for n, state in enumerate(("failed", "timed_out", "confirmed", "confirmed", "failed"))
    ]  # fmt: skip
    assert "second person" in poleward("rollout", "list", fleet=fleet).stdout
    assert "waits for second person" in poleward("rollout", "show", "1", fleet=fleet).stdout
    assert poleward("rollout", "approve", "1", fleet=fleet).returncode == 0
    assert fleet.fake.rollout.state == "running"
    done = poleward("rollout", "report", "1", "--json", fleet=fleet)
    told = json.loads(done.stdout)
    assert len(told["nodes"]) == 5
    assert (told["summary"]["duration_s"], told["summary"]["asked_again"]) == (4, 2)
    assert told["summary"]["reasons"][0] == {
        "state": "failed", "reason": "why it failed", "nodes": 2,
    }  # fmt: skip
    done = poleward("rollout", "report", "1", "--state", "failed", fleet=fleet)
    assert "P-4" in done.stdout
    assert "P-2" not in done.stdout


def test_login_checks_the_token_and_keeps_it(fleet: RunningFleet, tmp_path: Path) -> None:
    admin = tmp_path / "admin.json"
    admin.write_text(json.dumps({"user": "admin", "password": "x", "api_token": fleet.token}))
    home = str(tmp_path / "config")
    done = poleward("login", fleet.url, "--admin-file", str(admin), "--yes", XDG_CONFIG_HOME=home)
    assert done.returncode == 0, done.stderr
    assert poleward("node", "list", XDG_CONFIG_HOME=home).returncode == 0


def test_login_with_a_wrong_token_keeps_nothing(fleet: RunningFleet, tmp_path: Path) -> None:
    home = str(tmp_path / "config")
    done = poleward("login", fleet.url, "--token", "s." + "0" * 32, "--yes", XDG_CONFIG_HOME=home)
    assert done.returncode == 4
    assert not (tmp_path / "config").exists()


def test_benchmarks_are_listed_and_an_unknown_one_is_wrong_usage() -> None:
    assert "node-report" in poleward("bench", "--list").stdout
    done = poleward("bench", "no-such")
    assert done.returncode == 2
    assert "node-report" in done.stderr
