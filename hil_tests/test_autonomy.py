"""Lamps that run by themselves: programs, groups, rules, calls, with the fleet there and away."""

import json
import subprocess
import sys
import time
from functools import partial
from typing import Any

import pytest

from hil_tests.conftest import COMMAND_S, DEADLINE_S, MakeNode, RigNode
from hil_tests.test_main_path import new_release, roll_out, wait_ended
from poleward_tools.demo.city import City

pytestmark = [pytest.mark.system]


def level_is(node: RigNode, level: int) -> bool:
    return node.value("lamp.level_percent") == level


def wait_level(node: RigNode, level: int) -> None:
    node.wait_until(partial(level_is, node, level), f"lamp at {level} %")


def local(city: City, *arguments: str) -> dict[str, Any]:
    """Ask the gateway at its own machine, as a person there would."""
    done = subprocess.run(
        [
            sys.executable, "-m", "poleward_tools", "gateway", "local", *arguments,
            "--data", str(city.gateway_dir), "--json",
        ],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def local_level(city: City, node: RigNode, level: int) -> str:
    """Dim a lamp through the gateway's own console; returns the outcome."""
    answer = local(city, "dim", str(level), "--node", node.pole.code)
    return str(answer["outcomes"][0]["status"])


def local_update(node: RigNode) -> str:
    """Ask the gateway's own console how far its node is with a release."""
    found = {entry["endpoint"]: entry for entry in local(node.city, "nodes")["nodes"]}
    return str(found[f"urn:dev:mac:{node.board.mac.hex()}"]["update"])


def follow(node: RigNode, level: int) -> str:
    """Give a pole a program of one level, from noon to noon; returns its name."""
    name = f"{node.pole.code}-{level}"
    lighting = node.city.client.lighting
    lighting.put_program(name, time_zone="Asia/Shanghai", rules=f"||12:00|{level}")
    lighting.assign_program(name, pole_codes=[node.pole.code])
    return name


def test_a_node_follows_its_program_through_a_power_cut(node: RigNode) -> None:
    name = follow(node, 35)
    wait_level(node, 35)
    views = node.city.client.lighting.overview()["programs"]
    view = next(view for view in views if view["program"]["name"] == name)
    assert (view["assigned"], view["followed"]) == (1, 1)
    node.power_cut()
    node.wait_until(lambda: len(node.counts()) == 2, "reports of the second boot")
    wait_level(node, 35)
    follow(node, 60)
    wait_level(node, 60)


def test_an_override_gives_way_to_the_program(node: RigNode) -> None:
    follow(node, 40)
    wait_level(node, 40)
    node.dim(90, duration_s=6)
    readings = partial(node.city.client.query_readings, node.pole.code, "lamp.level_percent")
    node.wait_until(lambda: 90 in [level for _, level in readings()], "reports of the override")
    wait_level(node, 40)


def test_a_group_is_dimmed_with_one_order_and_a_scene_starts_at_its_time(
    make_node: MakeNode,
) -> None:
    nodes = [make_node(), make_node()]
    for node in nodes:
        node.wait_online()
    client = nodes[0].city.client
    codes = [node.pole.code for node in nodes]
    client.lighting.put_group("hil-group", codes)
    outcomes = client.lighting.dim_group("hil-group", 25, timeout_s=COMMAND_S)
    assert [(o.pole_code, o.status) for o in outcomes] == [(code, "done") for code in codes]
    for node in nodes:
        wait_level(node, 25)
    client.lighting.put_scene("hil-scene", [("hil-group", 75, 300)])
    starts_at_s = int(time.time()) + 6
    outcomes = client.lighting.run_scene("hil-scene", starts_at_s=starts_at_s, timeout_s=COMMAND_S)
    assert {outcome.status for outcome in outcomes} == {"done"}
    assert all(level_is(node, 25) for node in nodes) or time.time() >= starts_at_s - 1
    for node in nodes:
        wait_level(node, 75)
    assert time.time() >= starts_at_s - 1


def test_a_call_lights_the_street_with_the_fleet_away_and_only_an_operator_ends_it(
    make_node: MakeNode,
) -> None:
    caller, other = make_node(), make_node()
    city, client = caller.city, caller.city.client
    for node in (caller, other):
        node.wait_online()
        follow(node, 10)
        wait_level(node, 10)
    client.lighting.put_group("hil-street", [other.pole.code])
    client.lighting.put_rule(
        {
            "name": "hil-call", "event": {"kind": "sos.pressed"},
            "actions": [
                {"dim": {"groups": ["hil-street"], "level_percent": 100, "duration_s": 600}},
                {"tell": {"kind": "camera.preset", "detail": "sos"}},
            ],
        }
    )  # fmt: skip
    caller.wait_until(lambda: "hil-call" in local(city, "status")["rules"], "rule at the gateway")
    city.fleet.kill()
    try:
        caller.tell(press_button=True)
        # How fast is a benchmark's business; here nobody but the node has to be there for it.
        caller.wait_until(
            lambda: "emergency call, light after" in caller.console(), "light with the fleet away"
        )
    finally:
        city.start_fleet_again()
    wait_level(caller, 100)
    wait_level(other, 100)
    roll_out(caller, new_release(city))
    caller.power_cut()
    caller.wait_until(lambda: len(caller.counts()) == 2, "reports of the second boot")
    wait_level(caller, 100)
    assert caller.view().bundle_version == "1.0.0", "no update while a call is active"
    assert client.lighting.answer_call(caller.pole.code, reset=False).status == "done"
    assert client.lighting.answer_call(caller.pole.code, reset=True).status == "done"
    wait_level(caller, 10)
    caller.wait_until(lambda: caller.view().bundle_version != "1.0.0", "updated after the call")
    client.lighting.remove("rule", "hil-call")


def test_the_gateway_alone_dims_and_tells_and_the_fleet_learns_of_it(node: RigNode) -> None:
    city = node.city
    follow(node, 50)
    wait_level(node, 50)
    city.fleet.kill()
    try:
        assert local_level(city, node, 20) == "done"
        known = {entry["pole"]: entry for entry in local(city, "nodes")["nodes"]}
        assert known[node.pole.code]["link"] == "online"
        city.gateway.kill()
        city.start_gateway_again()
        # It was restarted without a fleet: what it needs is on its disk.
        node.wait_until(lambda: local_level(city, node, 30) == "done", "lamp from the console")
        assert local(city, "status")["programs"]
    finally:
        city.start_fleet_again()
    wait_level(node, 30)


def test_lamps_light_when_it_gets_dark_with_the_fleet_away(make_node: MakeNode) -> None:
    watcher, lamp = make_node(), make_node()
    city, lighting = watcher.city, watcher.city.client.lighting
    for node in (watcher, lamp):
        node.wait_online()
    follow(lamp, 10)
    wait_level(lamp, 10)
    lighting.put_group("hil-dark", [lamp.pole.code])
    lighting.put_rule(
        {
            "name": "hil-dark-day",
            "reading": {"metric": "air.illuminance_lx", "threshold": 30, "margin": 10},
            "actions": [{"dim": {"groups": ["hil-dark"], "level_percent": 80, "duration_s": 600}}],
        }
    )
    watcher.wait_until(
        lambda: "hil-dark-day" in local(city, "status")["rules"], "rule at the gateway"
    )
    watcher.wait_until(
        lambda: (watcher.value("air.illuminance_lx") or 0) > 9000, "daylight in the fleet"
    )
    city.fleet.kill()
    try:
        watcher.tell(surroundings={"illuminance_lx": 20})
        lamp.wait_until(
            lambda: any(
                "rule_fired" in line and "hil-dark-day" in line
                for line in city.gateway.log.read_text(encoding="utf-8").splitlines()
            ),
            "rule fired by the gateway",
        )
    finally:
        city.start_fleet_again()
    wait_level(lamp, 80)
    watcher.wait_until(
        lambda: (watcher.value("air.illuminance_lx") or 100) < 30, "dusk in the fleet"
    )
    lighting.remove("rule", "hil-dark-day")


def test_the_gateway_serves_a_release_it_already_has_with_the_fleet_away(
    make_node: MakeNode,
) -> None:
    first, second = make_node(), make_node()
    for node in (first, second):
        node.wait_online()
    city = first.city
    release = new_release(city)
    assert wait_ended(first, roll_out(first, release)).counts.get("confirmed") == 1
    # The other one shall have it too, and has no power while there is a fleet to ask.
    second.switch_off()
    number = roll_out(second, release)
    second.wait_until(lambda: local_update(second) != "", "release wanted at the gateway")
    city.fleet.kill()
    try:
        second.tell(power=True)
        second.wait_until(
            lambda: local_update(second) == "confirmed", "confirmed at the gateway", 2 * DEADLINE_S
        )
    finally:
        city.start_fleet_again()
    second.wait_until(
        lambda: second.view().bundle_version == release.version,
        "known in the fleet",
        2 * DEADLINE_S,
    )
    assert wait_ended(second, number).counts.get("confirmed") == 1
