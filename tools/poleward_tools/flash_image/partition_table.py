"""The partition table at 0x8000 of an ESP32's flash: read, check and write it.

Not what is in the partitions; each kind of content has its own module.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from poleward_tools.flash_image.errors import PartitionTableError

TABLE_OFFSET = 0x8000
TABLE_SIZE_BYTES = 0xC00
SECTOR_SIZE_BYTES = 0x1000
# An application is mapped through 64 KiB pages of the flash cache.
APP_ALIGNMENT_BYTES = 0x10000

TYPE_APP = 0x00
TYPE_DATA = 0x01
SUBTYPE_FACTORY = 0x00
SUBTYPE_OTA_0 = 0x10
MAX_OTA_SLOTS = 16
SUBTYPE_OTADATA = 0x00
SUBTYPE_NVS = 0x02
SUBTYPE_FAT = 0x81
SUBTYPE_LITTLEFS = 0x83
# MicroPython's ESP32 port mounts the partition of this name (its `inisetup.py`).
FILE_SYSTEM_LABEL = "vfs"

OTADATA_SIZE_BYTES = 2 * SECTOR_SIZE_BYTES

_ENTRY = struct.Struct("<HBBII16sI")
_ENTRY_MAGIC = 0x50AA
_DIGEST_MARK = b"\xeb\xeb" + b"\xff" * 14
_FLAG_ENCRYPTED = 1 << 0
_FLAG_READ_ONLY = 1 << 1


@dataclass(frozen=True, slots=True)
class Partition:
    """One row of the table; offset and size in bytes from the start of the flash."""

    label: str
    type: int
    subtype: int
    offset: int
    size_bytes: int
    encrypted: bool = False
    read_only: bool = False

    @property
    def end(self) -> int:
        """The first offset after the partition."""
        return self.offset + self.size_bytes

    @property
    def is_app(self) -> bool:
        """Whether the partition holds an application image."""
        return self.type == TYPE_APP

    @property
    def ota_slot(self) -> int | None:
        """The number n of an `ota_n` partition, None for any other."""
        slot = self.subtype - SUBTYPE_OTA_0
        return slot if self.is_app and 0 <= slot < MAX_OTA_SLOTS else None

    def encode(self) -> bytes:
        """Return the 32 bytes of the row.

        Raises:
            PartitionTableError: the label does not fit 16 bytes.
        """
        label = self.label.encode()
        if len(label) > 16:
            raise PartitionTableError(f"partition '{self.label}': label is longer than 16 bytes")
        flags = _FLAG_ENCRYPTED * self.encrypted | _FLAG_READ_ONLY * self.read_only
        return _ENTRY.pack(
            _ENTRY_MAGIC, self.type, self.subtype, self.offset, self.size_bytes, label, flags
        )

    @classmethod
    def decode(cls, row: bytes) -> "Partition":
        """Read one row of 32 bytes.

        Raises:
            PartitionTableError: no partition row, or a label that is no text.
        """
        magic, kind, subtype, offset, size_bytes, label, flags = _ENTRY.unpack(row)
        if magic != _ENTRY_MAGIC:
            raise PartitionTableError(f"row starts with 0x{magic:04x} instead of 0x50aa")
        try:
            text = label.rstrip(b"\0").decode()
        except UnicodeDecodeError as error:
            raise PartitionTableError(f"label {label!r} is no text") from error
        return cls(
            text, kind, subtype, offset, size_bytes,
            bool(flags & _FLAG_ENCRYPTED), bool(flags & _FLAG_READ_ONLY),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PartitionTable:
    """The rows in the order of the flash; `check` says whether a bootloader would take them."""

    partitions: tuple[Partition, ...]

    def __iter__(self) -> Iterator[Partition]:
        return iter(self.partitions)

    def find(self, label: str) -> Partition | None:
        """Return the partition with this label, None when there is none."""
        return next((part for part in self.partitions if part.label == label), None)

    def first(self, kind: int, subtype: int) -> Partition | None:
        """Return the first partition of a type and subtype, None when there is none."""
        return next((p for p in self.partitions if (p.type, p.subtype) == (kind, subtype)), None)

    @property
    def ota_slots(self) -> tuple[Partition, ...]:
        """The partitions `ota_0`, `ota_1`, … as far as they follow without a gap.

        A bootloader counts slots the same way: `ota_2` without `ota_1` is never started.
        """
        by_slot = {part.ota_slot: part for part in self.partitions if part.ota_slot is not None}
        slots: list[Partition] = []
        while (part := by_slot.get(len(slots))) is not None:
            slots.append(part)
        return tuple(slots)

    @property
    def factory(self) -> Partition | None:
        """The factory application, None when the layout has none."""
        return self.first(TYPE_APP, SUBTYPE_FACTORY)

    @property
    def otadata(self) -> Partition | None:
        """Where the boot selection is kept, None in a layout without updates."""
        return self.first(TYPE_DATA, SUBTYPE_OTADATA)

    @property
    def nvs(self) -> Partition | None:
        """Where the program keeps values by name, None when the layout has no such place."""
        return self.first(TYPE_DATA, SUBTYPE_NVS)

    @property
    def file_system(self) -> Partition | None:
        """Where MicroPython keeps its files: by the name it looks for, else by the subtype."""
        return self.find(FILE_SYSTEM_LABEL) or self.first(TYPE_DATA, SUBTYPE_LITTLEFS)

    def check(self, flash_size_bytes: int) -> None:
        """Refuse a layout that does not work on a flash of this size.

        Raises:
            PartitionTableError: with the partition at fault and what to change.
        """
        seen: set[str] = set()
        for part in self.partitions:
            if part.label in seen:
                raise PartitionTableError(f"two partitions are called '{part.label}'")
            seen.add(part.label)
            alignment = APP_ALIGNMENT_BYTES if part.is_app else SECTOR_SIZE_BYTES
            if part.offset % alignment:
                raise PartitionTableError(
                    f"partition '{part.label}' starts at 0x{part.offset:x}, "
                    f"which is no multiple of 0x{alignment:x}"
                )
            if part.size_bytes == 0 or part.size_bytes % SECTOR_SIZE_BYTES:
                raise PartitionTableError(
                    f"partition '{part.label}' has 0x{part.size_bytes:x} bytes; "
                    f"make it whole sectors of 0x{SECTOR_SIZE_BYTES:x}"
                )
            if part.offset < TABLE_OFFSET + SECTOR_SIZE_BYTES:
                raise PartitionTableError(
                    f"partition '{part.label}' starts at 0x{part.offset:x}, "
                    "inside the bootloader or the table itself"
                )
            if part.end > flash_size_bytes:
                raise PartitionTableError(
                    f"partition '{part.label}' ends at 0x{part.end:x}, "
                    f"behind the flash's 0x{flash_size_bytes:x} bytes"
                )
        for before, after in pairwise(sorted(self.partitions, key=lambda part: part.offset)):
            if after.offset < before.end:
                raise PartitionTableError(
                    f"partitions '{before.label}' and '{after.label}' overlap at 0x{after.offset:x}"
                )
        otadata = self.otadata
        if otadata is not None and otadata.size_bytes != OTADATA_SIZE_BYTES:
            raise PartitionTableError(
                f"partition '{otadata.label}' has 0x{otadata.size_bytes:x} bytes; "
                "a boot selection takes exactly 0x2000"
            )
        if self.ota_slots and otadata is None:
            raise PartitionTableError("there are update slots but no otadata partition")

    def encode(self) -> bytes:
        """Return the table with its digest row, padded to 0xC00 bytes.

        Raises:
            PartitionTableError: too many rows or a label that does not fit.
        """
        rows = b"".join(part.encode() for part in self.partitions)
        table = rows + _DIGEST_MARK + hashlib.md5(rows, usedforsecurity=False).digest()
        # One empty row must remain: it is the end mark.
        if len(table) + _ENTRY.size > TABLE_SIZE_BYTES:
            raise PartitionTableError(f"{len(self.partitions)} partitions are too many for a table")
        return table.ljust(TABLE_SIZE_BYTES, b"\xff")

    @classmethod
    def decode(cls, data: bytes) -> "PartitionTable":
        """Read the table from the bytes found at `TABLE_OFFSET`.

        Raises:
            PartitionTableError: no table there, a damaged row, or a digest that does not match.
        """
        partitions: list[Partition] = []
        for at in range(0, min(len(data), TABLE_SIZE_BYTES) - _ENTRY.size + 1, _ENTRY.size):
            row = bytes(data[at : at + _ENTRY.size])
            if row == b"\xff" * _ENTRY.size:
                break
            if row.startswith(_DIGEST_MARK[:2]):
                digest = hashlib.md5(bytes(data[:at]), usedforsecurity=False).digest()
                if row[16:] != digest:
                    raise PartitionTableError("the table's digest does not match its rows")
                continue
            try:
                partitions.append(Partition.decode(row))
            except PartitionTableError as error:
                raise PartitionTableError(f"row {at // _ENTRY.size}: {error}") from error
        else:
            raise PartitionTableError("the table has no end mark")
        if not partitions:
            raise PartitionTableError("no partition table: the first row is empty")
        return cls(tuple(partitions))


def table_of(partitions: Iterable[Partition]) -> PartitionTable:
    """Return a table of the partitions in the order of the flash."""
    return PartitionTable(tuple(sorted(partitions, key=lambda part: part.offset)))


# The layout of a node with 4 MiB: two application slots, one file system (architecture.md).
NODE_4_MIB = table_of(
    (
        Partition("nvs", TYPE_DATA, SUBTYPE_NVS, 0x9000, 0x4000),
        Partition("otadata", TYPE_DATA, SUBTYPE_OTADATA, 0xD000, OTADATA_SIZE_BYTES),
        Partition("ota_0", TYPE_APP, SUBTYPE_OTA_0, 0x10000, 0x180000),
        Partition("ota_1", TYPE_APP, SUBTYPE_OTA_0 + 1, 0x190000, 0x180000),
        Partition(FILE_SYSTEM_LABEL, TYPE_DATA, SUBTYPE_LITTLEFS, 0x310000, 0xF0000),
    )
)
