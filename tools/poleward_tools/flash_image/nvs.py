"""Espressif's NVS partition: namespaces of typed values that survive a power cut anywhere.

Not the chip's API: `esp32.NVS` is a thin layer over this. Encrypted partitions are not read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from poleward_tools.flash_image.errors import NvsError, NvsFullError
from poleward_tools.flash_image.nvs_page import (
    ENTRY_COUNT,
    ENTRY_SIZE_BYTES,
    MAX_KEY_BYTES,
    MAX_PAYLOAD_BYTES,
    PAGE_SIZE_BYTES,
    Item,
    ItemType,
    NvsStorage,
    Page,
    PageState,
)

MIN_PAGES = 3
_NAMESPACES = 0
_MAX_NAMESPACE = 254
# The two halves of the chunk numbers; a rewritten blob uses the other one.
_FIRST_CHUNKS = (0x00, 0x80)
_MAX_CHUNKS = 0x7F
# With less room than this a blob starts on a new page (ESP-IDF `Storage::writeMultiPageBlob`).
_MIN_FIRST_CHUNK_BYTES = MAX_PAYLOAD_BYTES // 10


@dataclass(frozen=True, slots=True)
class Integer:
    """A number together with the type it is stored as."""

    type: ItemType
    value: int


Value = Integer | str | bytes


class MemoryStorage:
    """A partition in memory, for building and inspecting images."""

    def __init__(self, content: bytearray) -> None:
        self.content = content

    @property
    def size_bytes(self) -> int:
        """The size of the partition."""
        return len(self.content)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes as they are."""
        return bytes(self.content[offset : offset + size_bytes])

    def program(self, offset: int, data: bytes) -> None:
        """Clear the bits that are 0 in `data`."""
        for at, byte in enumerate(data, offset):
            self.content[at] &= byte

    def erase_sector(self, offset: int) -> None:
        """Set all bits of the sector that starts at `offset`."""
        self.content[offset : offset + PAGE_SIZE_BYTES] = b"\xff" * PAGE_SIZE_BYTES


