"""The direct path of a report: what it takes, what it leaves, and what it answers again."""

import asyncio
import os
from typing import Any

import cbor2
import pytest
from aiocoap.message import Message
from aiocoap.numbers import codes
from aiocoap.numbers.types import CON
from gateway_fakes.desired import desired_node
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import FakeNode, MakeNode, until
from hypothesis import given
from hypothesis import strategies as st
from test_layouts import LAYOUT, LAYOUT_ID

from nodelink.limits import URGENT_TOKEN_BYTES
from poleward_gateway import bootstrap
from poleward_gateway.adapters.node_link import datagrams, report_form, report_path, senml
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.telemetry import ReceivedMark
from poleward_gateway.services import telemetry


def pack(sequence: int, *, boot: int = 1, dropped: int = 0) -> bytes:
    records: list[dict[int, Any]] = [
        {-2: "/26241/0/", -3: 1_790_000_000 + sequence, 0: "0", 2: boot},
        {0: "1", 2: sequence},
    ]
    if dropped:
        records.append({0: "2", 2: dropped})
    records.append({0: "4", 8: cbor2.dumps([LAYOUT_ID, 70, 1, 42.5])})
    return cbor2.dumps(records)


def event_pack(sequence: int, *, kind: str = "sos.pressed") -> bytes:
    return cbor2.dumps(
        [
            {-2: "/26242/0/", -3: 1_790_000_000, 0: "0", 2: 1},
            {0: "1", 2: sequence},
            {0: "2", 3: kind},
            {0: "3", 2: 3},
            {0: "4", 3: ""},
        ]
    )


def protected(node: FakeNode, payload: bytes) -> tuple[bytes, Any]:
    """Make a datagram as aiocoap's client would, and what its answer is opened with."""
    assert node.operational_context is not None
    message = Message(code=codes.POST, uri_path=("dp",), payload=payload, content_format=112)
    outer, request_id = node.operational_context.protect(message)
    return node._encode(outer, CON), request_id


@pytest.fixture
async def reporting(gateway: bootstrap.Gateway, node: FakeNode) -> FakeNode:
    """Node 1, whose layout the gateway has learned."""
    node.resources["/26241/0/5"] = LAYOUT
    await node.send(pack(0))
    await until(lambda: gateway.layouts.find(LAYOUT_ID) is not None)
    assert (await node.send(pack(0))).code == codes.CHANGED
    return node


