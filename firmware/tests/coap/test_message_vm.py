"""CoAP messages and block options against RFC 7252 and RFC 7959; on both Pythons."""

from vm import vectors
from vm.raises import raised

from node.coap import blockwise, message
from node.codec import options as coap_options


def test_the_messages_of_rfc_7252_are_decoded_and_encoded():
    for vector in vectors.load("coap")["messages"]:
        data = bytes.fromhex(vector["hex"])
        parsed = message.decode(memoryview(data))
        assert parsed.kind == vector["kind"]
        assert parsed.code == vector["code"]
        assert parsed.message_id == vector["message_id"]
        assert parsed.token.hex() == vector["token"]
        assert [[number, value.hex()] for number, value in parsed.options] == vector["options"]
        assert bytes(parsed.payload).hex() == vector["payload"]
        encoded = message.encode(
            bytearray(64),
            parsed.kind,
            parsed.code,
            parsed.message_id,
            parsed.token,
            parsed.options,
            parsed.payload,
        )
        assert encoded == data


def test_message_format_errors_are_refused():
    for vector in vectors.load("coap")["message_format_errors"]:
        data = memoryview(bytes.fromhex(vector["hex"]))
        assert raised(message.MessageError, message.decode, data), vector["why"]


def test_options_of_every_length_class_survive():
    options = [(1, b"")]
    number = 1
    for step, size in ((11, 12), (12, 13), (13, 268), (14, 269), (268, 300), (269, 0), (300, 1)):
        number += step
        options.append((number, bytes([number & 0xFF]) * size))
    buffer = bytearray(1500)
    data = message.encode(buffer, 0, 1, 2, b"12345678", options, b"x")
    parsed = message.decode(memoryview(data))
    assert parsed.options == options
    assert bytes(parsed.payload) == b"x"


def test_options_are_put_in_order_and_path_segments_keep_theirs():
    options = [(17, b"p"), (11, b"3416"), (11, b"0"), (11, b"3"), (6, b"")]
    data = message.encode(bytearray(64), 0, 1, 2, b"", options)
    assert message.decode(memoryview(data)).options == [
        (6, b""), (11, b"3416"), (11, b"0"), (11, b"3"), (17, b"p"),
    ]  # fmt: skip


def test_too_many_options_are_refused():
    data = message.encode(bytearray(64), 0, 1, 2, b"", [(11, b"")] * 24)
    assert len(message.decode(memoryview(data)).options) == 24
    assert raised(message.MessageError, message.decode, memoryview(data + b"\x00"))


def test_a_message_larger_than_the_buffer_is_refused():
    for options, payload in (([(11, b"x" * 20)], b""), ([], b"x" * 20)):
        arguments = (bytearray(16), 0, 1, 2, b"", options, payload)
        assert raised(coap_options.OptionsError, message.encode, *arguments)


def test_block_options_are_read_and_written():
    for vector in vectors.load("coap")["blocks"]:
        szx = {16: 0, 32: 1, 64: 2, 128: 3, 256: 4, 512: 5, 1024: 6}[vector["size"]]
        value = bytes.fromhex(vector["value"])
        wanted = (vector["number"], vector["more"], szx)
        assert blockwise.read_block([(23, value)], 23) == wanted, vector["notation"]
        assert blockwise.block_value(*wanted) == value, vector["notation"]
    assert blockwise.read_block([], 23) is None
    for value in (b"\x07", b"\x00\x00\x00\x00"):
        assert raised(blockwise.BlockError, blockwise.read_block, [(23, value)], 23)


def upload(uploads, number, more, payload, key="k", szx=0):
    return uploads.take(key, (number, more, szx), memoryview(payload))


def test_uploads_are_put_together():
    uploads = blockwise.Uploads()
    assert upload(uploads, 0, True, b"a" * 16) is None
    assert upload(uploads, 1, True, b"b" * 16) is None
    assert upload(uploads, 2, False, b"c") == b"a" * 16 + b"b" * 16 + b"c"


def test_uploads_with_gaps_or_of_others_are_refused():
    cases = (
        {"number": 2, "more": False, "payload": b"c"},
        {"number": 1, "more": True, "payload": b"short"},
        {"number": 1, "more": False, "payload": b"c", "key": "other"},
    )
    for case in cases:
        uploads = blockwise.Uploads()
        upload(uploads, 0, True, b"a" * 16)
        error = raised(blockwise.BlockError, upload, uploads, **case)
        assert error.args[0] == message.REQUEST_INCOMPLETE


def test_an_upload_that_grows_too_large_is_refused():
    uploads = blockwise.Uploads()
    for number in range(4):
        assert upload(uploads, number, True, bytes(1024), szx=6) is None
    error = raised(blockwise.BlockError, upload, uploads, 4, False, b"x", szx=6)
    assert error.args[0] == message.TOO_LARGE
