"""The node's CBOR and SenML against cbor2, with Hypothesis."""

import math
import struct

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.codec import cbor, senml, tlv

integers = st.integers(-(2**64), 2**64 - 1)
floats = st.floats(allow_nan=False)
leaves = st.none() | st.booleans() | integers | floats | st.binary() | st.text()
items = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.integers(-100, 100) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(items)
def test_what_cbor2_writes_is_read(value: object) -> None:
    assert cbor.loads(cbor2.dumps(value), max_depth=64) == value


@given(items)
def test_what_cbor2_writes_canonically_with_short_floats_is_read(value: object) -> None:
    assert cbor.loads(cbor2.dumps(value, canonical=True), max_depth=64) == value


@given(st.binary(max_size=80))
def test_bytes_are_read_as_cbor2_reads_them_or_refused(data: bytes) -> None:
    try:
        value = cbor.loads(data)
    except cbor.CborError:
        return
    if "Tagged" in repr(value) or "Simple" in repr(value):
        return  # cbor2 gives tags a meaning that the node leaves alone
    expected = cbor2.loads(data)
    assert repr(value) == repr(expected) or value == expected


@given(integers)
def test_integers_are_written_as_cbor2_writes_them(value: int) -> None:
    writer = cbor.Writer(bytearray(9))
    writer.integer(value)
    assert bytes(writer.buffer[: writer.length]) == cbor2.dumps(value)


@given(st.integers(-(2**30), 2**30), st.integers(1, 2**29))
def test_scaled_integers_are_rounded_to_the_nearest_single(value: int, divisor: int) -> None:
    writer = cbor.Writer(bytearray(5))
    writer.scaled(value, divisor)
    written = struct.unpack(">f", writer.buffer[1:])[0]
    # Division in double precision and rounding once more may land on a neighbour in rare ties.
    nearest = struct.unpack(">f", struct.pack(">f", value / divisor))[0]
    assert math.isclose(written, value / divisor, rel_tol=2**-24)
    assert abs(written - value / divisor) <= abs(nearest - value / divisor)


readings = st.lists(
    st.tuples(
        st.sampled_from(["/3416/0/", "/3418/0/", "/3303/0/5700"]),
        st.sampled_from(["", "1", "22", "333"]),
        st.integers(-(2**30), 2**30) | st.booleans() | st.text(max_size=8) | st.binary(max_size=8),
    ),
    max_size=30,
)


@given(readings, st.integers(0, 2**33))
def test_packs_resolve_alike_in_cbor2(records: list[tuple[str, str, object]], at: int) -> None:
    buffer = bytearray(2048)
    pack = senml.PackWriter(buffer)
    pack.begin(at)
    for base, rest, value in records:
        parts = (base.encode(), rest.encode())
        if isinstance(value, bool):
            pack.boolean(*parts, value)
        elif isinstance(value, int):
            pack.integer(*parts, value)
        elif isinstance(value, str):
            pack.text(*parts, value)
        else:
            assert isinstance(value, bytes)
            pack.opaque(*parts, value)
    data = bytes(buffer[: pack.end()])
    # RFC 8428, 4.6, done once more by hand on what an independent reader sees.
    resolved = []
    base_name = ""
    base_time = 0
    for record in cbor2.loads(data):
        base_name = record.get(-2, base_name)
        base_time = record.get(-3, base_time)
        values = [record[label] for label in (2, 3, 4, 8) if label in record]
        assert len(values) == 1
        resolved.append((base_name + record.get(0, ""), values[0], base_time))
    assert resolved == [(base + rest, value, at) for base, rest, value in records]
    assert senml.read_pack(data) == resolved


@settings(max_examples=500)
@given(st.binary(max_size=60))
def test_garbage_raises_only_the_layers_error(data: bytes) -> None:
    for read, error in (
        (cbor.loads, cbor.CborError),
        (senml.read_pack, senml.SenmlError),
        (tlv.read, tlv.TlvError),
    ):
        try:
            read(data)
        except error:
            pass


@given(st.integers(-(2**63), 2**63 - 1))
def test_tlv_integers_are_read(value: int) -> None:
    for size in (1, 2, 4, 8):
        try:
            data = value.to_bytes(size, "big", signed=True)
        except OverflowError:
            continue
        assert tlv.integer(memoryview(data)) == value


def test_the_reader_refuses_text_that_is_not_utf_8() -> None:
    with pytest.raises(cbor.CborError):
        cbor.loads(b"\x62\xc3\x28")
