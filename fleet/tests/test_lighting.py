"""Lighting: rules, rights, what gateways get, orders to groups."""

import asyncio
import datetime
from zoneinfo import ZoneInfo

import pytest

from fleet_rig import ADMIN, DISTRICT, OTHER_DISTRICT, FakeGateway, Rig, make_gateway, make_poles
from poleward.v1 import gateway_link_service_pb2 as link_pb
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.commands import CommandStatus, SetLamp
from poleward_fleet.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from poleward_fleet.domain.inventory import Pole
from poleward_fleet.domain.lighting import (
    Dim,
    EventTrigger,
    Group,
    LightingKind,
    Program,
    Rule,
    Scene,
    ScenePart,
    Tell,
)
from poleward_fleet.domain.lighting_rules import night_of, read_rules

STREET = Program(
    "street",
    "Asia/Shanghai",
    "|* * 5,6|S;23:30;R|100;70;0\n||S;22:00;05:00;R|100;50;80;0",
)
CALL = Rule(
    "call",
    EventTrigger("sos.pressed"),
    (Dim((), 60, 100, 600), Tell("camera.preset", "sos")),
)


def test_rules_are_refused_with_the_line_that_is_wrong() -> None:
    for text, wrong in (
        ("||S;R|100", "2 times"), ("|S|1", "four fields"), ("||25:00|1", "hour"),
        ("||S|101", "level"), ("|* *|S|1\n||S|1", "three fields"), ("|* 13 *|S|1\n||S|1", "12"),
        ("2026-02-30||S|1\n||S|1", "day"), ("--01-01~2026-01-01||S|1\n||S|1", "both dates"),
        ("||S+999|1", "six hours"), ("", "four fields"), ("|* * 1|S|1", "every night"),
    ):  # fmt: skip
        with pytest.raises(InvalidError, match=wrong):
            read_rules(text)


def test_night_beyond_the_polar_circle() -> None:
    rules = read_rules("||S;R|100;0")
    for month, hours in ((6, 0), (12, 24)):
        night = night_of(
            rules,
            evening=datetime.date(2026, month, 21),
            zone=ZoneInfo("UTC"),
            latitude_deg=75.0,
            longitude_deg=0.0,
        )
        dark_h = (night.sunrise - night.sunset).total_seconds() / 3600
        assert dark_h == pytest.approx(hours, abs=0.1)


async def test_gateway_lighting_holds_what_its_nodes_need(fleet: Fleet) -> None:
    await make_gateway(fleet)
    numbers = await make_poles(fleet, 3)
    lighting = fleet.lighting
    await lighting.put(ADMIN, STREET)
    await lighting.put(ADMIN, Program("spare", "UTC", "||S;R|100;0"))
    await lighting.put_group(ADMIN, Group("pair", ("P-1",)), add=False)
    await lighting.put_group(ADMIN, Group("pair", ("P-2",)), add=True)
    await lighting.put(ADMIN, Scene("match", (ScenePart("pair", 80, 500),)))
    await lighting.put(ADMIN, CALL)
    assert await lighting.assign(ADMIN, "street", group="pair") == 2
    found = await fleet.lighting._store.gateway_lighting("gw-1")
    assert found.programs == (STREET,)
    assert [(p.node_number, p.program) for p in found.places] == list(
        zip(numbers, ("street", "street", ""), strict=True)
    )
    assert found.groups == (Group("pair", ("P-1", "P-2")),)
    assert found.rules == (CALL,)
    assert len(found.digest()) == 32
    assert (await fleet.lighting._store.gateway_lighting("gw-2")).groups == ()
    view = (await lighting.overview(ADMIN)).programs[1]
    assert (view.program, view.assigned, view.followed) == (STREET, 2, 0)
    with pytest.raises(ConflictError):
        await lighting.remove(ADMIN, LightingKind.PROGRAM, "street")
    assert await lighting.assign(ADMIN, "", area_code=DISTRICT) == 3
    for kind, name in (
        (LightingKind.PROGRAM, "street"), (LightingKind.PROGRAM, "spare"),
        (LightingKind.GROUP, "pair"), (LightingKind.SCENE, "match"), (LightingKind.RULE, "call"),
    ):  # fmt: skip
        await lighting.remove(ADMIN, kind, name)
        with pytest.raises(NotFoundError):
            await lighting.remove(ADMIN, kind, name)
    assert (await fleet.lighting._store.gateway_lighting("gw-1")).digest() == b""
    actions = [record.entry.action for record in await fleet.audit.records(ADMIN, limit=100)]
    assert {"lighting.program.put", "lighting.assign", "lighting.rule.remove"} <= set(actions)