class NvsPartition:
    """The items of a partition; loading it repairs what a power cut left.

    Rules that make a cut harmless:
    1. A new value is written before the old one is erased; on load the newest copy wins.
    2. A blob is its index: chunks come before it, and chunks without an index are erased on load.
    3. One page stays free. Garbage collection marks its victim, copies the live items to the free
       page and only then erases the victim; on load it is finished or begun again.
    """

    def __init__(self, storage: NvsStorage) -> None:
        if storage.size_bytes % PAGE_SIZE_BYTES or storage.size_bytes < MIN_PAGES * PAGE_SIZE_BYTES:
            raise NvsError(
                f"an NVS partition has at least {MIN_PAGES} whole pages of {PAGE_SIZE_BYTES} "
                f"bytes, not {storage.size_bytes} bytes"
            )
        offsets = range(0, storage.size_bytes, PAGE_SIZE_BYTES)
        pages = [Page.load(storage, offset) for offset in offsets]
        unused = (PageState.UNINITIALIZED, PageState.CORRUPT)
        self._free = [page for page in pages if page.state in unused]
        self._used = sorted(
            (page for page in pages if page.state not in unused), key=lambda page: page.sequence
        )
        self._finish_collection()
        self._leave_one_active()
        self._drop_superseded()
        self._drop_orphans()

    @classmethod
    def blank(cls, size_bytes: int) -> Self:
        """Return an empty partition in memory.

        Raises:
            NvsError: the size is no partition's.
        """
        return cls(MemoryStorage(bytearray(b"\xff" * size_bytes)))

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Return a partition over a copy of `content`; repairs do not touch the original.

        Raises:
            NvsError: the size is no partition's.
        """
        return cls(MemoryStorage(bytearray(content)))

    def namespaces(self) -> list[str]:
        """Return the names of all namespaces in the order they were made."""
        known = [item for _, _, item in self._live() if item.namespace == _NAMESPACES]
        return [item.key for item in sorted(known, key=lambda item: item.number)]

    def values(self, namespace: str) -> dict[str, Value]:
        """Return every value of a namespace; empty when there is none of that name."""
        number = self._namespace_number(namespace)
        found: dict[str, Value] = {}
        for _, _, item in self._live():
            if item.namespace == number and item.type is not ItemType.BLOB_DATA:
                found[item.key] = self._value(item)
        return found

    def get(self, namespace: str, key: str) -> Value | None:
        """Return a value, None when there is none."""
        found = self._find(self._namespace_number(namespace), key)
        return self._value(found[2]) if found else None

    def set(self, namespace: str, key: str, value: Value) -> None:
        """Store a value, replacing whatever the key held; an equal value is not written again.

        Raises:
            NvsError: name, key or value cannot be stored.
            NvsFullError: no room; the key keeps its old value.
        """
        for name in (namespace, key):
            if not 1 <= len(name.encode()) <= MAX_KEY_BYTES or "\0" in name:
                raise NvsError(f"'{name}': a name has 1 to {MAX_KEY_BYTES} bytes and no NUL")
        if self.get(namespace, key) == value:
            return
        number = self._namespace_number(namespace)
        if number is None:
            number = self._make_namespace(namespace)
        old = self._find(number, key)
        if isinstance(value, Integer):
            self._append(Item.integer(number, value.type, key, value.value))
        elif isinstance(value, str):
            text = value.encode() + b"\0"
            if len(text) > MAX_PAYLOAD_BYTES:
                raise NvsError(f"{key}: a text has at most {MAX_PAYLOAD_BYTES - 1} bytes")
            self._append(Item.variable(number, ItemType.STRING, key, text))
        else:
            self._append_blob(number, key, value, old[2] if old else None)
        # Collection may have moved the old item since it was found.
        self._drop_superseded()
        if old:
            self._drop_orphans()

    def erase(self, namespace: str, key: str) -> bool:
        """Erase a value; False when there was none."""
        found = self._find(self._namespace_number(namespace), key)
        if found is None:
            return False
        page, at, _ = found
        page.remove(at)
        self._drop_orphans()
        return True

    @property
    def room_entries(self) -> int:
        """How many entries of 32 bytes are left, with all garbage collected."""
        pages = len(self._free) + len(self._used) - 1
        return pages * ENTRY_COUNT - sum(page.live_entries for page in self._used)

    def _live(self) -> Iterator[tuple[Page, int, Item]]:
        for page in self._used:
            for at, item in page.items.items():
                yield page, at, item

    def _find(self, namespace: int | None, key: str) -> tuple[Page, int, Item] | None:
        for page, at, item in self._live():
            is_value = item.type is not ItemType.BLOB_DATA
            if is_value and (item.namespace, item.key) == (namespace, key):
                return page, at, item
        return None

    def _namespace_number(self, name: str) -> int | None:
        found = self._find(_NAMESPACES, name)
        return found[2].number if found else None

    def _make_namespace(self, name: str) -> int:
        taken = {item.number for _, _, item in self._live() if item.namespace == _NAMESPACES}
        free = (number for number in range(1, _MAX_NAMESPACE + 1) if number not in taken)
        number = next(free, None)
        if number is None:
            raise NvsFullError(f"no number is left for namespace '{name}'")
        self._append(Item.integer(_NAMESPACES, ItemType.U8, name, number))
        return number

    def _value(self, item: Item) -> Value:
        if item.type.is_integer:
            return Integer(item.type, item.number)
        if item.type is ItemType.STRING:
            return item.payload.rstrip(b"\0").decode(errors="replace")
        if item.type is ItemType.BLOB:
            return item.payload
        chunks = {
            other.chunk: other.payload
            for _, _, other in self._live()
            if other.type is ItemType.BLOB_DATA
            and (other.namespace, other.key) == (item.namespace, item.key)
        }
        return b"".join(chunks[number] for number in item.blob_parts[1])

    def _append_blob(self, namespace: int, key: str, value: bytes, old: Item | None) -> None:
        first = _FIRST_CHUNKS[0]
        if old is not None and old.type is ItemType.BLOB_INDEX and first in old.blob_parts[1]:
            first = _FIRST_CHUNKS[1]
        count = 0
        at = 0
        try:
            while count == 0 or at < len(value):
                rest = len(value) - at
                room = self._payload_room_bytes()
                if room < min(rest, 1 if count else _MIN_FIRST_CHUNK_BYTES):
                    self._open_page(2 if rest else 1)
                    room = self._payload_room_bytes()
                if count == _MAX_CHUNKS:
                    raise NvsFullError(f"{key}: {len(value)} bytes are too many for one blob")
                chunk = value[at : at + room]
                self._append(
                    Item.variable(namespace, ItemType.BLOB_DATA, key, chunk, first + count)
                )
                at += len(chunk)
                count += 1
            self._append(
                Item.blob_index(
                    namespace, key, size_bytes=len(value), chunk_count=count, first_chunk=first
                )
            )
        except NvsFullError:
            self._drop_orphans()
            raise

    def _payload_room_bytes(self) -> int:
        """What fits behind the header of an item on the active page; negative: not even that."""
        page = self._active()
        return (page.room_entries - 1) * ENTRY_SIZE_BYTES if page else -1

    def _active(self) -> Page | None:
        last = self._used[-1] if self._used else None
        return last if last and last.state is PageState.ACTIVE else None

    def _append(self, item: Item) -> None:
        page = self._active()
        if page is None or page.room_entries < item.span:
            page = self._open_page(item.span)
        page.append(item)

    def _open_page(self, least_entries: int) -> Page:
        """Close the active page and open another with at least this room, collecting if needed.

        Raises:
            NvsFullError: no page has that much to collect; nothing was changed.
        """
        victim = None
        if len(self._free) < 2:
            if not self._free:
                raise NvsFullError("no free page is left to collect garbage into")
            victim = min(self._used, key=lambda page: page.live_entries)
            if ENTRY_COUNT - victim.live_entries < least_entries:
                raise NvsFullError(f"no page has {least_entries} entries left, even when collected")
        if active := self._active():
            active.mark(PageState.FULL)
        if victim:
            victim.mark(PageState.FREEING)
        page = self._activate_free()
        if victim:
            self._move(victim, page)
        return page

    def _activate_free(self) -> Page:
        page = self._free.pop(0)
        page.activate(self._used[-1].sequence + 1 if self._used else 0)
        self._used.append(page)
        return page

    def _move(self, victim: Page, target: Page) -> None:
        for item in victim.items.values():
            target.append(item)
        self._release(victim)

    def _release(self, page: Page) -> None:
        page.erase()
        self._used.remove(page)
        self._free.append(page)

    def _finish_collection(self) -> None:
        """Bring a collection that was cut to its end.

        1. The copies are complete: only the victim's erase is missing, or was cut itself.
        2. A copy is missing: the victim is untouched, so the copies are thrown away and made anew.
        3. ESP-IDF activates the target before it marks the victim; a cut between the two leaves
           an empty active page and no free one.
        """
        target = self._active()
        victim = next((page for page in self._used if page.state is PageState.FREEING), None)
        if victim is None:
            if not self._free and target and target.next_entry == 0:
                self._release(target)
            return
        if target:
            copies = list(target.items.values())
            if all(item in copies for item in victim.items.values()):
                self._release(victim)
                return
            self._release(target)
        if self._free:
            self._move(victim, self._activate_free())

    def _leave_one_active(self) -> None:
        for page in self._used:
            page.repair()
            is_last = page is self._used[-1]
            if page.state is PageState.ACTIVE and not (is_last and page.is_current_version):
                page.mark(PageState.FULL)

    def _drop_superseded(self) -> None:
        newest: dict[tuple[int, str, int], tuple[Page, int]] = {}
        for page, at, item in list(self._live()):
            chunk = item.chunk if item.type is ItemType.BLOB_DATA else -1
            identity = (item.namespace, item.key, chunk)
            if identity in newest:
                old_page, old_at = newest[identity]
                old_page.remove(old_at)
            newest[identity] = (page, at)

    def _drop_orphans(self) -> None:
        """Erase chunks without an index, and an index whose chunks are damaged."""
        chunks = {
            (item.namespace, item.key, item.chunk): (page, at, item)
            for page, at, item in self._live()
            if item.type is ItemType.BLOB_DATA
        }
        for page, at, item in list(self._live()):
            if item.type is not ItemType.BLOB_INDEX:
                continue
            size_bytes, numbers = item.blob_parts
            names = [(item.namespace, item.key, number) for number in numbers]
            whole = all(name in chunks for name in names) and size_bytes == sum(
                len(chunks[name][2].payload) for name in names
            )
            if not whole:
                page.remove(at)
                continue
            for name in names:
                del chunks[name]
        for page, at, _ in chunks.values():
            page.remove(at)