def count_taken(gateway: bootstrap.Gateway, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note what the direct path says to each datagram."""
    said: list[bool] = []
    take = gateway.reports.take

    def noting(*arguments: Any) -> bool:
        said.append(take(*arguments))
        return said[-1]

    monkeypatch.setattr(gateway.reports, "take", noting)
    return said


async def test_a_report_takes_the_direct_path_and_its_answer_is_authentic(
    gateway: bootstrap.Gateway, fleet: FakeFleet, reporting: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    said = count_taken(gateway, monkeypatch)
    # FakeNode opens the answer with aiocoap's OSCORE.
    assert (await reporting.send(pack(1))).code == codes.CHANGED
    assert said == [True]
    await until(lambda: (1, 1, 1) in fleet.reports)
    assert tuple(fleet.reports[(1, 1, 1)].values) == (70.0, 42.5)
    assert fleet.reports[(1, 1, 1)].time_ms == 1_790_000_001_000


async def test_an_event_takes_the_direct_path_and_waits_for_nobody(
    gateway: bootstrap.Gateway, fleet: FakeFleet, reporting: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    said = count_taken(gateway, monkeypatch)
    # A report that came before it waits for company, and there is no room for more reports.
    monkeypatch.setattr(report_path, "COMPANY_WAIT_S", 30.0)
    monkeypatch.setattr(telemetry, "REPORTS_UNDER_WAY_MAX", 0)
    datagram, _ = protected(reporting, pack(1))
    reporting.throw(datagram)
    await until(lambda: bool(gateway.reports._reports))
    assert (await reporting.send(event_pack(7))).code == codes.CHANGED
    assert said == [True, True]
    await until(lambda: [event.sequence for event in fleet.events] == [7])
    assert fleet.events[0].kind == "sos.pressed"


@given(
    time_s=st.integers(-(2**32), -(2**16) - 1) | st.integers(2**16, 2**32 - 1),
    boot=st.integers(0, 2**32 - 1),
    sequence=st.integers(0, 2**32 - 1),
    dropped=st.none() | st.integers(0, 2**32 - 1),
    values=st.binary(min_size=1, max_size=255),
)
def test_a_report_in_our_form_reads_as_senml_does(
    time_s: int, boot: int, sequence: int, dropped: int | None, values: bytes
) -> None:
    records: list[dict[int, Any]] = [{-2: "/26241/0/", -3: time_s, 0: "0", 2: boot}]
    records.append({0: "1", 2: sequence})
    if dropped is not None:
        records.append({0: "2", 2: dropped})
    records.append({0: "4", 8: values})
    encoded = cbor2.dumps(records)
    read = report_form.read(b"before" + encoded, len(b"before"))
    assert read == (time_s, boot, sequence, dropped or 0, values)
    by_path = {record.path: record.value for record in senml.decode(encoded)}
    assert by_path["/26241/0/0"] == boot
    assert by_path["/26241/0/1"] == sequence
    assert by_path["/26241/0/4"] == values


@given(st.data())
def test_a_report_that_was_cut_or_altered_is_not_in_our_form(data: st.DataObject) -> None:
    whole = pack(data.draw(st.integers(0, 2**32 - 1)))
    end = data.draw(st.integers(0, len(whole) - 1))
    assert report_form.read(whole[:end], 0) is None
    assert report_form.read(whole + b"x", 0) is None


async def test_everything_else_is_left_to_the_general_path(
    gateway: bootstrap.Gateway, reporting: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = count_taken(gateway, monkeypatch)
    assert (await reporting.report(1, 1, {"/3418/0/4": 1.0})).code == codes.CHANGED
    assert (await reporting.send(pack(2) + b"x")).code == codes.BAD_REQUEST
    await reporting.register()
    named = [{0: "/26242/0/0", 2: 1}, {0: "/26242/0/1", 2: 0}, {0: "/26242/0/2", 3: "x"}]
    assert (await reporting.send(cbor2.dumps(named))).code == codes.CHANGED
    assert (await reporting.send(event_pack(1, kind=""))).code == codes.BAD_REQUEST
    # Answers of the node to what a registration starts also arrive here.
    assert said
    assert not any(said)


async def test_a_retransmission_gets_the_same_bytes_from_wherever_it_comes(
    gateway: bootstrap.Gateway, reporting: FakeNode
) -> None:
    datagram, _ = protected(reporting, pack(1))
    first = await reporting.exchange_bytes(datagram)
    again = await reporting.exchange_bytes(datagram)
    await reporting.move()
    moved = await reporting.exchange_bytes(datagram)
    assert first.payload == again.payload == moved.payload
    assert gateway.tally.counts["reports_retransmitted"] == 2
    assert gateway.spool.mark(1) == ReceivedMark(1, 1, 3)  # type: ignore[arg-type]


async def test_the_same_report_in_a_new_message_is_a_replay(
    gateway: bootstrap.Gateway, reporting: FakeNode
) -> None:
    datagram, request_id = protected(reporting, pack(1))
    await reporting.exchange_bytes(datagram)
    forged = datagram[:2] + os.urandom(2) + os.urandom(4) + datagram[8:]
    answer = await reporting.exchange_bytes(forged)
    refusal, _ = reporting.operational_context.unprotect(answer, request_id)  # type: ignore[union-attr]
    assert refusal.code == codes.UNAUTHORIZED
    assert gateway.tally.counts["requests_replayed"] == 1


async def test_an_altered_report_is_refused_and_the_true_one_taken(
    gateway: bootstrap.Gateway, reporting: FakeNode
) -> None:
    datagram, request_id = protected(reporting, pack(1))
    altered = bytes([*datagram[:2], 0, 0, *datagram[4:-1], datagram[-1] ^ 1])
    assert (await reporting.exchange_bytes(altered)).code == codes.BAD_REQUEST
    answer = await reporting.exchange_bytes(datagram)
    inner, _ = reporting.operational_context.unprotect(answer, request_id)  # type: ignore[union-attr]
    assert inner.code == codes.CHANGED


async def test_only_the_last_answers_are_kept(
    gateway: bootstrap.Gateway, reporting: FakeNode
) -> None:
    for sequence in range(1, 40):
        assert (await reporting.send(pack(sequence))).code == codes.CHANGED
    (peer,) = gateway.reports._peers.values()
    assert len(peer.answers) == report_path.ANSWERS_KEPT


async def test_too_many_reports_get_5_03_and_are_taken_later(
    gateway: bootstrap.Gateway, reporting: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "REPORTS_UNDER_WAY_MAX", 0)
    refused = await reporting.send(pack(1))
    assert refused.code == codes.SERVICE_UNAVAILABLE
    assert refused.opt.max_age == report_path.RETRY_AFTER_S
    monkeypatch.undo()
    assert (await reporting.send(pack(1))).code == codes.CHANGED


async def test_while_the_disk_is_behind_reports_wait_in_the_kernel_and_events_pass(
    gateway: bootstrap.Gateway, fleet: FakeFleet, reporting: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(telemetry, "REPORTS_UNDER_WAY_ENOUGH", 0)
    monkeypatch.setattr(datagrams, "STALLED_S", 60.0)
    # The turn after which the lane is left alone.
    assert (await reporting.send(pack(1))).code == codes.CHANGED
    said = count_taken(gateway, monkeypatch)
    report, request_id = protected(reporting, pack(2))
    answering = asyncio.ensure_future(reporting.exchange_bytes(report))
    event, _ = protected(reporting, event_pack(0))
    token = os.urandom(URGENT_TOKEN_BYTES)
    await reporting.exchange_bytes(bytes([0x48]) + event[1:4] + token + event[8:])
    assert said == [True], "the event came later and went first"
    # A disk that is stuck does not leave nodes without an answer.
    monkeypatch.setattr(datagrams, "STALLED_S", 0.0)
    answer, _ = reporting.operational_context.unprotect(await answering, request_id)  # type: ignore[union-attr]
    assert answer.code == codes.CHANGED


async def test_dropped_reports_are_counted_once(
    gateway: bootstrap.Gateway, reporting: FakeNode
) -> None:
    for sequence, dropped in ((1, 5), (2, 5), (3, 6)):
        assert (await reporting.send(pack(sequence, dropped=dropped))).code == codes.CHANGED
    assert gateway.tally.counts["reports_dropped_by_nodes"] == 6


async def test_an_orderly_stop_answers_what_is_under_way(
    gateway: bootstrap.Gateway, reporting: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the stop it would wait for company for longer than the node waits for an answer.
    monkeypatch.setattr(report_path, "COMPANY_WAIT_S", 30.0)
    datagram, request_id = protected(reporting, pack(1))
    before = gateway.tally.counts["reports_received"]
    answering = asyncio.ensure_future(reporting.exchange_bytes(datagram))
    await until(lambda: bool(gateway.reports._reports))
    await gateway.reports.close()
    answer, _ = reporting.operational_context.unprotect(await answering, request_id)  # type: ignore[union-attr]
    assert answer.code == codes.CHANGED
    assert gateway.tally.counts["reports_received"] == before + 1
    # What comes now is aiocoap's, as before there was a direct path.
    assert (await reporting.send(pack(2))).code == codes.CHANGED


async def test_after_a_crash_the_node_is_challenged_and_nothing_stored_twice(
    config: GatewayConfig, fleet: FakeFleet, make_node: MakeNode
) -> None:
    fleet.desire([desired_node(1)], revision=1)
    async with bootstrap.running(config) as gateway:
        await until(lambda: len(gateway.table) == 2)
        node = await make_node(gateway.endpoint.port)
        await node.bootstrap()
        await node.register()
        node.resources["/26241/0/5"] = LAYOUT
        await node.send(pack(0))
        await until(lambda: gateway.layouts.find(LAYOUT_ID) is not None)
        assert (await node.send(pack(0))).code == codes.CHANGED
        # Nothing more reaches the disk: as after kill -9, the next start knows no window.
        gateway.table._by_kid.clear()
    async with bootstrap.running(config) as gateway:
        node.gateway = ("127.0.0.1", gateway.endpoint.port)
        await node.move()
        before = node.challenges
        assert (await node.send(pack(0))).code == codes.CHANGED
        assert node.challenges == before + 1
        assert gateway.tally.counts["reports_duplicate"] == 1
        assert (await node.send(pack(1))).code == codes.CHANGED
