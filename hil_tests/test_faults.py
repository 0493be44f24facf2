"""Crashes, taken ports and missing peers: clear messages, nothing lost."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hil_tests.conftest import DEADLINE_S, RigNode
from poleward_tools.demo.city import City
from poleward_tools.demo.story import lost_readings

pytestmark = [pytest.mark.system]


def poleward(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "poleward_tools", *arguments],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("POLEWARD")},
    )  # fmt: skip


def test_a_gateway_that_is_killed_while_nodes_report_loses_nothing(node: RigNode) -> None:
    city = node.city
    node.wait_reports(2)
    for _ in range(3):
        city.gateway.kill()
        city.start_gateway_again()
        node.wait_reports(2)
    node.wait_until(lambda: lost_readings(node.counts()) == 0, "no gap")
    boots = node.counts()
    assert len(boots) == 1, "the node needed no reboot"


def test_a_fleet_that_is_killed_while_nodes_report_loses_nothing(node: RigNode) -> None:
    city = node.city
    node.wait_reports(2)
    city.fleet.kill()
    city.start_fleet_again()
    node.wait_reports(4)
    node.wait_until(lambda: lost_readings(node.counts()) == 0, "no gap")


def test_a_node_whose_power_is_cut_comes_back_and_loses_nothing_acknowledged(node: RigNode) -> None:
    node.wait_reports(3)
    node.power_cut()
    node.wait_until(lambda: len(node.counts()) == 2, "reports of the second boot")
    node.wait_until(lambda: lost_readings(node.counts()) == 0, "no gap")


def test_the_fleet_names_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = poleward(
            "fleet", "serve", "--data", str(tmp_path / "fleet"), "--web-port", port,
            "--api-port", "0", "--link-port", "0",
        )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert port in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_a_gateway_names_a_port_that_is_taken(city: City) -> None:
    # The city's own gateway has it.
    port = city.coap.rpartition(":")[2]
    done = poleward("gateway", "serve", "--data", str(city.gateway_dir), "--coap-port", port)
    assert done.returncode == 2, done.stderr
    assert port in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    city.check()


def test_a_database_that_does_not_answer_is_named(tmp_path: Path) -> None:
    done = poleward(
        "fleet", "serve", "--data", str(tmp_path / "fleet"), "--web-port", "0", "--api-port", "0",
        "--link-port", "0", "--database-url", "postgresql://poleward@127.0.0.1:1/poleward",
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "127.0.0.1:1" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_an_enrolment_token_works_once(city: City, tmp_path: Path) -> None:
    token = city.client.create_enrollment_token(gateway_name="gw-second", area_code="990000000000")
    arguments = ("gateway", "enroll", "--fleet", city.web, "--token", token, "--json")
    first = poleward(*arguments, "--data", str(tmp_path / "one"))
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["gateway"] == "gw-second"
    second = poleward(*arguments, "--data", str(tmp_path / "two"))
    assert second.returncode == 4, second.stderr


def test_enrolling_at_a_fleet_that_is_away_says_so(city: City, tmp_path: Path) -> None:
    token = city.client.create_enrollment_token(gateway_name="gw-third", area_code="990000000000")
    done = poleward(
        "gateway", "enroll", "--fleet", "http://127.0.0.1:1", "--token", token,
        "--data", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 3, done.stderr


def test_a_token_of_another_fleet_is_refused(city: City, tmp_path: Path) -> None:
    done = poleward(
        "gateway", "enroll", "--fleet", city.web, "--token", "x." + "0" * 32,
        "--data", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 4, done.stderr


def test_a_gateway_that_is_not_enrolled_says_what_to_do(tmp_path: Path) -> None:
    done = poleward("gateway", "serve", "--data", str(tmp_path), "--coap-port", "0")
    assert done.returncode == 2, done.stderr
    assert "enroll" in done.stderr + done.stdout


def test_a_node_on_a_bad_link_with_a_new_address_loses_nothing(node: RigNode) -> None:
    node.wait_reports(1)
    node.tell(link={"loss": 0.2, "duplicate": 0.2, "reorder": 0.2, "latency_ms": 20})
    node.wait_reports(3)
    node.tell(nat_rebind=True)
    node.wait_reports(3)
    state = node.tell(link=None)
    assert state["datagrams_lost"] > 0
    node.wait_until(lambda: lost_readings(node.counts()) == 0, "no gap")
    # Where the node is reached follows from where it was heard last.
    node.dim(40)
    assert len(node.counts()) == 1, "the node needed no reboot"


def test_a_lamp_that_breaks_while_the_node_runs_draws_no_power(node: RigNode) -> None:
    node.dim(80)
    node.wait_until(lambda: (node.value("supply.active_power_w") or 0) > 10, "lit")
    node.tell(surroundings={"lamp_is_broken": True})
    node.wait_until(lambda: (node.value("supply.active_power_w") or 9) < 1, "dark")
    node.wait_until(lambda: node.value("lamp.level_percent") == 80, "still told to be lit")
