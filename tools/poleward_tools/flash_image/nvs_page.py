"""One 4 KiB page of Espressif's NVS: header, state bits, entries.

Not which item is the current one; pages know nothing of each other, `nvs` does.
Layout: ESP-IDF programming guide, "Non-Volatile Storage Library", Internals.
"""

import struct
import zlib
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from poleward_tools.flash_image.errors import NvsError

PAGE_SIZE_BYTES = 4096
ENTRY_COUNT = 126
ENTRY_SIZE_BYTES = 32
CHUNK_NONE = 0xFF
MAX_KEY_BYTES = 15
# One page without the header entry of the item.
MAX_PAYLOAD_BYTES = (ENTRY_COUNT - 1) * ENTRY_SIZE_BYTES

_VERSION_2 = 0xFE
_VERSIONS = (0xFF, _VERSION_2)
_BITMAP_OFFSET = 32
_ENTRIES_OFFSET = 64
_HEADER = struct.Struct("<IIB19sI")
_ITEM = struct.Struct("<BBBBI16s8s")
_PAYLOAD = struct.Struct("<HHI")
_BLOB_INDEX = struct.Struct("<IBBH")


class PageState(IntEnum):
    """Life of a page; each step only clears bits."""

    UNINITIALIZED = 0xFFFFFFFF
    ACTIVE = 0xFFFFFFFE
    FULL = 0xFFFFFFFC
    FREEING = 0xFFFFFFF8
    CORRUPT = 0xFFFFFFF0


class EntryState(IntEnum):
    """Two bits for each entry; each step only clears bits."""

    EMPTY = 0b11
    WRITTEN = 0b10
    ERASED = 0b00


class ItemType(IntEnum):
    """What the eight data bytes of an item hold."""

    U8 = 0x01
    I8 = 0x11
    U16 = 0x02
    I16 = 0x12
    U32 = 0x04
    I32 = 0x14
    U64 = 0x08
    I64 = 0x18
    STRING = 0x21
    BLOB = 0x41
    BLOB_DATA = 0x42
    BLOB_INDEX = 0x48

    @property
    def is_integer(self) -> bool:
        """Whether the value lies in the entry itself."""
        return self < ItemType.STRING

    @property
    def has_payload(self) -> bool:
        """Whether more entries follow with the value."""
        return self in (ItemType.STRING, ItemType.BLOB, ItemType.BLOB_DATA)


_INTEGER_FORMATS = {
    ItemType.U8: "<B", ItemType.I8: "<b", ItemType.U16: "<H", ItemType.I16: "<h",
    ItemType.U32: "<I", ItemType.I32: "<i", ItemType.U64: "<Q", ItemType.I64: "<q",
}  # fmt: skip


