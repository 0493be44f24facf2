"""Reports as packs: contents, time, size, and no heap in the hot path."""

from binascii import crc32

from vm.fake_board import FakeNvs

from node.codec import cbor
from node.codec.senml import read_pack
from node.lwm2m.objects.report import Report
from node.lwm2m.reports import PROFILES, Reporter, stamp
from node.store.report_queue import HEADER_BYTES

try:
    from micropython import heap_lock, heap_unlock
except ImportError:

    def heap_lock():
        """Only the VM can forbid allocation."""

    def heap_unlock():
        """See heap_lock."""


class Thing:
    """An object of which only the reading matters."""

    def __init__(self, table, value):
        self.TABLE = table
        self.value = value

    def read(self, resource):
        return self.value


class Objects:
    """A dispatcher's side of reports."""

    def __init__(self):
        floats = {1: "Rf", 2: "Rf", 3: "Rf", 4: "Rf", 5: "Rf", 6: "Rf", 5700: "Rf"}
        self.things = {number: Thing(floats, 230125) for number in (3418, 3301, 3303, 3304, 3428)}
        self.things[3416] = Thing({3: "Ri"}, 70)

    def thing(self, object_id):
        return self.things[object_id]


class Key:
    """Object 26241 as the reporter uses it."""

    boot_count = 7
    sequence = 0
    dropped = 0
    values = b""
    layout = ""
    layout_id = 0
    made_before = None

    def count(self):
        self.sequence += 1


def make(unix_s=1700000000):
    objects = Objects()
    key = Key()
    return Reporter("pole-basic", objects, key, lambda: 42, lambda: unix_s), objects, key


def unpack(record, base_time_s=1700000000):
    payload = bytearray(record[HEADER_BYTES:])
    stamp(payload, base_time_s)
    return read_pack(payload)


def test_report_carries_key_time_and_readings():
    reporter, _, key = make()
    records = unpack(reporter.take(0))
    assert records[0] == ("/26241/0/0", 7, 1700000000)
    assert records[1] == ("/26241/0/1", 0, 1700000000)
    assert [path for path, _, _ in records] == ["/26241/0/0", "/26241/0/1", "/26241/0/4"]
    values = cbor.loads(records[2][1])
    assert key.values == records[2][1]
    assert values[0] == key.layout_id == crc32(key.layout.encode())
    paths = key.layout.split(" ")
    assert paths == ["/%d/0/%d" % path for path in PROFILES["pole-basic"]]
    found = dict(zip(paths, values[1:]))
    assert found["/3416/0/3"] == 70
    assert abs(found["/3418/0/1"] - 230.125) < 0.001
    assert {time for _, _, time in records} == {1700000000}
    assert unpack(reporter.take(0))[1][1] == 1
    assert key.sequence == 2


def test_dropped_reports_are_declared_only_when_there_are_any():
    reporter, _, key = make()
    assert "/26241/0/2" not in [path for path, _, _ in unpack(reporter.take(0))]
    assert ("/26241/0/2", 5, 1700000000) in unpack(reporter.take(5))
    assert key.dropped == 5


def test_first_report_says_how_many_the_boot_before_made():
    reporter, _, key = make()
    key.made_before = 12
    assert ("/26241/0/7", 12, 1700000000) in unpack(reporter.take(0))
    assert "/26241/0/7" not in [path for path, _, _ in unpack(reporter.take(0))]


def test_reports_are_counted_for_the_next_boot():
    storage = FakeNvs()
    first = Report(1, storage, None)
    assert first.made_before is None
    first.count()
    first.count()
    assert first.sequence == 2
    assert Report(2, storage, None).made_before == 2
    # A boot that makes none says so.
    assert Report(3, storage, None).made_before == 0


def test_reading_that_there_is_not_is_null():
    reporter, objects, key = make()
    objects.things[3303].value = None
    values = cbor.loads(unpack(reporter.take(0))[2][1])
    assert len(values) == 11
    assert values[1 + key.layout.split(" ").index("/3303/0/5700")] is None


def test_base_time_can_be_before_now():
    reporter, _, _ = make(0)
    record = reporter.take(0)
    for base_time_s in (0, -1, -86400, 1700000000):
        assert unpack(record, base_time_s)[2][2] == base_time_s


def test_report_fits_its_budget():
    reporter, _, key = make()
    key.boot_count = key.sequence = 100000
    assert len(reporter.take(0)) - HEADER_BYTES <= 100


def test_encoding_a_report_allocates_nothing():
    reporter, _, _ = make()
    reporter.encode(3)
    heap_lock()
    try:
        reporter.encode(3)
    finally:
        heap_unlock()


def test_event_carries_key_kind_severity_and_detail():
    reporter, _, _ = make()
    reporter.event("node.rebooted", 1, "reset")
    records = unpack(reporter.event("supply.lost", 3, ""))
    assert [(path, value) for path, value, _ in records] == [
        ("/26242/0/0", 7),
        ("/26242/0/1", 1),
        ("/26242/0/2", "supply.lost"),
        ("/26242/0/3", 3),
        ("/26242/0/4", ""),
    ]
