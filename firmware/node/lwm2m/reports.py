"""Builds reports and events as SenML-CBOR packs, and the queue's records of them.

Not their delivery, and not the measuring.
"""

from binascii import crc32

from micropython import const

from node.codec.cbor import Writer
from node.codec.senml import PackWriter
from node.lwm2m import values
from node.store.report_queue import make_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What a node of each board profile reports, in this order: (object, resource).
PROFILES = {
    "pole-basic": (
        (3416, 3),
        (3418, 1),
        (3418, 2),
        (3418, 4),
        (3418, 5),
        (3418, 6),
        (3303, 5700),
        (3304, 5700),
        (3428, 3),
        (3301, 5700),
    ),
}

_REPORT = b"/26241/0/"
_EVENT = b"/26242/0/"
_BUFFER_BYTES = const(256)
# A base time of more than 16 bits is five bytes of CBOR: the head, then the number. In our packs
# it stands behind the array's head, the first record's head, and the base name with its label.
_PLACEHOLDER_S = const(0x7FFFFFFF)
_TIME_AT = 1 + 1 + 1 + 1 + len(_REPORT) + 1
_UNSIGNED_32 = const(0x1A)  # RFC 8949, 3.1: major type 0, four bytes follow
_NEGATIVE_32 = const(0x3A)  # major type 1


def stamp(payload: bytearray, base_time_s: int) -> None:
    """Put the base time into a pack of this module.

    Args:
        payload: Changed in place.
        base_time_s: Unix time, or a value that is not positive for a time before now.
    """
    if base_time_s >= 0:
        payload[_TIME_AT] = _UNSIGNED_32
        argument = base_time_s
    else:
        payload[_TIME_AT] = _NEGATIVE_32
        argument = -1 - base_time_s
    payload[_TIME_AT + 1 : _TIME_AT + 5] = argument.to_bytes(4, "big")


def _head(layout_id: int, count: int) -> bytes:
    """Encode what every array of `count` values of a layout begins with."""
    buffer = bytearray(8)
    head = Writer(buffer)
    head.array(1 + count)
    head.integer(layout_id)
    return bytes(buffer[: head.length])


class Reporter:
    """Encodes reports and events; owns their sequence numbers and one buffer.

    A report names its values once for all, by the id of a layout (docs/adr/0005): names would be
    half of it.

    Args:
        profile: A key of PROFILES.
        dispatcher: Gives the values.
        report: Object 26241.
        monotonic_s: Gives seconds since boot.
        unix_s: Gives Unix time, 0 while unknown.
    """

    def __init__(
        self, profile: str, dispatcher: "Any", report: "Any", monotonic_s: "Any", unix_s: "Any"
    ) -> None:
        self._report = report
        self._monotonic_s = monotonic_s
        self._unix_s = unix_s
        self._event_sequence = 0
        self._buffer = bytearray(_BUFFER_BYTES)
        self._writer = PackWriter(self._buffer)
        # Made once: encoding a report must not allocate.
        self._readings = []
        for object_id, resource in PROFILES[profile]:
            thing = dispatcher.thing(object_id)
            self._readings.append((thing, resource, thing.TABLE[resource][-1]))
        report.layout = " ".join(["/%d/0/%d" % path for path in PROFILES[profile]])
        report.layout_id = crc32(report.layout.encode())
        self._head = _head(report.layout_id, len(self._readings))
        self._values_at = 0

    def take(self, dropped: int) -> bytes:
        """Encode the current readings as the next report.

        Args:
            dropped: Reports lost to overflow since boot.

        Returns:
            A record for the queue.
        """
        report = self._report
        report.dropped = dropped
        count = self.encode(dropped)
        report.values = bytes(self._buffer[self._values_at : count])
        record = self._record(count)
        report.count()
        return record

    def event(self, kind: str, severity: int, detail: str) -> bytes:
        """Encode an event.

        Args:
            kind: What happened, for machines.
            severity: 1 for the record, 2 someone should look at it, 3 someone must act.
            detail: For people.

        Returns:
            A record for the queue.
        """
        writer = self._writer
        writer.begin(_PLACEHOLDER_S)
        writer.integer(_EVENT, b"0", self._report.boot_count)
        writer.integer(_EVENT, b"1", self._event_sequence)
        writer.text(_EVENT, b"2", kind)
        writer.integer(_EVENT, b"3", severity)
        writer.text(_EVENT, b"4", detail)
        self._event_sequence += 1
        return self._record(writer.end())

    def encode(self, dropped: int) -> int:
        """Write the pack into the buffer and give its length; allocates no heap."""
        writer = self._writer
        writer.begin(_PLACEHOLDER_S)
        writer.integer(_REPORT, b"0", self._report.boot_count)
        writer.integer(_REPORT, b"1", self._report.sequence)
        if dropped:
            writer.integer(_REPORT, b"2", dropped)
        if not self._report.sequence and self._report.made_before is not None:
            writer.integer(_REPORT, b"7", self._report.made_before)
        items = writer.items
        start = writer.open_opaque(_REPORT, b"4")
        items.raw(self._head)
        for thing, resource, kind in self._readings:
            values.add_item(items, kind, thing.read(resource))
        items.close_blob(start)
        self._values_at = start
        return writer.end()

    def _record(self, count: int) -> bytes:
        unix_s = self._unix_s()
        return make_record(
            self._report.boot_count,
            unix_s or self._monotonic_s(),
            unix_s > 0,
            bytes(self._buffer[:count]),
        )
