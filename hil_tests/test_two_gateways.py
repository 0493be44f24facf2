"""Replaced gateways, swapped nodes, moves and other keys: the street goes on by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil_tests.conftest import MakeNode, RigNode
from hil_tests.instruments.second_gateway import OtherGateway, other_gateway
from hil_tests.test_autonomy import follow, wait_level
from poleward_tools.cli.gateway_local import ask
from poleward_tools.demo.city import City
from poleward_tools.demo.story import lost_readings

pytestmark = [pytest.mark.system]

LEVEL = "lamp.level_percent"


def history(node: RigNode) -> list[tuple[int, float]]:
    """Return everything that is stored of a pole's lamp."""
    return node.city.client.query_readings(node.pole.code, LEVEL)


def wait_served_by(node: RigNode, gateway: str) -> None:
    node.wait_until(
        lambda: (node.view().gateway_name, node.view().link_state) == (gateway, "online"),
        f"online behind {gateway}",
        timeout_s=180,
    )


def obeys(node: RigNode, level: int) -> None:
    """Command a lamp through the gateway that serves it now, and see it there."""
    node.dim(level, duration_s=600)
    wait_level(node, level)


def served(gateway_dir: Path) -> set[int]:
    """Return the numbers of the nodes that a gateway knows."""
    return {int(node["node"]) for node in ask(gateway_dir, do="nodes")["nodes"]}


def bootstraps(node: RigNode) -> int:
    return node.console().count("bootstrapped")


def wait_other_keys(node: RigNode, before: int) -> None:
    node.wait_until(lambda: bootstraps(node) > before, "other keys", timeout_s=180)


def test_nodes_of_a_dead_gateway_are_served_by_its_replacement(
    city: City, make_node: MakeNode
) -> None:
    with other_gateway(city, "gw-quay") as dead:
        node = make_node(dead.coap, dead.name)
        node.wait_online()
        follow(node, 35)
        wait_level(node, 35)
        node.wait_reports(3)
        dead.program.kill()
        before = history(node)
        # Whoever mounts the new one gives it the place and the address of the old one.
        with other_gateway(city, "gw-quay-2", coap_port=dead.port) as successor:
            assert city.client.replace_gateway(dead.name, successor.name, "burnt out") == 1
            wait_served_by(node, successor.name)
            node.wait_reports(3)
            assert history(node)[: len(before)] == before
            missing = sum(c.last_sequence + 1 - c.reports for c in node.counts())
            assert missing <= dead.reports_on_disk(), "only what burnt with the old one"
            wait_level(node, 35)
            follow(node, 55)
            wait_level(node, 55)
            obeys(node, 80)


def test_a_swapped_node_leaves_the_pole_its_history_and_its_program(
    city: City, make_node: MakeNode, node: RigNode
) -> None:
    follow(node, 45)
    wait_level(node, 45)
    node.wait_reports(2)
    old_number = node.view().number
    before = history(node)
    spare = make_node(spare_for=node.pole)
    new_number = city.client.commission(
        mac=spare.board.mac,
        claim_code=spare.claim_code,
        pole_code=node.pole.code,
        report_interval_s=city.plan.report_interval_s,
        swap=True,
    )
    assert new_number != old_number
    spare.wait_until(lambda: "refused: 4.01" in node.console(), "the old node's keys are dead")
    spare.wait_online()
    assert spare.view().number == new_number
    stored = city.client.stored_counts([old_number])
    wait_level(spare, 45)
    spare.wait_reports(3)
    whole = history(spare)
    assert whole[: len(before)] == before
    assert whole[-1][1] == 45
    assert city.client.get_node(str(old_number)).life_state == "swapped_out"
    assert city.client.stored_counts([old_number]) == stored
    obeys(spare, 70)


@pytest.fixture
def harbour(city: City) -> Iterator[OtherGateway]:
    with other_gateway(city, "gw-harbour") as made:
        yield made


def test_a_node_moves_there_and_back_and_gets_other_keys_without_a_visit(
    city: City, harbour: OtherGateway, node: RigNode
) -> None:
    follow(node, 25)
    wait_level(node, 25)
    number = node.view().number
    centre = node.view().gateway_name
    for step, gateway in (
        ("move", harbour.name),
        ("rotate", harbour.name),
        ("move", centre),
        ("rotate", centre),
    ):
        target = gateway if step == "move" else ""
        before = bootstraps(node)
        city.client.take_node_step(step, [str(number)], gateway_name=target)
        wait_other_keys(node, before)
        wait_served_by(node, gateway)
        node.wait_reports(2)
    assert lost_readings(node.counts()) == 0
    assert len({count.boot for count in node.counts()}) == 1, "it never restarted"
    wait_level(node, 25)
    obeys(node, 65)
    assert number in served(city.gateway_dir)
    node.wait_until(lambda: number not in served(harbour.folder), "forgotten by the other one")
