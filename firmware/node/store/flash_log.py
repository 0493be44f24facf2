"""An append-only log of records in files, whole or absent after a power cut.

Not a queue of reports: it knows bytes, and forgets the oldest only when it is full.
"""

import binascii
import os
import struct

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

_HEADER = "<HI"  # bytes of the record, their CRC-32
_HEADER_BYTES = const(6)


class FlashLog:
    """Records in numbered segment files, oldest first.

    - A record is in the log when `append` returns; a record torn by a power cut is not.
    - Nothing is ever written behind a torn record: each boot starts a segment of its own.
    - `pop` removes a segment's file with its last record, so after a reboot records of a segment
      that was read in part come again. They carry their own keys, so that does no harm.
    - Overflow: the oldest segment goes; its records are counted in `dropped`.

    Args:
        directory: Holds the segments; made if absent.
        name: Start of the segments' names.
        segment_bytes: A segment is closed when it has grown to this.
        segments_max: Bound of the number of segments; 0 for none.
    """

    def __init__(self, directory: str, name: str, segment_bytes: int, segments_max: int) -> None:
        self.dropped = 0
        self._prefix = directory + "/" + name + "."
        self._segment_bytes = segment_bytes
        self._segments_max = segments_max
        self._tail_bytes = 0
        self._offset = 0
        try:
            os.mkdir(directory)
        except OSError:  # it exists
            pass
        start = len(name) + 1
        self._segments = sorted(
            int(file[start:], 16) for file in os.listdir(directory) if file.startswith(name + ".")
        )
        self._is_tail_open = False
        self._count = sum(1 for number in self._segments for _ in self._records(number, 0))

    def __len__(self) -> int:
        """Count the records that were not popped."""
        return self._count

    def append(self, record: bytes) -> None:
        """Write a record behind all others.

        Raises:
            OSError: The file system is full even without the oldest segment; the record is not
                in the log, and what is in it is unharmed.
        """
        if not self._is_tail_open or self._tail_bytes >= self._segment_bytes:
            self._open_segment()
        framed = struct.pack(_HEADER, len(record), binascii.crc32(record)) + record
        try:
            self._write(framed)
        except OSError:
            # Whatever was written may be torn: go on in a new segment, with room made.
            if len(self._segments) > 1:
                self._drop_oldest()
            self._open_segment()
            self._write(framed)
        self._tail_bytes += len(framed)
        self._count += 1

    def first(self) -> "bytes | None":
        """Give the oldest record, None when there is none."""
        while self._segments:
            records = self._records(self._segments[0], self._offset)
            for record in records:
                records.close()  # type: ignore[attr-defined]
                return record
            if self._is_tail_open and len(self._segments) == 1:
                return None
            self._remove_oldest()
        return None

    def pop(self) -> None:
        """Forget the record that `first` gives."""
        record = self.first()
        if record is None:
            return
        self._offset += _HEADER_BYTES + len(record)
        self._count -= 1
        records = self._records(self._segments[0], self._offset)
        for _ in records:
            records.close()  # type: ignore[attr-defined]
            return
        self._remove_oldest()

    def _records(self, number: int, offset: int) -> "Iterator[bytes]":
        # Who does not want all of them calls close(): LittleFS keeps a pointer to each open file,
        # and the collector is no safe place to close one.
        try:
            with open(self._path(number), "rb") as file:
                file.seek(offset)
                while True:
                    header = file.read(_HEADER_BYTES)
                    if len(header) < _HEADER_BYTES:
                        return
                    size, checksum = struct.unpack(_HEADER, header)
                    record = file.read(size)
                    if len(record) < size or binascii.crc32(record) != checksum:
                        return
                    yield record
        except OSError:  # a segment that cannot be read holds nothing
            return

    def _open_segment(self) -> None:
        if self._segments_max and len(self._segments) >= self._segments_max:
            self._drop_oldest()
        self._segments.append(self._segments[-1] + 1 if self._segments else 0)
        self._is_tail_open = True
        self._tail_bytes = 0

    def _drop_oldest(self) -> None:
        lost = sum(1 for _ in self._records(self._segments[0], self._offset))
        self.dropped += lost
        self._count -= lost
        self._remove_oldest()

    def _remove_oldest(self) -> None:
        number = self._segments.pop(0)
        self._offset = 0
        if not self._segments:
            self._is_tail_open = False
        try:
            os.remove(self._path(number))
        except OSError:  # it never came to be written
            pass

    def _write(self, framed: bytes) -> None:
        with open(self._path(self._segments[-1]), "ab") as file:
            file.write(framed)

    def _path(self, number: int) -> str:
        return self._prefix + "%08x" % number
