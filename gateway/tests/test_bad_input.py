"""What comes from the street and is not what it should be: answered as the RFCs say, counted."""

import os

import cbor2
import pytest
from aiocoap.message import Message
from aiocoap.numbers import codes
from aiocoap.numbers.types import CON
from gateway_fakes.desired import keys_of
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import FakeContext, FakeNode, until
from hypothesis import given
from hypothesis import strategies as st

from poleward_gateway import bootstrap
from poleward_gateway.adapters.node_link import report_mapping, senml
from poleward_gateway.domain.nodes import NodeNumber, OscoreKeys


async def test_a_plain_request_gets_4_01_with_nothing_else(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    for path in ("dp", "rd", "bs", "r"):
        response = await node.request(None, codes.POST, (path,), payload=b"x")
        assert response.code == codes.UNAUTHORIZED
        assert response.payload == b""
        assert not list(response.opt.option_list())
    assert gateway.tally.counts["requests_without_security"] == 4


async def test_an_unknown_security_context_gets_4_01(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    stranger = FakeContext(OscoreKeys(b"s" * 16, b"", b"\xee\xee", b"\x00"))
    for _ in range(3):
        response = await node.request(stranger, codes.POST, ("dp",), payload=b"x")
        assert response.code == codes.UNAUTHORIZED
    assert gateway.tally.counts["requests_with_unknown_key"] == 3


async def test_a_replayed_message_is_rejected(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    context = node.operational_context
    assert context is not None
    pack = cbor2.dumps([{0: "/26241/0/0", 2: 1}, {0: "/26241/0/1", 2: 0}])
    message = Message(code=codes.POST, uri_path=("dp",), payload=pack, content_format=112)
    protected, request_id = context.protect(message)
    datagram = node._encode(protected, CON)
    first = await node.exchange_bytes(datagram)
    assert first.opt.oscore is not None
    # The same protected request in a new message: neither layer below recognises it.
    again = datagram[:2] + os.urandom(2) + os.urandom(4) + datagram[8:]
    replayed, _ = context.unprotect(await node.exchange_bytes(again), request_id)
    # Who only repeats what they heard cannot use the Echo value.
    assert replayed.code == codes.UNAUTHORIZED
    assert replayed.opt.echo is not None
    assert gateway.tally.counts["requests_replayed"] == 1


async def test_a_retransmission_gets_the_same_answer_and_is_handled_once(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    context = node.operational_context
    assert context is not None
    pack = cbor2.dumps([{0: "/26241/0/0", 2: 1}, {0: "/26241/0/1", 2: 0}])
    message = Message(code=codes.POST, uri_path=("dp",), payload=pack, content_format=112)
    protected, _ = context.protect(message)
    datagram = node._encode(protected, CON)
    await node.exchange_bytes(datagram)
    node.throw(datagram)
    # The answer is in the acknowledgement, unless the machine was slow and it followed that.
    acknowledged = node.acknowledgements[protected.mid]
    await node.until(lambda: len(acknowledged) == 2)
    assert acknowledged[0] == acknowledged[1]
    assert gateway.tally.counts["reports_received"] == 1


async def test_garbage_is_ignored_and_the_gateway_goes_on(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    context = node.operational_context
    assert context is not None
    protected, _ = context.protect(Message(code=codes.POST, uri_path=("dp",), payload=b"x"))
    whole = node._encode(protected, CON)
    thrown = [whole[:length] for length in range(len(whole))]
    thrown += [os.urandom(length) for length in range(1, 200, 7)]
    # OSCORE options that promise more than there is (RFC 8613, 6.1).
    thrown += [
        b"\x42\x02\x00" + bytes([n]) + b"abcd\x91" + bytes([n]) + b"\xffx" for n in range(99)
    ]
    for datagram in thrown:
        node.throw(datagram)
    await until(lambda: gateway.tally.counts["datagrams_received"] >= len(thrown))
    response = await node.report(1, 0, {"/3418/0/4": 1.0})
    assert response.code == codes.CHANGED


async def test_a_bootstrap_context_cannot_report_or_register(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    for path in ("dp", "rd"):
        response = await node.request(node.bootstrap_context, codes.POST, (path,))
        assert response.code == codes.UNAUTHORIZED


async def test_a_node_cannot_register_as_another(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    response = await node.request(
        node.operational_context, codes.POST, ("rd",), query=("ep=urn:dev:mac:000000000002",)
    )
    assert response.code == codes.BAD_REQUEST
    assert not gateway.registry.is_registered(NodeNumber(2))
    other = await node.request(node.operational_context, codes.DELETE, ("rd", "2"))
    assert other.code == codes.NOT_FOUND


@pytest.mark.parametrize(
    "pack",
    [
        b"",
        b"\xff",
        cbor2.dumps({}),
        cbor2.dumps([]),
        cbor2.dumps([1]),
        cbor2.dumps([{0: "/26241/0/0", 2: 1}]),
        cbor2.dumps([{0: "/26241/0/0", 2: -1}, {0: "/26241/0/1", 2: 0}]),
        cbor2.dumps([{0: "/26241/0/0", 2: 1}, {0: "/26241/0/1", 2: 2**31}]),
        cbor2.dumps([{0: "/26241/0/0", 2: 1}, {0: "/26241/0/1", 2: True}]),
        cbor2.dumps([{-3: float("nan"), 0: "/26241/0/0", 2: 1}, {0: "/26241/0/1", 2: 0}]),
        cbor2.dumps([{-3: float("inf"), 0: "/26241/0/0", 2: 1}, {0: "/26241/0/1", 2: 0}]),
        cbor2.dumps([{0: "/26242/0/0", 2: 1}, {0: "/26242/0/1", 2: 0}]),
        cbor2.dumps([{0: "/26242/0/0", 2: 1}, {0: "/26242/0/2", 3: "x"}, {0: "/26242/0/3", 2: 9}]),
    ],
)
async def test_a_malformed_pack_gets_4_00_and_a_reason(
    gateway: bootstrap.Gateway, node: FakeNode, pack: bytes
) -> None:
    response = await node.send(pack)
    assert response.code == codes.BAD_REQUEST
    assert response.payload
    assert gateway.spool.waiting_reports() == 0


async def test_an_oversized_request_in_blocks_is_stopped(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    response = None
    for number in range(20):
        response = await node.request(
            node.operational_context, codes.POST, ("dp",), payload=b"x" * 1024,
            block1=(number, True, 6),
        )  # fmt: skip
        if response.code != codes.CONTINUE:
            break
    assert response is not None
    assert response.code == codes.REQUEST_ENTITY_TOO_LARGE


async def test_content_that_no_release_has_is_not_found(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    for path in (("r", "00" * 32), ("r", "x"), ("a", "d", "00" * 32), ("a", "x"), ("nothing",)):
        response = await node.request(node.operational_context, codes.GET, path)
        assert response.code == codes.NOT_FOUND


@given(st.binary(max_size=200))
def test_a_pack_of_any_bytes_is_decoded_or_refused(payload: bytes) -> None:
    try:
        records = senml.decode(payload)
    except senml.SenmlError:
        return
    try:
        report_mapping.to_report(NodeNumber(1), records, 0, lambda _: None)
    except (report_mapping.PackError, report_mapping.UnknownLayoutError):
        return


_NAMES = ["", "/", "x", "/26241/0/0", "/26241/0/1", "/26242/0/2", "/26242/0/4", "/26241/0/4", "{}"]
_values = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from(_NAMES),
    st.booleans(),
    st.binary(max_size=5),
    st.none(),
)
_records = st.dictionaries(
    st.sampled_from([-5, -4, -3, -2, 0, 2, 3, 4, 6, 8, "vlo"]), _values, max_size=5
)


@given(st.lists(_records, max_size=5))
def test_any_pack_becomes_a_report_an_event_or_an_error(pack: list[dict[object, object]]) -> None:
    try:
        records = senml.decode(cbor2.dumps(pack))
        if report_mapping.is_event(records):
            report_mapping.to_event(NodeNumber(1), records, 0)
        else:
            report_mapping.to_report(NodeNumber(1), records, 0, lambda _: None)
    except (senml.SenmlError, report_mapping.PackError, report_mapping.UnknownLayoutError):
        return


def test_peers_may_split_base_name_and_name_anywhere() -> None:
    for base, name in (("/3/0/", "0"), ("/3/0", "/0"), ("/3/0/0", ""), ("", "/3/0/0")):
        record: dict[int, object] = {2: 7}
        if base:
            record[-2] = base
        if name:
            record[0] = name
        assert senml.decode(cbor2.dumps([record])) == [senml.Record("/3/0/0", 7)]


async def test_keys_of_one_node_do_not_open_another(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    keys = keys_of(2, "operational")
    forged = FakeContext(OscoreKeys(b"x" * 16, keys.master_salt, keys.node_id, keys.gateway_id))
    response = await node.request(forged, codes.POST, ("dp",), payload=b"x")
    assert response.code == codes.BAD_REQUEST
    assert gateway.tally.counts["requests_not_authentic"] == 1
