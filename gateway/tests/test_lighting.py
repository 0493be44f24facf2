"""Programs, groups, rules and the local console: with the fleet, and with the fleet away."""

import asyncio
import json
import stat
import uuid
from typing import Any

import cbor2
import pytest
from gateway_fakes.desired import desired_node
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import FakeNode, MakeNode, until

from poleward.v1 import gateway_link_service_pb2 as pb
from poleward.v1 import lighting_types_pb2 as types_pb
from poleward_gateway import bootstrap
from poleward_gateway.adapters.storage.lighting import lighting_from_text, lighting_to_text
from poleward_gateway.config import GatewayConfig

RULES = "||S;22:00;R|100;50;0"


def lighting(**changes: Any) -> pb.DesiredLighting:
    """Make lighting: three nodes 50 m apart, a group, a scene, rules."""
    fields: dict[str, Any] = {
        "digest": b"first",
        "programs": [
            types_pb.LightingProgram(name="street", time_zone="Europe/London", rules=RULES)
        ],
        "places": [
            pb.NodePlace(
                node_number=number, pole_code=f"P-{number}", program="street",
                latitude_deg=51.45 + number * 0.00045, longitude_deg=-2.58,
            )
            for number in (1, 2, 3)
        ],
        "groups": [types_pb.LampGroup(name="all", pole_codes=["P-1", "P-2", "P-3", "elsewhere"])],
        "scenes": [
            types_pb.LightingScene(
                name="match", parts=[types_pb.ScenePart(group="all", level_percent=80, fade_ms=500)]
            )
        ],
        "rules": [
            types_pb.LocalRule(
                name="call",
                event=types_pb.EventTrigger(kind="sos.pressed"),
                actions=[
                    types_pb.RuleAction(
                        dim=types_pb.DimAction(neighbours_m=60, level_percent=100, duration_s=600)
                    ),
                    types_pb.RuleAction(
                        tell=types_pb.TellAction(kind="camera.preset", detail="sos")
                    ),
                ],
            ),
            types_pb.LocalRule(
                name="dark",
                reading=types_pb.ReadingTrigger(
                    metric="air.temperature_c", threshold=-5, margin=1
                ),
                actions=[
                    types_pb.RuleAction(dim=types_pb.DimAction(groups=["all"], level_percent=70))
                ],
            ),
        ],
    }  # fmt: skip
    return pb.DesiredLighting(**(fields | changes))


@pytest.fixture
async def street(
    gateway: bootstrap.Gateway, fleet: FakeFleet, make_node: MakeNode
) -> list[FakeNode]:
    """Nodes 1 to 3, registered, with their lighting."""
    nodes = []
    for number in (1, 2, 3):
        node = await make_node(gateway.endpoint.port, number)
        node.on_write = node.resources.__setitem__
        await node.bootstrap()
        await node.register()
        nodes.append(node)
    fleet.send(desired_lighting=lighting())
    for node in nodes:
        await node.until(lambda node=node: "/26245/0/1" in node.resources)  # type: ignore[misc]
    return nodes


def event(kind: str, sequence: int = 0) -> bytes:
    values = [1, sequence, kind, 3, "test"]
    labels = [2, 2, 3, 2, 3]
    return cbor2.dumps(
        [
            {-3: 1_790_000_000, 0: f"/26242/0/{i}", labels[i]: value}
            for i, value in enumerate(values)
        ]
    )


async def ask(config: GatewayConfig, **request: Any) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(str(config.local_socket))
    writer.write(json.dumps(request).encode() + b"\n")
    answer: dict[str, Any] = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answer


async def test_each_node_gets_its_program_once(
    gateway: bootstrap.Gateway, fleet: FakeFleet, street: list[FakeNode]
) -> None:
    got = street[1].resources
    assert got["/26245/0/1"] == RULES
    assert got["/26245/0/2"] == pytest.approx(51.4509, abs=1e-4)
    assert got["/26245/0/4"] in (0, 3600)
    assert got["/26245/0/5"] > 0
    await until(lambda: 2 in fleet.states and bool(fleet.states[2].program_digest))
    writes = len(street[1].writes)
    fleet.send(desired_lighting=lighting(digest=b"second"))
    await until(lambda: gateway.programs.lighting.digest == b"second")
    await until(lambda: not gateway.jobs.is_busy)
    assert len(street[1].writes) == writes
    fleet.send(desired_lighting=lighting(digest=b"third", programs=[]))
    await until(lambda: street[1].resources["/26245/0/1"] == "")


