"""Decisions of local rules and of a program's clock."""

import datetime
from zoneinfo import ZoneInfo

import pytest

from poleward_gateway.domain import rules
from poleward_gateway.domain.lighting import (
    Dim,
    EventTrigger,
    Group,
    Lighting,
    Place,
    Program,
    ReadingTrigger,
    node_program,
    utc_offsets,
)
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.rules import Happened


def happened(node: int, at_s: float, detail: str = "power_on") -> Happened:
    return Happened(NodeNumber(node), "node.rebooted", detail, at_s)


def test_power_is_back_when_enough_different_nodes_tell_in_time() -> None:
    trigger = EventTrigger("node.rebooted", "power_on", count=3, within_s=10)
    assert not rules.wants(trigger, happened(1, 0, "watchdog"))
    counted: tuple[Happened, ...] = ()
    for node, at_s, enough in ((1, 0, False), (1, 1, False), (2, 5, False), (3, 14, False),
                               (4, 14.5, True)):  # fmt: skip
        counted = rules.recent(trigger, counted, happened(node, at_s))
        assert rules.is_enough(trigger, counted) is enough, (node, at_s)


@pytest.mark.parametrize(("above", "sign"), [(False, 1), (True, -1)])
def test_threshold_counts_once_until_the_margin_was_left(above: bool, sign: int) -> None:
    trigger = ReadingTrigger("light", threshold=20 * sign, above=above, margin=5)
    past = False
    seen = []
    for value in (30, 19, 22, float("nan"), 24, 26, 19):
        past = rules.is_past(trigger, value * sign, past)
        seen.append(past)
    assert seen == [False, True, True, True, True, False, True]


def places(count: int) -> tuple[Place, ...]:
    return tuple(
        Place(NodeNumber(i), f"P-{i}", 31.0, 121.0 + i * 0.0005, "") for i in range(1, count + 1)
    )


def test_lamps_of_a_rule_go_back_one_after_the_other() -> None:
    lighting = Lighting(places=places(4), groups=(Group("g", (NodeNumber(4), NodeNumber(2))),))
    action = Dim(("g", "unknown"), 60, 30, 60, 2000)
    orders = rules.lamp_orders(lighting, action, NodeNumber(1))
    # 0.0005 degrees of longitude are 48 m there: node 2 is a neighbour, and comes once.
    assert [(order.node, order.duration_s) for order in orders] == [(2, 60), (4, 62)]
    for_ever = rules.lamp_orders(lighting, Dim(("g",), 0, 30, 0, 2000), NodeNumber(1))
    assert [order.duration_s for order in for_ever] == [0, 0]


@pytest.mark.parametrize("zone", ["Europe/London", "Asia/Shanghai", "America/New_York"])
def test_offset_and_its_next_change_are_the_zones(zone: str) -> None:
    moment = datetime.datetime(2026, 1, 10, 12, 34, 56, tzinfo=ZoneInfo(zone))
    now_s = int(moment.timestamp())
    offset_s, next_at_s, next_s = utc_offsets(zone, now_s)
    assert offset_s == moment.utcoffset().total_seconds()  # type: ignore[union-attr]
    if zone == "Asia/Shanghai":
        assert (next_at_s, next_s) == (0, 0)
        return
    for at_s, wanted_s in ((next_at_s - 1, offset_s), (next_at_s, next_s)):
        there = datetime.datetime.fromtimestamp(at_s, ZoneInfo(zone))
        assert there.utcoffset().total_seconds() == wanted_s  # type: ignore[union-attr]
    assert next_s == offset_s + 3600


def test_a_zone_nobody_knows_is_utc() -> None:
    assert utc_offsets("Nowhere/At_All", 1_790_000_000) == (0, 0, 0)


def test_name_of_a_nodes_program_changes_with_what_it_is_made_of() -> None:
    (place,) = places(1)
    program = Program("street", "Asia/Shanghai", "||S;R|100;0")
    one = node_program(program, place, 1_790_000_000)
    assert one == node_program(program, place, 1_790_003_600)
    assert node_program(Program("x", "Asia/Shanghai", "||S;R|90;0"), place, 0).name != one.name
    assert node_program(None, place, 0).name == ""
