"""OMA TLV against the examples of OMA LwM2M TS Core 1.1, 7.4.3; on both Pythons."""

from vm.raises import raised

from node.codec import link_format, tlv


def test_a_single_object_instance_is_read():
    # 7.4.3.2.1: Device, resources 0, 1, 2 and 9 of it.
    data = bytes.fromhex(
        "c800144f70656e204d6f62696c6520416c6c69616e6365"
        "c801164c69676874776569676874204d324d20436c69656e74"
        "c80209333435303030313233"
        "c10964"
    )
    entries = tlv.read(data)
    assert [(kind, identifier) for kind, identifier, _ in entries] == [
        (tlv.RESOURCE, 0), (tlv.RESOURCE, 1), (tlv.RESOURCE, 2), (tlv.RESOURCE, 9),
    ]  # fmt: skip
    assert bytes(entries[0][2]) == b"Open Mobile Alliance"
    assert tlv.integer(entries[3][2]) == 100


def test_multiple_resources_nest_in_object_instances():
    # Object instance 0 of 11 bytes: multiple resource 6 (instances 0 and 1), resource 9.
    entries = tlv.read(bytes.fromhex("08000b" + "8606" + "410001" + "410105" + "c10964"))
    assert [(kind, identifier) for kind, identifier, _ in entries] == [(tlv.OBJECT_INSTANCE, 0)]
    multiple, resource = entries[0][2]
    assert multiple[:2] == (tlv.MULTIPLE_RESOURCE, 6)
    assert [(kind, identifier, tlv.integer(value)) for kind, identifier, value in multiple[2]] == [
        (tlv.RESOURCE_INSTANCE, 0, 1), (tlv.RESOURCE_INSTANCE, 1, 5),
    ]  # fmt: skip
    assert resource[:2] == (tlv.RESOURCE, 9)


def test_values_are_read_by_type():
    assert tlv.integer(b"\xff") == -1
    assert tlv.integer(b"\x51\x82\x42\x8f") == 1367491215
    assert tlv.integer(b"\xff\xff\xff\xff\xff\xff\xff\xfe") == -2
    assert tlv.number(b"\x3f\xc0\x00\x00") == 1.5
    assert tlv.number(b"\xbf\xf8\x00\x00\x00\x00\x00\x00") == -1.5
    assert tlv.boolean(b"\x01") is True
    for read, value in ((tlv.integer, b"\x01\x02\x03"), (tlv.number, b""), (tlv.boolean, b"\x02")):
        assert raised(tlv.TlvError, read, value)


def test_truncated_and_too_deep_entries_are_refused():
    whole = bytes.fromhex("c800144f70656e204d6f62696c6520416c6c69616e6365")
    for size in range(1, len(whole)):
        assert raised(tlv.TlvError, tlv.read, whole[:size])
    # An object instance in an object instance in an object instance in another.
    assert raised(tlv.TlvError, tlv.read, bytes.fromhex("0600" + "0400" + "0200" + "0000"))


def test_links_are_joined_as_register_wants_them():
    assert link_format.links([("/", 'rt="oma.lwm2m";ct=112'), ("/3/0", "")]) == (
        b'</>;rt="oma.lwm2m";ct=112,</3/0>'
    )