async def test_an_order_to_a_group_is_confirmed_by_each_node(
    fleet: FakeFleet, street: list[FakeNode]
) -> None:
    commands = [
        pb.Command(
            command_id=uuid.uuid4().bytes, node_number=number,
            set_lamp=pb.SetLamp(level_percent=35, starts_at_s=1_999_999_999, fade_ms=1500),
        )
        for number in (1, 2, 3)
    ]  # fmt: skip
    fleet.send(command_batch=pb.CommandBatch(commands=commands))
    await until(lambda: len(fleet.results) == 3)
    assert {result.status for result in fleet.results} == {pb.COMMAND_STATUS_DONE}
    for node in street:
        assert node.resources["/3416/0/1"] == 35
        assert node.resources["/3416/0/50"] == 1_999_999_999
        assert node.resources["/3416/0/52"] == 1.5
    # Sent again, it is told again and not done again.
    writes = [len(node.writes) for node in street]
    fleet.send(command_batch=pb.CommandBatch(commands=commands))
    await until(lambda: len(fleet.results) == 6)
    assert [len(node.writes) for node in street] == writes


async def test_a_call_lights_the_neighbours_with_the_fleet_away(
    gateway: bootstrap.Gateway, fleet: FakeFleet, street: list[FakeNode]
) -> None:
    await fleet.stop()
    await street[0].send(event("sos.pressed"))
    await until(lambda: "/3416/0/1" in street[1].resources)
    assert street[1].resources["/3416/0/1"] == 100
    assert street[1].resources["/3416/0/51"] > 0
    assert "/3416/0/1" not in street[2].resources, "it stands 100 m away"
    assert "/3416/0/1" not in street[0].resources, "its own lamp is the node's business"
    await fleet.start(fleet.link_port)
    kinds = {"sos.pressed", "rule.fired", "camera.preset"}
    await until(lambda: kinds <= {e.kind for e in fleet.events})


async def test_a_reading_fires_a_rule_once_until_it_went_back(
    gateway: bootstrap.Gateway, fleet: FakeFleet, street: list[FakeNode]
) -> None:
    for sequence, value in enumerate((-4.0, -6.0, -7.0, -4.5, -6.0, -3.0, -6.0)):
        await street[0].report(1, sequence, {"/3303/0/5700": value})
    await until(lambda: sum(e.kind == "rule.fired" for e in fleet.events) == 2)
    await until(lambda: street[2].resources.get("/3416/0/1") == 70)


async def test_lighting_and_groups_work_after_a_restart_without_a_fleet(
    config: GatewayConfig, fleet: FakeFleet, make_node: MakeNode
) -> None:
    fleet.desire([desired_node(1)], revision=1)
    async with bootstrap.running(config) as gateway:
        await until(lambda: len(gateway.table) == 2)
        node = await make_node(gateway.endpoint.port)
        await node.bootstrap()
        fleet.send(desired_lighting=lighting())
        await until(lambda: bool(gateway.programs.lighting.rules))
        kept = gateway.programs.lighting
    await fleet.stop()
    async with bootstrap.running(config) as gateway:
        assert gateway.programs.lighting == kept
        node.gateway = ("127.0.0.1", gateway.endpoint.port)
        await node.move()
        node.on_write = node.resources.__setitem__
        await node.register()
        await until(lambda: "/26245/0/1" in node.resources)
        answer = await ask(config, do="dim", node="P-1", level_percent=25, duration_s=60)
        assert answer == {"outcomes": [{"node": 1, "status": "done", "detail": ""}]}
        assert node.resources["/3416/0/1"] == 25


async def test_the_local_console_answers_its_owner_only(
    gateway: bootstrap.Gateway, config: GatewayConfig, street: list[FakeNode]
) -> None:
    assert stat.S_IMODE(config.local_socket.stat().st_mode) == 0o600
    status = await ask(config, do="status")
    assert (status["nodes"], status["registered"]) == (3, 3)
    assert status["groups"] == {"all": 3}
    nodes = (await ask(config, do="nodes"))["nodes"]
    assert [node["pole"] for node in nodes] == ["P-1", "P-2", "P-3"]
    assert [rule["name"] for rule in (await ask(config, do="rules"))["rules"]] == ["call", "dark"]
    outcomes = (await ask(config, do="scene", scene="match"))["outcomes"]
    assert [outcome["status"] for outcome in outcomes] == ["done"] * 3
    assert [node.resources["/3416/0/52"] for node in street] == [0.5] * 3
    for wrong in (
        {"do": "nonsense"}, {}, {"do": "dim", "level_percent": 101}, {"do": "dim", "node": "P-9"},
        {"do": "dim", "group": "none"}, {"do": "scene"}, {"do": "dim", "level_percent": "5"},
    ):  # fmt: skip
        assert "error" in await ask(config, **wrong), wrong


async def test_a_call_is_answered_through_its_gateway(
    fleet: FakeFleet, street: list[FakeNode]
) -> None:
    for reset, path in ((False, "/26246/0/3"), (True, "/26246/0/4")):
        fleet.send(
            command=pb.Command(
                command_id=uuid.uuid4().bytes, node_number=1,
                answer_call=pb.AnswerNodeCall(reset=reset),
            )
        )  # fmt: skip
        await until(lambda path=path: path in street[0].executed)  # type: ignore[misc]


async def test_stored_lighting_reads_back_the_same(
    gateway: bootstrap.Gateway, street: list[FakeNode]
) -> None:
    kept = gateway.programs.lighting
    assert kept.rules
    assert lighting_from_text(lighting_to_text(kept)) == kept
