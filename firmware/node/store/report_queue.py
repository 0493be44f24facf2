"""Keeps each report and event until the gateway has it on its disk.

Not an encoder: a record is the encoded SenML pack behind a header that says when it was taken.
"""

import struct

from micropython import const

from node.store.flash_log import FlashLog

_HEADER = "<BII"
HEADER_BYTES = 9
_TIME_IS_UNIX = const(1)

# So many of the newest reports a power cut may lose.
_RING_RECORDS = const(2)
_SEGMENT_BYTES = const(4096)
_SEGMENTS_MAX = const(16)


def make_record(boot_count: int, taken_at: int, is_unix: bool, payload: bytes) -> bytes:
    """Put the header before an encoded pack.

    Args:
        boot_count: Of the boot that took it.
        taken_at: Unix seconds, or seconds since boot while the node has no time.
        is_unix: Which of the two.
        payload: The encoded pack.
    """
    return struct.pack(_HEADER, _TIME_IS_UNIX if is_unix else 0, boot_count, taken_at) + payload


def base_time(record: bytes, boot_count: int, monotonic_s: int, unix_s: int) -> int:
    """Compute the SenML base time of a record as it is sent now.

    A value that is not positive is relative to now (RFC 8428, 4.5.3): the node has no time, and the
    gateway places the readings when it receives them. A record of an earlier boot that had no time
    is at least as old as this boot.

    Args:
        record: As `make_record` made it.
        boot_count: Of this boot.
        monotonic_s: Seconds since boot, now.
        unix_s: Unix time now, 0 when unknown.
    """
    flags, taken_in_boot, taken_at = struct.unpack(_HEADER, record[:HEADER_BYTES])
    if flags & _TIME_IS_UNIX:
        return int(taken_at)
    age_s = monotonic_s - taken_at if taken_in_boot == boot_count else monotonic_s
    return unix_s - age_s if unix_s else -age_s


class ReportQueue:
    """Reports in the order they were taken: a ring in RAM in front of a bounded log in flash.

    - While the link works nothing is written to flash. `spill` moves everything to the log; call it
      when a report was not acknowledged and before a planned reset.
    - Overflow: a full ring of two moves its oldest report to the log; a full log drops its oldest
      segment and counts its reports in `dropped`.
    - Events have a log of their own, are in it before `put_event` returns, and are never dropped.
    - So have emergency calls: no other event may stand before them.

    Args:
        directory: Where the logs are.
    """

    def __init__(self, directory: str) -> None:
        self._log = FlashLog(directory, "reports", _SEGMENT_BYTES, _SEGMENTS_MAX)
        self._events = FlashLog(directory, "events", 1, 0)
        self._calls = FlashLog(directory, "calls", 1, 0)
        self._ring: list[bytes] = []
        self._dropped = 0

    def __len__(self) -> int:
        """Count the reports and events that wait."""
        return len(self._log) + len(self._events) + len(self._calls) + len(self._ring)

    @property
    def dropped(self) -> int:
        """Count the reports lost to overflow since boot."""
        return self._log.dropped + self._dropped

    def put(self, record: bytes) -> None:
        """Queue a report."""
        while len(self._ring) >= _RING_RECORDS:
            self._move_oldest()
        self._ring.append(record)

    def put_event(self, record: bytes) -> None:
        """Queue an event durably.

        Raises:
            OSError: The file system is full; report it and try again.
        """
        self._events.append(record)

    def put_call(self, record: bytes) -> None:
        """Queue the event of an emergency call durably.

        Raises:
            OSError: The file system is full; report it and try again.
        """
        self._calls.append(record)

    def first_call(self) -> "bytes | None":
        """Give the oldest emergency call, None when there is none."""
        return self._calls.first()

    def call_done(self) -> None:
        """Forget the oldest emergency call: the gateway has it."""
        self._calls.pop()

    def first_event(self) -> "bytes | None":
        """Give the oldest event, None when there is none."""
        return self._events.first()

    def event_done(self) -> None:
        """Forget the oldest event: the gateway has it."""
        self._events.pop()

    def first(self) -> "bytes | None":
        """Give the oldest report, None when there is none."""
        record = self._log.first()
        if record is None and self._ring:
            record = self._ring[0]
        return record

    def done(self, record: bytes) -> None:
        """Forget a report that `first` gave: the gateway has it.

        It may have moved to the log or been dropped since.
        """
        logged = self._log.first()
        if logged is not None:
            if logged == record:
                self._log.pop()
        elif self._ring and self._ring[0] == record:
            self._ring.pop(0)

    def spill(self) -> None:
        """Move everything to flash; a power cut loses nothing after this."""
        while self._ring:
            self._move_oldest()

    def _move_oldest(self) -> None:
        try:
            self._log.append(self._ring[0])
        except OSError:
            self._dropped += 1
        self._ring.pop(0)