class NvsStorage(Protocol):
    """Flash as NVS needs it: programming only clears bits, erasing sets a sector of 4 KiB.

    Not guaranteed: that an operation completes. It may end with an exception (power cut) after
    any prefix of a program, or with any bytes of an erase set.
    """

    @property
    def size_bytes(self) -> int:
        """The size of the partition."""

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes as they are."""

    def program(self, offset: int, data: bytes) -> None:
        """Clear the bits that are 0 in `data`."""

    def erase_sector(self, offset: int) -> None:
        """Set all bits of the sector that starts at `offset`."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item with everything that is stored of it."""

    namespace: int
    type: ItemType
    key: str
    data: bytes
    chunk: int = CHUNK_NONE
    payload: bytes = b""

    @property
    def span(self) -> int:
        """How many entries the item takes."""
        return 1 + -(-len(self.payload) // ENTRY_SIZE_BYTES)

    @classmethod
    def integer(cls, namespace: int, kind: ItemType, key: str, value: int) -> "Item":
        """Return an integer item.

        Raises:
            NvsError: the value does not fit the type.
        """
        try:
            data = struct.pack(_INTEGER_FORMATS[kind], value)
        except struct.error as error:
            raise NvsError(f"{key}: {value} does not fit {kind.name}") from error
        return cls(namespace, kind, key, data.ljust(8, b"\xff"))

    @classmethod
    def variable(
        cls, namespace: int, kind: ItemType, key: str, payload: bytes, chunk: int = CHUNK_NONE
    ) -> "Item":
        """Return an item whose value follows in entries of its own; at most one page of them."""
        data = _PAYLOAD.pack(len(payload), 0xFFFF, checksum(payload))
        return cls(namespace, kind, key, data, chunk, payload)

    @classmethod
    def blob_index(
        cls, namespace: int, key: str, *, size_bytes: int, chunk_count: int, first_chunk: int
    ) -> "Item":
        """Return the item that makes the chunks before it a blob."""
        data = _BLOB_INDEX.pack(size_bytes, chunk_count, first_chunk, 0xFFFF)
        return cls(namespace, ItemType.BLOB_INDEX, key, data)

    @property
    def number(self) -> int:
        """The value of an integer item."""
        return int(struct.unpack_from(_INTEGER_FORMATS[self.type], self.data)[0])

    @property
    def blob_parts(self) -> tuple[int, range]:
        """Size in bytes and chunk numbers of a blob index."""
        size_bytes, count, first, _ = _BLOB_INDEX.unpack(self.data)
        return size_bytes, range(first, first + count)

    def encode(self) -> bytes:
        """Return the entries of the item."""
        head = _ITEM.pack(
            self.namespace, self.type, self.span, self.chunk, 0, self.key.encode(), self.data
        )
        entry = head[:4] + struct.pack("<I", checksum(head[:4] + head[8:])) + head[8:]
        return entry + self.payload.ljust((self.span - 1) * ENTRY_SIZE_BYTES, b"\xff")

    @classmethod
    def decode(cls, entries: bytes) -> "Item | None":
        """Read the item that starts here; None when it is damaged or reaches out of `entries`."""
        namespace, kind, span, chunk, stored, key, data = _ITEM.unpack_from(entries)
        if stored != checksum(entries[:4] + entries[8:ENTRY_SIZE_BYTES]):
            return None
        if span < 1 or span * ENTRY_SIZE_BYTES > len(entries):
            return None
        try:
            item_type = ItemType(kind)
            name = key.split(b"\0")[0].decode()
        except ValueError:
            return None
        payload = b""
        if item_type.has_payload:
            size_bytes, _, stored = _PAYLOAD.unpack(data)
            payload = entries[ENTRY_SIZE_BYTES : ENTRY_SIZE_BYTES + size_bytes]
            if len(payload) != size_bytes or checksum(payload) != stored:
                return None
        item = cls(namespace, item_type, name, data, chunk, payload)
        return item if item.span == span else None


def checksum(data: bytes) -> int:
    """Return the CRC-32 that NVS uses."""
    return zlib.crc32(data, 0xFFFFFFFF)


@dataclass(slots=True)
class Page:
    """A page as last seen and changed through this object; `items` are the live ones by entry.

    An item is live from the moment its state bits are programmed, which is the last step of
    writing it; whatever a cut leaves before that is taken out by `repair`.
    """

    storage: NvsStorage
    offset: int
    state: PageState = PageState.UNINITIALIZED
    sequence: int = 0
    is_current_version: bool = True
    next_entry: int = 0
    items: dict[int, Item] = field(default_factory=dict)
    _bitmap: bytearray = field(default_factory=lambda: bytearray(b"\xff" * 32))
    _damaged: list[int] = field(default_factory=list)

    @classmethod
    def load(cls, storage: NvsStorage, offset: int) -> "Page":
        """Read a page; nothing is written."""
        content = storage.read(offset, PAGE_SIZE_BYTES)
        page = cls(storage, offset)
        number, page.sequence, version, _, stored = _HEADER.unpack_from(content)
        if content == b"\xff" * PAGE_SIZE_BYTES:
            return page
        page.is_current_version = version == _VERSION_2
        try:
            page.state = PageState(number)
        except ValueError:
            page.state = PageState.CORRUPT
        is_whole = stored == checksum(content[4:28]) and version in _VERSIONS
        if not is_whole or page.state is PageState.UNINITIALIZED:
            page.state = PageState.CORRUPT
        if page.state is PageState.CORRUPT:
            return page
        page._bitmap[:] = content[_BITMAP_OFFSET:_ENTRIES_OFFSET]
        page._read_entries(content[_ENTRIES_OFFSET:])
        return page

    def _read_entries(self, entries: bytes) -> None:
        at = 0
        while at < ENTRY_COUNT:
            state = self._entry_state(at)
            here = at * ENTRY_SIZE_BYTES
            if state == EntryState.WRITTEN:
                item = Item.decode(entries[here:])
                span = item.span if item else 1
                is_whole = item is not None and all(
                    self._entry_state(at + more) == EntryState.WRITTEN for more in range(span)
                )
                if item and is_whole:
                    self.items[at] = item
                else:
                    span = 1
                    self._damaged.append(at)
                at += span
                self.next_entry = at
                continue
            if state == EntryState.EMPTY:
                # A write that was cut before its state bits leaves bytes behind.
                if entries[here : here + ENTRY_SIZE_BYTES] != b"\xff" * ENTRY_SIZE_BYTES:
                    self._damaged.append(at)
                    self.next_entry = at + 1
            else:
                self.next_entry = at + 1
            at += 1

    @property
    def live_entries(self) -> int:
        """How many entries the live items take."""
        return sum(item.span for item in self.items.values())

    @property
    def room_entries(self) -> int:
        """How many entries can still be written."""
        return ENTRY_COUNT - self.next_entry if self.state is PageState.ACTIVE else 0

    def repair(self) -> None:
        """Mark damaged entries as erased, and those that were skipped over by them."""
        for at in self._damaged:
            self._mark(range(at, at + 1), EntryState.ERASED)
        self._damaged.clear()

    def activate(self, sequence: int) -> None:
        """Make a free page the one that is written; it is erased first when it must be."""
        if self.state is not PageState.UNINITIALIZED:
            self.erase()
        head = struct.pack("<IB", sequence, _VERSION_2).ljust(24, b"\xff")
        # The state comes last: a page cut in its header is never taken for an active one.
        self.storage.program(self.offset + 4, head + struct.pack("<I", checksum(head)))
        self.mark(PageState.ACTIVE)
        self.sequence = sequence

    def mark(self, state: PageState) -> None:
        """Go to a later state."""
        self.storage.program(self.offset, struct.pack("<I", state))
        self.state = state

    def erase(self) -> None:
        """Erase the page; it is free afterwards."""
        self.storage.erase_sector(self.offset)
        self.state = PageState.UNINITIALIZED
        self.is_current_version = True
        self.next_entry = 0
        self.items.clear()
        self._damaged.clear()
        self._bitmap[:] = b"\xff" * 32

    def append(self, item: Item) -> None:
        """Write an item behind the others; the caller has seen that there is room."""
        at = self.next_entry
        self.next_entry += item.span
        self.storage.program(self.offset + _ENTRIES_OFFSET + at * ENTRY_SIZE_BYTES, item.encode())
        self._mark(range(at, at + item.span), EntryState.WRITTEN)
        self.items[at] = item

    def remove(self, at: int) -> None:
        """Mark the item at an entry as erased."""
        item = self.items.pop(at)
        self._mark(range(at, at + item.span), EntryState.ERASED)

    def _entry_state(self, at: int) -> int:
        return self._bitmap[at // 4] >> at % 4 * 2 & 0b11

    def _mark(self, entries: range, state: EntryState) -> None:
        for at in entries:
            shift = at % 4 * 2
            self._bitmap[at // 4] &= ~(0b11 << shift) & 0xFF | state << shift
        first, last = entries[0] // 4, entries[-1] // 4
        # In one program from low to high: a cut leaves the first entries of an item marked.
        self.storage.program(
            self.offset + _BITMAP_OFFSET + first, bytes(self._bitmap[first : last + 1])
        )
