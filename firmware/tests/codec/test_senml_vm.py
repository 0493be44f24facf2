"""SenML packs against RFC 8428, and the report path's promise not to allocate; on both Pythons."""

import micropython
from vm import vectors
from vm.raises import raised

from node.codec import cbor, senml


def test_packs_are_read_with_base_values_applied():
    for vector in vectors.load("senml")["packs"]:
        records = senml.read_pack(bytes.fromhex(vector["hex"]))
        assert len(records) == len(vector["records"]), vector["name"]
        for record, (path, value, time) in zip(records, vector["records"]):
            assert record[0] == path
            assert record[1] == value, (vector["name"], record)
            assert abs(record[2] - time) < 0.001, (vector["name"], record)


def test_what_is_not_senml_is_refused():
    for vector in vectors.load("senml")["refused"]:
        pack = bytes.fromhex(vector["hex"])
        assert raised(senml.SenmlError, senml.read_pack, pack), vector["why"]


def test_more_records_than_allowed_are_refused():
    pack = b"\x98\x21" + b"\xa1\x00\x62/1" * 33
    assert len(senml.read_pack(pack, 33)) == 33
    assert raised(senml.SenmlError, senml.read_pack, pack)


def test_a_pack_reads_back_as_it_was_written():
    buffer = bytearray(256)
    pack = senml.PackWriter(buffer)
    pack.begin(1760000000)
    pack.integer(b"/26241/0/", b"0", 7)
    pack.integer(b"/26241/0/", b"1", 65536)
    pack.scaled(b"/3418/0/", b"1", 230500, 1000)
    pack.boolean(b"/3416/0/", b"5", False)
    pack.text(b"/3/0/", b"3", "1.2.0")
    pack.opaque(b"/5/0/0", b"", b"\x00\xff")
    pack.link(b"/0/1/17", b"", "21:0")
    pack.number(b"/3303/0/5700", b"", 21.5)
    size = pack.end()
    records = senml.read_pack(memoryview(buffer)[:size])
    assert records == [
        ("/26241/0/0", 7, 1760000000),
        ("/26241/0/1", 65536, 1760000000),
        ("/3418/0/1", 230.5, 1760000000),
        ("/3416/0/5", False, 1760000000),
        ("/3/0/3", "1.2.0", 1760000000),
        ("/5/0/0", b"\x00\xff", 1760000000),
        ("/0/1/17", "21:0", 1760000000),
        ("/3303/0/5700", 21.5, 1760000000),
    ]


def test_a_pack_may_have_more_than_23_records():
    for count in (0, 1, 22, 23, 24, 25, 60):
        buffer = bytearray(1024)
        pack = senml.PackWriter(buffer)
        pack.begin(0)
        for index in range(count):
            pack.integer(b"/9/0/", str(index).encode(), index)
        records = senml.read_pack(memoryview(buffer)[: pack.end()], 100)
        assert records == [("/9/0/%d" % index, index, 0) for index in range(count)]


def test_a_record_without_room_is_refused():
    pack = senml.PackWriter(bytearray(16))
    pack.begin(0)
    pack.integer(b"/3/0/", b"1", 1)
    assert raised(cbor.CborError, pack.integer, b"/3/0/", b"2", 1).args[0] == cbor.NO_ROOM


def write_report(pack):
    """Write a report of nine readings as the profile "pole-basic" has it."""
    pack.begin(1760000000)
    pack.integer(b"/26241/0/", b"0", 12)
    pack.integer(b"/26241/0/", b"1", 4711)
    pack.integer(b"/3416/0/3", b"", 80)
    pack.scaled(b"/3418/0/", b"1", 230412, 1000)
    pack.scaled(b"/3418/0/", b"2", 391, 1000)
    pack.scaled(b"/3418/0/", b"4", 85321, 1000)
    pack.scaled(b"/3418/0/", b"5", 947, 1000)
    pack.scaled(b"/3418/0/", b"6", 1234567, 1000)
    pack.scaled(b"/3303/0/5700", b"", -1250, 1000)
    pack.scaled(b"/3304/0/5700", b"", 67100, 1000)
    pack.scaled(b"/3428/0/3", b"", 35000, 1000)
    return pack.end()


def test_writing_a_report_does_not_allocate():
    pack = senml.PackWriter(bytearray(450))
    size = write_report(pack)
    if hasattr(micropython, "heap_lock"):
        micropython.heap_lock()
        try:
            again = write_report(pack)
        finally:
            micropython.heap_unlock()
        assert again == size
    assert size <= 170, size
