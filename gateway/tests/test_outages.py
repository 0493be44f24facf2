"""Restarts, cuts and moves: nothing acknowledged is lost, nothing is done twice."""

import array
import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
from aiocoap.numbers import codes
from gateway_fakes.desired import desired_node
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import FakeNode, MakeNode, until
from test_report_path import event_pack

from poleward.v1 import gateway_link_service_pb2 as pb
from poleward_gateway import bootstrap
from poleward_gateway.adapters.node_link.lwm2m_client import Lwm2mClient
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.errors import NodeUnreachableError
from poleward_gateway.domain.nodes import LinkState, NodeNumber
from poleward_gateway.domain.telemetry import Report, Series
from poleward_gateway.domain.updates import UpdateReadout
from poleward_gateway.services import registry
from poleward_gateway.services.uplink import BATCHES_UNDER_WAY


async def test_a_node_behind_a_nat_that_forgot_is_reached_where_it_was_heard_last(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    await node.move()
    assert (await node.report(1, 0, {"/3418/0/4": 1.0})).code == codes.CHANGED
    fleet.send(
        command=pb.Command(
            command_id=uuid.uuid4().bytes, node_number=1, set_lamp=pb.SetLamp(level_percent=5)
        )
    )
    await until(lambda: bool(fleet.results))
    assert fleet.results[0].status == pb.COMMAND_STATUS_DONE
    assert ("/3416/0/1", 5) in node.writes


async def test_a_command_under_way_follows_a_node_whose_nat_forgot_it(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    await node.move()
    fleet.send(
        command=pb.Command(
            command_id=uuid.uuid4().bytes, node_number=1, set_lamp=pb.SetLamp(level_percent=6)
        )
    )
    await until(lambda: bool(gateway.endpoint._asked))
    assert (await node.report(1, 0, {"/3418/0/4": 1.0})).code == codes.CHANGED
    await until(lambda: bool(fleet.results))
    assert fleet.results[0].status == pb.COMMAND_STATUS_DONE
    assert [value for path, value in node.writes if path == "/3416/0/1"] == [6]


async def test_unacknowledged_batches_are_sent_again_with_the_same_content(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    fleet.acknowledging = False
    for sequence in range(5):
        await node.report(1, sequence, {"/3418/0/4": float(sequence)})
    await until(lambda: len(fleet.reports) == 5)
    port = fleet.link_port
    await fleet.stop()
    for sequence in range(5, 8):
        assert (await node.report(1, sequence, {"/3418/0/4": 1.0})).code == codes.CHANGED
    assert gateway.spool.waiting_reports() == 8
    fleet.acknowledging = True
    await fleet.start(port)
    # The fake fleet asserts that a batch number always has the same content.
    await until(lambda: len(fleet.reports) == 8)
    await until(lambda: gateway.spool.waiting_reports() == 0)


async def test_days_of_backlog_hold_up_neither_reports_nor_events(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    port = fleet.link_port
    await fleet.stop()
    # Three days of 50 nodes, a report every quarter of an hour.
    layout, values = (Series("supply.active_power_w", 0),), array.array("d", (1.0,))
    for day in range(3):
        sequences = range(96 * day, 96 * (day + 1))
        await gateway.spool.add_reports(
            [
                Report(NodeNumber(number), 1, sequence, sequence * 900_000, layout, values)
                for sequence in sequences
                for number in range(101, 151)
            ]
        )
    backlog = gateway.spool.waiting_reports()
    assert backlog == 3 * 96 * 50
    fleet.acknowledging = False
    await fleet.start(port)
    # The fleet takes no more for now, and the backlog still stands.
    await until(lambda: len(fleet.batches) == BATCHES_UNDER_WAY, timeout_s=60)
    assert (await node.report(1, 0, {"/3418/0/4": 1.0})).code == codes.CHANGED
    assert (await node.send(event_pack(3))).code == codes.CHANGED
    await until(lambda: [e.kind for e in fleet.events] == ["sos.pressed"], timeout_s=60)
    assert gateway.spool.waiting_reports() == backlog + 1
    fleet.acknowledging = True
    fleet.send(report_ack=pb.BatchAck(batch_number=BATCHES_UNDER_WAY))
    await until(lambda: gateway.spool.waiting_reports() == 0, timeout_s=120)
    assert len(fleet.reports) == backlog + 1
    assert (1, 1, 0) in fleet.reports


async def test_a_fleet_that_lost_batches_gets_a_new_spool_id(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    await node.report(1, 0, {"/3418/0/4": 1.0})
    await until(lambda: gateway.spool.waiting_reports() == 0)
    port, before = fleet.link_port, gateway.spool.spool_id
    await fleet.stop()
    fleet.stored_report_batch = 99
    await fleet.start(port)
    await until(lambda: gateway.spool.spool_id != before)
    fleet.batches.clear()
    await node.report(1, 1, {"/3418/0/4": 2.0})
    await until(lambda: (1, 1, 1) in fleet.reports)


async def test_a_duplicate_report_is_acknowledged_and_stored_once(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    for _ in range(2):
        assert (await node.report(1, 7, {"/3418/0/4": 1.0})).code == codes.CHANGED
    assert gateway.tally.counts["reports_duplicate"] == 1
    await until(lambda: len(fleet.reports) == 1)
    assert sum(len(batch) > 0 for batch in fleet.batches.values()) == 1


async def test_a_gap_is_reported_as_a_gap(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    for sequence in (0, 1, 4):
        await node.report(1, sequence, {"/3418/0/4": 1.0})
    await until(lambda: bool(fleet.events))
    (event,) = fleet.events
    assert event.kind == "reports.gap"
    assert dict(event.detail) == {"first": "2", "last": "3"}
    assert event.sequence == (1 << 30) + 2


async def test_reports_that_a_power_cut_took_are_reported_as_a_gap(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    for sequence in (0, 1):
        await node.report(1, sequence, {"/3418/0/4": 1.0})
    # Two more were made in boot 1, and nobody has them any more.
    await node.report(2, 0, {"/26241/0/7": 4, "/3418/0/4": 1.0})
    await until(lambda: bool(fleet.events))
    (event,) = fleet.events
    assert (event.boot, event.kind) == (1, "reports.gap")
    assert dict(event.detail) == {"first": "2", "last": "3"}


async def test_a_command_for_an_absent_node_expires(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    clock = gateway.registry._clock
    fleet.send(
        command=pb.Command(
            command_id=b"1" * 16, node_number=2, deadline_ms=clock.now_ms() + 200,
            set_lamp=pb.SetLamp(level_percent=5),
        )
    )  # fmt: skip
    await until(lambda: bool(fleet.results))
    assert fleet.results[0].status == pb.COMMAND_STATUS_EXPIRED
    assert "did not register" in fleet.results[0].detail


async def test_a_node_that_rejects_a_message_is_unreachable_at_once(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    """RFC 7252, 4.2; what waits behind the rejected message goes out all the same."""
    link = Lwm2mClient(gateway.endpoint, gateway.table, gateway.registry)
    node.rejecting = True
    for _ in range(2):
        with pytest.raises(NodeUnreachableError, match="MessageError"):
            await asyncio.wait_for(link.write_time(NodeNumber(1), 1_800_000_000), 60)
    assert "datagrams_ignored" not in gateway.tally.counts


async def test_what_was_asked_before_a_restart_is_asked_again_unless_it_executes_something(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    link = Lwm2mClient(gateway.endpoint, gateway.table, gateway.registry)
    one = NodeNumber(1)
    node.silent = True
    lost = [asyncio.create_task(link.read_update(one)), asyncio.create_task(link.install(one))]
    await until(lambda: len(gateway.endpoint._asked) == len(lost))
    node.restart()
    node.silent = False
    await link.write_time(one, 1_800_000_000)
    readout, refusal = await asyncio.gather(*lost, return_exceptions=True)
    assert isinstance(readout, UpdateReadout)
    assert "restarted meanwhile" in str(refusal)
    assert node.executed == []


async def test_a_command_is_executed_once_and_its_result_told_again(
    fleet: FakeFleet, node: FakeNode
) -> None:
    command = pb.Command(command_id=b"2" * 16, node_number=1, set_lamp=pb.SetLamp(level_percent=5))
    for count in (1, 2):
        fleet.send(command=command)
        await until(lambda expected=count: len(fleet.results) == expected)  # type: ignore[misc]
    assert [name for name, _ in node.writes].count("/3416/0/1") == 1


async def test_a_node_that_finds_a_command_late_makes_it_expired(
    fleet: FakeFleet, node: FakeNode
) -> None:
    node.deadline_code = codes.FORBIDDEN
    fleet.send(
        command=pb.Command(
            command_id=b"3" * 16, node_number=1, set_lamp=pb.SetLamp(level_percent=5)
        )
    )
    await until(lambda: bool(fleet.results))
    assert fleet.results[0].status == pb.COMMAND_STATUS_EXPIRED


async def test_a_command_for_a_foreign_node_is_refused(
    gateway: bootstrap.Gateway, fleet: FakeFleet
) -> None:
    await until(fleet.connected.is_set)
    fleet.send(
        command=pb.Command(
            command_id=b"4" * 16, node_number=77, set_lamp=pb.SetLamp(level_percent=5)
        )
    )
    await until(lambda: bool(fleet.results))
    assert fleet.results[0].status == pb.COMMAND_STATUS_REFUSED


async def test_keys_of_a_removed_node_are_forgotten_at_once(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    fleet.desire([desired_node(2), desired_node(3)], revision=2)
    await until(lambda: len(gateway.table) == 4)
    response = await node.request(node.operational_context, codes.POST, ("dp",))
    assert response.code == codes.UNAUTHORIZED
    assert gateway.registry.state(NodeNumber(1)) is None


async def test_a_restart_keeps_windows_and_registrations(
    config: GatewayConfig, fleet: FakeFleet, make_node: MakeNode
) -> None:
    fleet.desire([desired_node(1)], revision=1)
    async with bootstrap.running(config) as gateway:
        await until(lambda: len(gateway.table) == 2)
        port = gateway.endpoint.port
        node = await make_node(port)
        await node.bootstrap()
        await node.register()
        await node.report(1, 0, {"/3418/0/4": 1.0})
        used = gateway.table.by_kid(b"\x01").sender_sequence_number  # type: ignore[union-attr]
        challenges = node.challenges
    async with bootstrap.running(dataclasses.replace(config, coap_port=port)) as gateway:
        context = gateway.table.by_kid(b"\x01")
        assert context is not None
        assert context.sender_sequence_number >= used
        assert (await node.report(1, 1, {"/3418/0/4": 1.0})).code == codes.CHANGED
        assert node.challenges == challenges
        state = gateway.registry.state(NodeNumber(1))
        assert state is not None
        assert state.link_state is LinkState.ONLINE


async def test_after_a_crash_a_command_reaches_a_node_that_says_nothing(
    config: GatewayConfig, fleet: FakeFleet, make_node: MakeNode
) -> None:
    fleet.desire([desired_node(1)], revision=1)
    async with bootstrap.running(config) as gateway:
        await until(lambda: len(gateway.table) == 2)
        port = gateway.endpoint.port
        node = await make_node(port)
        await node.bootstrap()
        await node.register()
        await node.move()
        await node.report(1, 0, {"/3418/0/4": 1.0})
        await gateway.registrations.save()
        # Nothing more reaches the disk: as after kill -9.
        gateway.table._by_kid.clear()
    async with bootstrap.running(dataclasses.replace(config, coap_port=port)):
        await until(lambda: len(fleet.hellos) == 2)
        fleet.send(
            command=pb.Command(
                command_id=b"5" * 16, node_number=1, set_lamp=pb.SetLamp(level_percent=7)
            )
        )
        await until(lambda: bool(fleet.results))
        assert fleet.results[0].status == pb.COMMAND_STATUS_DONE
        assert ("/3416/0/1", 7) in node.writes


async def test_a_node_without_a_registration_is_asked_for_it(
    config: GatewayConfig, gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    gateway.registry.deregister(NodeNumber(1))
    await gateway.registrations.save()
    assert gateway.registrations._store.registrations() == {}
    await node.report(1, 1, {"/3418/0/4": 1.0})
    gateway.upkeep._ask_at_s[NodeNumber(1)] = 0
    await node.report(1, 2, {"/3418/0/4": 1.0})
    await until(lambda: "/1/0/8" in node.executed)


async def test_a_command_for_a_sleeping_node_waits_until_it_is_heard(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await node.register(queue_mode=True)
    await until(lambda: gateway.upkeep._settle_at_s == {})
    monkeypatch.setattr(registry, "AWAKE_S", -1.0)
    fleet.send(
        command=pb.Command(
            command_id=b"6" * 16, node_number=1, set_lamp=pb.SetLamp(level_percent=9)
        )
    )
    await until(lambda: bool(gateway.registry._sleepers))
    assert ("/3416/0/1", 9) not in node.writes
    monkeypatch.undo()
    await node.report(1, 0, {"/3418/0/4": 1.0})
    await until(lambda: bool(fleet.results))
    assert fleet.results[0].status == pb.COMMAND_STATUS_DONE
    assert ("/3416/0/1", 9) in node.writes


@contextlib.contextmanager
def gateway_process(config: GatewayConfig, port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "poleward_gateway", "--data-dir", str(config.data_dir)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [*command, "serve", "--coap-port", str(port)], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) in {0, -signal.SIGKILL}


async def patiently_bootstrapped(node: FakeNode) -> None:
    """Bootstrap at a gateway that may not know the node's keys yet."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(AssertionError):
                await node.bootstrap()
                return


@pytest.mark.system
async def test_a_killed_gateway_loses_nothing_it_acknowledged_and_challenges_once(
    config: GatewayConfig, fleet: FakeFleet, make_node: MakeNode
) -> None:
    fleet.acknowledging = False
    fleet.desire([desired_node(1)], revision=1)
    run_file = config.run_file
    with gateway_process(config) as process:
        await until(run_file.exists)
        port = int(run_file.read_text().split(":")[3].split('"')[0])
        await until(fleet.connected.is_set)
        node = await make_node(port)
        await until(lambda: bool(fleet.hellos))
        await patiently_bootstrapped(node)
        await node.register()
        for sequence in range(20):
            assert (await node.report(1, sequence, {"/3418/0/4": 1.0})).code == codes.CHANGED
        await until(lambda: len(fleet.reports) == 20)
        process.kill()
        process.wait(20)
    run_file.unlink()
    fleet.acknowledging = True
    challenges = node.challenges
    with gateway_process(config, port):
        await until(run_file.exists)
        assert (await node.report(1, 20, {"/3418/0/4": 1.0})).code == codes.CHANGED
        assert node.challenges == challenges + 1
        assert (await node.report(1, 21, {"/3418/0/4": 1.0})).code == codes.CHANGED
        assert node.challenges == challenges + 1
        await until(lambda: len(fleet.reports) == 22)
        await until(lambda: fleet.stored_report_batch >= max(fleet.batches))
