"""The gateways' port with real TLS: exactly once, foreign nodes, certificates, commands."""

import asyncio

import grpc
import pytest

from fleet_rig import (
    ADMIN,
    DISTRICT,
    FakeGateway,
    Rig,
    batch_message,
    make_csr,
    make_poles,
)
from poleward.v1 import enrollment_service_pb2 as enrollment_pb
from poleward.v1 import gateway_link_service_pb2 as link_pb
from poleward.v1 import telemetry_types_pb2 as telemetry_pb
from poleward.v1.enrollment_service_pb2_grpc import EnrollmentServiceStub
from poleward_fleet.adapters.certificates import FileCertificateAuthority
from poleward_fleet.assembly import SystemClock
from poleward_fleet.domain.commands import CommandStatus
from poleward_fleet.domain.inventory import LifeState, LinkState


async def test_gateway_gets_its_nodes_with_keys_after_welcome(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    numbers = await make_poles(rig.fleet, 2)
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        welcome = await gateway.connect()
        state = (await gateway.next("desired_state")).desired_state
    assert welcome.gateway_name == "gw-1"
    assert state.complete
    assert [node.node_number for node in state.nodes] == numbers
    node = state.nodes[0]
    assert node.endpoint_name == "urn:dev:mac:aabbcc000001"
    assert node.bootstrap.node_id == bytes.fromhex("aabbcc000001")
    assert node.bootstrap.master_secret == (1).to_bytes(16, "big")
    assert node.operational.node_id == b"\x01"
    assert node.operational.gateway_id == b"\x00"
    assert len(node.operational.master_secret) == 16
    assert (node.report_interval_s, node.lamp_nominal_w) == (60, 60)


async def test_node_commissioned_while_connected_is_sent_as_a_difference(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        await gateway.next("desired_state")
        numbers = await make_poles(rig.fleet, 1)
        state = (await gateway.next("desired_state")).desired_state
    assert not state.complete
    assert [node.node_number for node in state.nodes] == numbers


async def test_reports_are_stored_once_under_resend_cut_and_duplicates(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    (node,) = await make_poles(rig.fleet, 1)
    first = batch_message(1, [(node, 1, n) for n in range(10)])
    second = batch_message(2, [(node, 1, n) for n in range(8, 20)])  # two reports come twice
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        assert (await gateway.connect()).stored_report_batch == 0
        await gateway.send(first)
        await gateway.report_ack(1)
        await gateway.send(first)
        await gateway.send(second)
        await gateway.report_ack(2)
        gateway.stream.cancel()
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        assert (await gateway.connect()).stored_report_batch == 2
        await gateway.send(second)
        await gateway.send(batch_message(3, [(node, 2, 0)]))
        await gateway.report_ack(3)
    counts = await rig.fleet.telemetry.counts(ADMIN, [])
    assert [(c.boot, c.reports, c.readings, c.missing) for c in counts] == [
        (1, 20, 60, 0),
        (2, 1, 3, 0),
    ]


async def test_batch_after_a_gap_ends_the_stream_and_names_where_to_go_on(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    (node,) = await make_poles(rig.fleet, 1)
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        await gateway.send(batch_message(3, [(node, 1, 0)]))
        code, details = await gateway.end()
    assert code is grpc.StatusCode.OUT_OF_RANGE
    assert "resend from 1" in details
    assert await rig.fleet.telemetry.counts(ADMIN, []) == []


async def test_foreign_node_is_refused_and_nothing_of_the_batch_stored(rig: Rig) -> None:
    key, certificate = await rig.enroll("gw-1")
    await rig.enroll("gw-2")
    (own,) = await make_poles(rig.fleet, 1)
    (foreign,) = await make_poles(rig.fleet, 1, first=2, gateway="gw-2")
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        await gateway.send(batch_message(1, [(own, 1, 0), (foreign, 1, 0)]))
        code, details = await gateway.end()
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert f"node {foreign}" in details
    assert await rig.fleet.telemetry.counts(ADMIN, []) == []


async def test_malformed_batch_is_refused_with_a_reason(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    (node,) = await make_poles(rig.fleet, 1)
    message = batch_message(1, [(node, 1, 0)])
    message.report_batch.reports.value.append(1.0)
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        await gateway.send(message)
        code, details = await gateway.end()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "do not fit" in details


async def test_stream_without_hello_is_refused(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.send(batch_message(1, []))
        code, _ = await gateway.end()
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_client_without_certificate_is_refused(rig: Rig) -> None:
    async with rig.link() as channel:
        code, _ = await FakeGateway(channel).end()
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_certificate_of_another_ca_is_refused(
    rig: Rig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    foreign = FileCertificateAuthority.load_or_make(
        tmp_path_factory.mktemp("ca"), 1_700_000_000_000
    )
    key, csr = make_csr()
    certificate = foreign.sign_gateway(csr, "gw-1", 1_900_000_000_000).pem
    async with rig.link(key, certificate) as channel:
        code, _ = await FakeGateway(channel).end()
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_certificate_of_an_unknown_gateway_is_refused(rig: Rig) -> None:
    key, csr = make_csr()
    certificate = rig.fleet.authority.sign_gateway(csr, "gw-ghost", SystemClock().now_ms()).pem
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.send(link_pb.ConnectRequest(hello=link_pb.Hello(spool_id="s")))
        code, details = await gateway.end()
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert "gw-ghost" in details


async def test_enrolment_token_works_once(rig: Rig) -> None:
    token, _ = await rig.fleet.enrollment.create_token(
        ADMIN, gateway_name="gw-9", area_code=DISTRICT, valid_s=60
    )
    assert token.endswith("." + rig.fleet.authority.fingerprint[:32])
    async with rig.api() as channel:
        stub = EnrollmentServiceStub(channel)
        request = enrollment_pb.EnrollRequest(token=token, csr_pem="not a request")
        with pytest.raises(grpc.aio.AioRpcError) as bad:
            await stub.Enroll(request)
        assert bad.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        request.csr_pem = make_csr()[1]
        assert (await stub.Enroll(request)).link_address == rig.addresses.link
        with pytest.raises(grpc.aio.AioRpcError) as again:
            await stub.Enroll(request)
    assert again.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "used before" in str(again.value.details())


async def test_certificate_is_renewed_over_mutual_tls_and_connects(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    new_key, csr = make_csr()
    async with rig.link(key, certificate) as channel:
        renewed = await EnrollmentServiceStub(channel).Renew(
            enrollment_pb.RenewRequest(csr_pem=csr)
        )
    async with rig.link(new_key, renewed.certificate_pem) as channel:
        assert (await FakeGateway(channel).connect()).gateway_name == "gw-1"


async def test_revoked_gateway_is_cut_off_at_once_until_it_enrols_again(rig: Rig) -> None:
    old = await rig.enroll()
    async with rig.link(*old) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        await rig.fleet.enrollment.revoke(ADMIN, "gw-1", reason="stolen")
        code, _ = await gateway.end()
        assert code is grpc.StatusCode.FAILED_PRECONDITION
    await refused(rig, *old)
    new = await rig.enroll()
    async with rig.link(*new) as channel:
        assert (await FakeGateway(channel).connect()).gateway_name == "gw-1"
    # The stolen key opens nothing although the gateway's name is good again.
    await refused(rig, *old)


async def test_renewed_certificate_ends_the_one_before_once_it_was_seen(rig: Rig) -> None:
    old = await rig.enroll()
    key_pem, csr_pem = make_csr()
    async with rig.link(*old) as channel:
        renewed = await EnrollmentServiceStub(channel).Renew(
            enrollment_pb.RenewRequest(csr_pem=csr_pem)
        )
    async with rig.link(*old) as channel:  # the answer may have been lost
        await FakeGateway(channel).connect()
    async with rig.link(key_pem, renewed.certificate_pem) as channel:
        await FakeGateway(channel).connect()
    await refused(rig, *old)


async def refused(rig: Rig, key_pem: bytes, certificate_pem: str) -> None:
    """Insist that a certificate opens nothing: no stream, no artifact, no newer certificate."""
    async with rig.link(key_pem, certificate_pem) as channel:
        with pytest.raises((grpc.aio.AioRpcError, AssertionError), match="UNAUTHENTICATED"):
            await FakeGateway(channel).connect()
        with pytest.raises(grpc.aio.AioRpcError, match="UNAUTHENTICATED"):
            await EnrollmentServiceStub(channel).Renew(
                enrollment_pb.RenewRequest(csr_pem=make_csr()[1])
            )


async def test_second_connection_of_a_gateway_replaces_the_first(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    async with rig.link(key, certificate) as first, rig.link(key, certificate) as second:
        old, new = FakeGateway(first), FakeGateway(second)
        await old.connect()
        await new.connect()
        code, details = await old.end()
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "replaced" in details
        assert list(rig.fleet.links.connected()) == ["gw-1"]


async def test_lamp_command_reaches_the_gateway_and_its_result_comes_back(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    (node,) = await make_poles(rig.fleet, 1)
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        waiting = asyncio.create_task(
            rig.fleet.commands.set_lamp(ADMIN, "P-1", level_percent=30, duration_s=60)
        )
        command = (await gateway.next("command")).command
        assert command.node_number == node
        assert (command.set_lamp.level_percent, command.set_lamp.duration_s) == (30, 60)
        result = link_pb.CommandResult(
            command_id=command.command_id,
            status=link_pb.COMMAND_STATUS_DONE,
            finished_at_ms=command.deadline_ms,
        )
        await gateway.send(link_pb.ConnectRequest(command_result=result))
        await gateway.send(link_pb.ConnectRequest(command_result=result))
        outcome = await waiting
    assert outcome.status is CommandStatus.DONE


async def test_command_without_a_result_is_sent_again_with_the_same_id(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    await make_poles(rig.fleet, 1)
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        waiting = asyncio.create_task(rig.fleet.commands.set_lamp(ADMIN, "P-1", level_percent=1))
        first = (await gateway.next("command")).command
        gateway.stream.cancel()
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        again = (await gateway.next("command")).command
        assert again.command_id == first.command_id
        await gateway.send(
            link_pb.ConnectRequest(
                command_result=link_pb.CommandResult(
                    command_id=again.command_id,
                    status=link_pb.COMMAND_STATUS_REFUSED,
                    detail="no such lamp",
                    finished_at_ms=1,
                )
            )
        )
        outcome = await waiting
    assert (outcome.status, outcome.detail) == (CommandStatus.REFUSED, "no such lamp")


async def test_reported_state_puts_a_node_in_service(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    (node,) = await make_poles(rig.fleet, 1)
    state = link_pb.NodeState(
        node_number=node,
        link_state=link_pb.NODE_LINK_STATE_ONLINE,
        heard_at_ms=2_000_000_000_000,
        bundle_version="1.0.0",
        release_sequence=1,
        boot=7,
        device={"manufacturer": "Poleward"},
    )
    async with rig.fleet.changes.subscribe() as changes, rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        await gateway.send(
            link_pb.ConnectRequest(reported_state=link_pb.ReportedState(nodes=[state]))
        )
        async with asyncio.timeout(60):
            async for changed in changes:
                if "P-1" in changed.pole_codes:
                    break
    found = (await rig.fleet.inventory.pole(ADMIN, "P-1")).node
    assert found is not None
    assert (found.life_state, found.link_state) == (LifeState.IN_SERVICE, LinkState.ONLINE)
    assert (found.bundle_version, found.release_sequence, found.boot) == ("1.0.0", 1, 7)
    assert found.device == (("manufacturer", "Poleward"),)


async def test_event_that_a_gateway_makes_about_a_gap_is_stored(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    (node,) = await make_poles(rig.fleet, 1)
    gap = telemetry_pb.NodeEvent(
        node_number=node,
        boot=1,
        sequence=(1 << 31) + 7,
        occurred_at_ms=1,
        kind="reports.gap",
        detail={"first": "7", "last": "8"},
    )
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        await gateway.send(
            link_pb.ConnectRequest(event_batch=link_pb.EventBatch(batch_number=1, events=[gap]))
        )
        assert (await gateway.next("event_ack")).event_ack.batch_number == 1
    (event,) = await rig.fleet.telemetry.events(ADMIN)
    assert event.sequence == (1 << 31) + 7


async def test_events_are_stored_once(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    (node,) = await make_poles(rig.fleet, 1)
    batch = link_pb.ConnectRequest(
        event_batch=link_pb.EventBatch(
            batch_number=1,
            events=[
                telemetry_pb.NodeEvent(
                    node_number=node,
                    boot=1,
                    sequence=0,
                    occurred_at_ms=5,
                    kind="sos.pressed",
                    severity=telemetry_pb.EVENT_SEVERITY_CRITICAL,
                    detail={"button": "1"},
                )
            ],
        )
    )
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        for _ in range(2):
            await gateway.send(batch)
            assert (await gateway.next("event_ack")).event_ack.batch_number == 1
    events = await rig.fleet.telemetry.events(ADMIN)
    assert [(e.kind, e.severity.value, e.detail) for e in events] == [
        ("sos.pressed", "critical", (("button", "1"),))
    ]
