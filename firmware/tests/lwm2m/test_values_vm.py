"""Values on the wire: each kind in each format, and everything that is refused."""

from node.lwm2m import values


def refused(call, *arguments):
    try:
        call(*arguments)
    except (values.BadValueError, ValueError):
        return True
    return False


def test_text_of_every_kind():
    for kind, text, value in (
        ("i", b"-5", -5), ("t", b"1700000000", 1700000000), ("f", b"1.5", 1500), ("b", b"1", True),
        ("b", b"0", False), ("s", b"\xe4\xb8\xad", "\u4e2d"), ("l", b"21:1", "21:1"),
    ):  # fmt: skip
        assert values.from_text(kind, text) == value
    assert values.to_text("f", 1500) == b"1.5"
    assert values.to_text("b", False) == b"0"
    for kind, text in (("i", b"x"), ("i", b""), ("b", b"2"), ("s", b"\xff"), ("o", b"x")):
        assert refused(values.from_text, kind, text), (kind, text)


def test_senml_of_every_kind():
    for kind, raw, value in (
        ("i", 5, 5), ("i", 5.0, 5), ("f", 1.5, 1500), ("f", 2, 2000), ("b", True, True),
        ("s", "a", "a"), ("o", b"a", b"a"), ("l", "21:1", "21:1"),
    ):  # fmt: skip
        assert values.from_senml(kind, raw) == value
    for kind, raw in (
        ("i", 5.5), ("i", True), ("i", "5"), ("b", 1), ("s", 5), ("o", "a"), ("f", None),
        ("i", float("inf")), ("f", float("nan")), ("n", 1),
    ):  # fmt: skip
        assert refused(values.from_senml, kind, raw), (kind, raw)


def test_tlv_of_every_kind():
    for kind, raw, value in (
        ("i", b"\xff", -1), ("t", b"\x65\x53\xf1\x00", 1700000000), ("f", b"\x3f\xc0\0\0", 1500),
        ("b", b"\x01", True), ("s", b"abc", "abc"), ("l", b"\0\x15\0\x01", "21:1"),
        ("o", b"a", b"a"),
    ):  # fmt: skip
        assert values.from_tlv(kind, memoryview(raw)) == value
    for kind, raw in (
        ("i", b""),
        ("i", b"123"),
        ("b", b"\x02"),
        ("f", b"1"),
        ("s", b"\xff"),
        ("f", b"\x7f\x80\0\0"),
    ):
        assert refused(values.from_tlv, kind, memoryview(raw)), (kind, raw)


def test_paths():
    assert values.parse_path("/") == ()
    assert values.parse_path("/3416/0/1") == (3416, 0, 1)
    for path in ("/a", "/-1", "/1/2/3/4/5", "/65536", "/100000", "/1.0"):
        assert refused(values.parse_path, path), path


def test_writes_stay_under_their_path():
    # [{bn "/3416/0/", n "1", v 30}, {n "51", v 0}]
    pack = b"\x82\xa3\x21\x68/3416/0/\x00\x611\x02\x18\x1e\xa2\x00\x6251\x02\x00"
    expected = [((3416, 0, 1), "senml", 30), ((3416, 0, 51), "senml", 0)]
    for path in ((), (3416,), (3416, 0)):
        assert values.read_writes(path, 112, pack) == expected
    for path in ((3, 0), (3416, 1), (3416, 0, 1)):
        assert refused(values.read_writes, path, 112, pack)
    assert refused(values.read_writes, (3416, 0), 112, pack[:-1])


def test_tlv_writes_of_instance_and_object():
    resource = b"\xc1\x04\x32"
    assert [
        (path, bytes(raw)) for path, _, raw in values.read_writes((3416, 0), 11542, resource)
    ] == [((3416, 0, 4), b"\x32")]
    instance = b"\x03\x00" + resource
    assert values.read_writes((3416,), 11542, instance)[0][0] == (3416, 0, 4)
    assert refused(values.read_writes, (3416, 0), 11542, instance)


def test_unknown_format_is_named():
    for path, content_format in (((3416, 0), 60), ((3416, 0), 0), ((), 11542), ((3, 0, 13), None)):
        try:
            values.read_writes(path, content_format, b"")
        except values.UnsupportedFormatError:
            continue
        raise AssertionError(content_format)


def test_server_uris():
    assert values.parse_uri("coap://127.0.0.1:5683") == ("127.0.0.1", 5683)
    assert values.parse_uri("coap://[2001:db8::1]:15683") == ("2001:db8::1", 15683)
    assert values.parse_uri("coap://[::1]") == ("::1", 5683)
    assert values.parse_uri("coap://gateway.example/") == ("gateway.example", 5683)
    for uri in ("", "coaps://x", "coap://", "coap://x:y", "http://x"):
        assert refused(values.parse_uri, uri), uri
