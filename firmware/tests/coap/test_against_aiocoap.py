"""The node's CoAP messages and OSCORE against aiocoap's, with Hypothesis, both ways."""

import aiocoap
from aiocoap.message import Direction
from aiocoap_context import MemoryContext
from hypothesis import given, settings
from hypothesis import strategies as st

from node.coap import message
from node.codec import options as coap_options
from node.oscore import protect
from node.oscore.context import OscoreError, SecurityContext

SECRET = bytes(range(16))
SALT = bytes(range(8))

texts = st.text(min_size=1, max_size=20).map(str.encode)
options_of_a_request = st.builds(
    lambda path, query, content_format, accept, etag, echo: (
        ([(4, etag)] if etag else [])
        + [(11, segment) for segment in path]
        + ([] if content_format is None else [(12, coap_options.uint(content_format))])
        + [(15, part) for part in query]
        + ([] if accept is None else [(17, coap_options.uint(accept))])
        + ([(252, echo)] if echo else [])
    ),
    st.lists(texts, max_size=4),
    st.lists(texts, max_size=3),
    st.none() | st.integers(0, 65535),
    st.none() | st.integers(0, 65535),
    st.binary(max_size=8),
    st.binary(max_size=40),
)
payloads = st.binary(max_size=1024)


def as_pairs(parsed: aiocoap.Message) -> list[tuple[int, bytes]]:
    return [(int(option.number), option.encode()) for option in parsed.opt.option_list()]


@given(
    st.sampled_from([0, 1]),
    st.sampled_from([1, 2, 3, 4, 5, 7]),
    st.integers(0, 65535),
    st.binary(max_size=8),
    options_of_a_request,
    payloads,
)
def test_messages_are_encoded_as_aiocoap_does(
    kind: int,
    code: int,
    message_id: int,
    token: bytes,
    options: list[tuple[int, bytes]],
    payload: bytes,
) -> None:
    data = message.encode(bytearray(2048), kind, code, message_id, token, options, payload)
    theirs = aiocoap.Message.decode(data)
    assert (int(theirs.mtype), int(theirs.code), theirs.mid, theirs.token) == (
        kind,
        code,
        message_id,
        token,
    )
    assert as_pairs(theirs) == options
    assert theirs.payload == payload
    again = aiocoap.Message(
        code=theirs.code, payload=payload, _mtype=theirs.mtype, _mid=message_id, _token=token
    )
    for option in theirs.opt.option_list():
        again.opt.add_option(option)
    assert again.encode() == data
    ours = message.decode(memoryview(data))
    assert (ours.kind, ours.code, ours.message_id, ours.token) == (kind, code, message_id, token)
    assert ours.options == options
    assert bytes(ours.payload) == payload


@settings(max_examples=500)
@given(st.binary(max_size=64))
def test_any_bytes_are_decoded_as_aiocoap_does_or_refused(data: bytes) -> None:
    try:
        ours = message.decode(memoryview(data))
    except message.MessageError:
        return
    try:
        theirs = aiocoap.Message.decode(data)
    except UnicodeDecodeError:
        return  # a text option that only aiocoap reads, such as Uri-Host
    assert (int(theirs.code), theirs.mid, theirs.token) == (ours.code, ours.message_id, ours.token)
    assert [pair[0] for pair in as_pairs(theirs)] == [pair[0] for pair in ours.options]
    assert theirs.payload == bytes(ours.payload)


def contexts() -> tuple[SecurityContext, MemoryContext]:
    return (
        SecurityContext(SECRET, SALT, b"\x17", b"\x00"),
        MemoryContext(SECRET, SALT, b"\x00", b"\x17"),
    )


def over_the_wire(theirs: aiocoap.Message) -> message.Message:
    """Encode what aiocoap made and decode it on our side."""
    theirs.mtype = aiocoap.CON
    theirs.mid = 1
    theirs.token = b"t"
    return message.decode(memoryview(theirs.encode()))


def to_aiocoap(
    code: int, options: list[tuple[int, bytes]], payload: bytes, kind: int = 0
) -> aiocoap.Message:
    """Encode what we made and decode it on aiocoap's side."""
    data = message.encode(bytearray(2048), kind, code, 1, b"t", options, payload)
    theirs = aiocoap.Message.decode(data)
    theirs.direction = Direction.INCOMING
    return theirs


@given(options_of_a_request, payloads, payloads, st.integers(0, 2**40 - 1), st.booleans())
def test_our_requests_open_at_aiocoap_and_its_responses_here(
    options: list[tuple[int, bytes]],
    payload: bytes,
    answer: bytes,
    sequence: int,
    is_observing: bool,
) -> None:
    ours, theirs = contexts()
    ours.sequence = sequence
    if is_observing:
        options = [*options, (6, b"")]
    code, outer, ciphertext, binding = protect.protect_request(ours, 1, options, payload)
    opened, request_id = theirs.unprotect(to_aiocoap(code, outer, ciphertext))
    assert int(opened.code) == 1
    assert as_pairs(opened) == sorted(options, key=lambda pair: pair[0])
    assert opened.payload == payload
    for number in range(2):
        response = aiocoap.Message(code=aiocoap.CONTENT, payload=answer, content_format=112)
        if is_observing:
            response.opt.observe = number
        protected, _ = theirs.protect(response, request_id)
        received = over_the_wire(protected)
        option = coap_options.find(received.options, coap_options.OSCORE)
        assert option is not None
        code, inner, body = protect.unprotect_response(ours, binding, option, received.payload)
        assert code == 0x45
        assert (12, b"p") in inner
        assert bytes(body) == answer


@given(options_of_a_request, payloads, payloads, st.integers(0, 2**32), st.booleans())
def test_aiocoaps_requests_open_here_and_our_responses_there(
    options: list[tuple[int, bytes]],
    payload: bytes,
    answer: bytes,
    sequence: int,
    is_observing: bool,
) -> None:
    ours, theirs = contexts()
    theirs.sender_sequence_number = sequence
    plain = message.encode(bytearray(2048), 0, 2, 1, b"t", options, payload)
    request = aiocoap.Message.decode(plain)
    request.direction = Direction.OUTGOING
    if is_observing:
        request.code = aiocoap.GET
        request.opt.observe = 0
    protected, request_id = theirs.protect(request)
    received = over_the_wire(protected)
    option = coap_options.find(received.options, coap_options.OSCORE)
    assert option is not None
    partial_iv, _, kid = protect.read_option(option)
    assert kid == b"\x00"
    code, inner, body, binding = protect.unprotect_request(ours, partial_iv, received.payload)
    assert code == (1 if is_observing else 2)
    assert [pair for pair in inner if pair[0] != 6] == options
    assert bytes(body) == payload
    for number in range(3):
        extra = [(6, coap_options.uint(number))] if is_observing else []
        code, outer, ciphertext = protect.protect_response(
            ours, binding, 0x45, [*extra, (12, b"p")], answer
        )
        opened, _ = theirs.unprotect(to_aiocoap(code, outer, ciphertext, kind=2), request_id)
        assert int(opened.code) == 0x45
        assert opened.payload == answer
        assert int(opened.opt.content_format) == 112


@settings(max_examples=300)
@given(st.binary(max_size=12), st.binary(max_size=40))
def test_garbage_under_oscore_raises_only_the_layers_error(option: bytes, data: bytes) -> None:
    ours, _ = contexts()
    try:
        partial_iv, _, _ = protect.read_option(option)
        protect.unprotect_request(ours, partial_iv, data)
    except OscoreError:
        return
    raise AssertionError("garbage was authentic")