async def test_lighting_ends_at_the_subtree(fleet: Fleet) -> None:
    await make_gateway(fleet)
    await make_poles(fleet, 1)
    await make_poles(fleet, 1, first=9, area=OTHER_DISTRICT)
    await fleet.lighting.put_group(ADMIN, Group("both", ("P-1", "P-9")), add=False)
    local = Principal("local", frozenset({Role.OPERATOR}), OTHER_DISTRICT)
    with pytest.raises(ForbiddenError):
        await fleet.lighting.put(local, STREET)
    for codes in (("P-1",), ("P-9", "P-1"), ("P-404",)):
        with pytest.raises(NotFoundError):
            await fleet.lighting.put_group(local, Group("mine", codes), add=False)
    with pytest.raises(NotFoundError):
        await fleet.lighting.put_group(local, Group("both", ("P-9",)), add=False)
    with pytest.raises(NotFoundError):
        await fleet.lamp_orders.dim_group(local, "both", SetLamp(10))
    with pytest.raises(NotFoundError):
        await fleet.lighting.assign(local, "", area_code=DISTRICT)
    await fleet.lighting.put_group(local, Group("mine", ("P-9",)), add=False)
    groups = (await fleet.lighting.overview(local)).groups
    assert groups == (Group("both", ("P-9",)), Group("mine", ("P-9",)))
    viewer = Principal("viewer", frozenset({Role.VIEWER}))
    with pytest.raises(ForbiddenError):
        await fleet.lighting.put_group(viewer, Group("no", ("P-9",)), add=False)


async def test_names_and_wishes_that_make_no_sense_are_refused(fleet: Fleet) -> None:
    await make_gateway(fleet)
    await make_poles(fleet, 1)
    put, put_group = fleet.lighting.put, fleet.lighting.put_group
    for item in (
        Program("", "UTC", "||S|1"), Program("x", "Mars/Olympus", "||S|1"),
        Program("x", "UTC", "||S|1" + "0" * 2000), Scene("x", ()),
        Scene("x", (ScenePart("g", 101),)), Rule("x", EventTrigger("e"), ()),
        Rule("x", EventTrigger(""), (Tell("a"),)),
        Rule("x", EventTrigger("e"), (Dim((), 0, 1, 0),)),
    ):  # fmt: skip
        with pytest.raises(InvalidError):
            await put(ADMIN, item)
    with pytest.raises(InvalidError):
        await put_group(ADMIN, Group("a\nb", ("P-1",)), add=False)
    for ways in ({}, {"pole_codes": ("P-1",), "group": "g"}):
        with pytest.raises(InvalidError):
            await fleet.lighting.assign(ADMIN, "", **ways)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        await fleet.lighting.assign(ADMIN, "nothing", pole_codes=("P-1",))


async def test_order_to_a_group_is_one_message_and_one_outcome_per_pole(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    numbers = await make_poles(rig.fleet, 3)
    await rig.fleet.lighting.put_group(ADMIN, Group("all", ("P-1", "P-2", "P-3")), add=False)
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        lighting = (await gateway.next("desired_lighting")).desired_lighting
        assert [place.pole_code for place in lighting.places] == ["P-1", "P-2", "P-3"]
        await rig.fleet.lighting.put(ADMIN, STREET)
        await rig.fleet.lighting.assign(ADMIN, "street", pole_codes=("P-2",))
        lighting = (await gateway.next("desired_lighting")).desired_lighting
        while not lighting.programs:
            lighting = (await gateway.next("desired_lighting")).desired_lighting
        order = asyncio.create_task(
            rig.fleet.lamp_orders.dim_group(
                ADMIN, "all", SetLamp(40, starts_at_s=1_999_999_999, fade_ms=700), timeout_s=2
            )
        )
        batch = (await gateway.next("command_batch")).command_batch
        assert [command.node_number for command in batch.commands] == numbers
        assert batch.commands[0].set_lamp.fade_ms == 700
        for command, status in zip(
            batch.commands[:2],
            (link_pb.COMMAND_STATUS_DONE, link_pb.COMMAND_STATUS_REFUSED),
            strict=True,
        ):
            result = link_pb.CommandResult(
                command_id=command.command_id, status=status,
                finished_at_ms=command.deadline_ms,
            )  # fmt: skip
            await gateway.send(link_pb.ConnectRequest(command_result=result))
        outcomes = await order
    assert [outcome.pole_code for outcome in outcomes] == ["P-1", "P-2", "P-3"]
    assert [outcome.outcome.status for outcome in outcomes] == [
        CommandStatus.DONE,
        CommandStatus.REFUSED,
        CommandStatus.UNREACHABLE,
    ]


async def test_pole_without_a_node_is_told_as_unreachable(fleet: Fleet) -> None:
    await make_gateway(fleet)
    await make_poles(fleet, 1)
    await fleet.inventory.import_poles(ADMIN, [Pole("BARE", DISTRICT, 30.2, 120.1)])
    await fleet.lighting.put_group(ADMIN, Group("g", ("BARE",)), add=False)
    await fleet.lighting.put(ADMIN, Scene("s", (ScenePart("g", 10),)))
    (outcome,) = await fleet.lamp_orders.run_scene(ADMIN, "s")
    assert outcome.outcome.status is CommandStatus.UNREACHABLE
    with pytest.raises(ConflictError):
        await fleet.lamp_orders.answer_call(ADMIN, "BARE", reset=False)
