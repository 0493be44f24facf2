"""A gateway between a fake fleet and fake nodes: real sockets, OSCORE and TLS."""

import uuid

from aiocoap.numbers import codes
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import FakeNode, until

from poleward.v1 import gateway_link_service_pb2 as pb
from poleward_gateway import bootstrap
from poleward_gateway.domain.nodes import LinkState, NodeNumber


async def test_bootstrap_gives_the_operational_keys(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    assert node.deleted == ["/0", "/1", "/21"]
    written = dict(node.writes)
    assert written["/0/1/0"] == f"coap://127.0.0.1:{gateway.endpoint.port}"
    assert written["/0/1/17"] == "21:1"
    assert written["/1/0/1"] == 300


async def test_a_registered_node_is_settled_and_reported_online(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    names = [name for name, _ in node.writes]
    assert names.index("/1/0/23") < names.index("/3/0/13")
    assert dict(node.writes)["/26241/0/3"] == 10
    assert dict(node.writes)["/3416/0/36"] == 60
    state = gateway.registry.state(NodeNumber(1))
    assert state is not None
    assert state.link_state is LinkState.ONLINE
    await until(lambda: 1 in fleet.states and fleet.states[1].bundle_version == "1.0.0")
    assert fleet.states[1].link_state == pb.NODE_LINK_STATE_ONLINE
    assert fleet.states[1].device["model"] == "pole-basic"


async def test_a_report_reaches_the_fleet_and_empties_the_spool(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    response = await node.report(3, 0, {"/3418/0/4": 42.5, "/3416/0/3": 70})
    assert response.code == codes.CHANGED
    await until(lambda: (1, 3, 0) in fleet.reports)
    report = fleet.reports[(1, 3, 0)]
    assert report.time_ms == 1_790_000_000_000
    assert [(s.metric, s.instance) for s in report.layout] == [
        ("supply.active_power_w", 0),
        ("lamp.level_percent", 0),
    ]
    assert tuple(report.values) == (42.5, 70.0)
    await until(lambda: gateway.spool.waiting_reports() == 0)


async def test_a_lamp_command_is_one_write_with_its_deadline(
    fleet: FakeFleet, node: FakeNode
) -> None:
    node.fresh = False
    challenges = node.challenges
    command_id = uuid.uuid4().bytes
    fleet.send(
        command=pb.Command(
            command_id=command_id, node_number=1, deadline_ms=0,
            set_lamp=pb.SetLamp(instance=0, level_percent=30, duration_s=0),
        )
    )  # fmt: skip
    await until(lambda: bool(fleet.results))
    assert fleet.results[0].command_id == command_id
    assert fleet.results[0].status == pb.COMMAND_STATUS_DONE
    assert node.challenges == challenges + 1
    written = dict(node.writes)
    assert written["/3416/0/1"] == 30
    assert written["/3416/0/51"] == 0
    assert written["/26244/0/0"] > 1_700_000_000
