"""The boot selection (`otadata`): which application slot starts, and what a start changes.

The rules of ESP-IDF's second-stage bootloader with rollback on, as MicroPython builds have it.
Not the images themselves: whether one can start is asked through a callable.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum

from poleward_tools.flash_image.errors import OtaDataError
from poleward_tools.flash_image.partition_table import OTADATA_SIZE_BYTES, SECTOR_SIZE_BYTES

FACTORY = -1
_BLANK = 0xFFFFFFFF
_ENTRY = struct.Struct("<I20sII")
_NO_LABEL = b"\xff" * 20


class SlotState(IntEnum):
    """What is known about the application an entry points to (`esp_ota_img_states_t`)."""

    NEW = 0
    PENDING_VERIFY = 1
    VALID = 2
    INVALID = 3
    ABORTED = 4
    UNDEFINED = _BLANK


@dataclass(frozen=True, slots=True)
class SelectEntry:
    """One of the two entries; the valid one with the higher sequence selects."""

    sequence: int
    state: int
    checksum: int
    label: bytes = _NO_LABEL

    @classmethod
    def make(cls, sequence: int, state: SlotState) -> "SelectEntry":
        """Return an entry with the right checksum."""
        return cls(sequence, state, sequence_checksum(sequence))

    @classmethod
    def decode(cls, data: bytes) -> "SelectEntry":
        """Read the first 32 bytes of a sector; anything can be read, see `is_valid`."""
        sequence, label, state, checksum = _ENTRY.unpack_from(data)
        return cls(sequence, state, checksum, label)

    def encode(self) -> bytes:
        """Return the 32 bytes of the entry."""
        return _ENTRY.pack(self.sequence, self.label, self.state, self.checksum)

    @property
    def is_blank_or_damaged(self) -> bool:
        """Whether nothing was ever selected here, or the entry was torn."""
        return self.sequence == _BLANK or self.checksum != sequence_checksum(self.sequence)

    @property
    def is_ruled_out(self) -> bool:
        """Whether a bootloader skips the entry without looking at its checksum."""
        return self.sequence == _BLANK or self.state in (SlotState.INVALID, SlotState.ABORTED)

    @property
    def is_valid(self) -> bool:
        """Whether the entry can select a slot."""
        return not self.is_ruled_out and not self.is_blank_or_damaged


@dataclass(frozen=True, slots=True)
class SectorWrite:
    """One sector to erase and then write; the offset is within the otadata partition."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class BootChoice:
    """What a start does: the application to run and the sectors rewritten on the way.

    `slot` is the number of an `ota_n` partition, `FACTORY`, or None when nothing can start.
    """

    slot: int | None
    writes: tuple[SectorWrite, ...]


def sequence_checksum(sequence: int) -> int:
    """Return the checksum of an entry; it covers the sequence only."""
    return zlib.crc32(struct.pack("<I", sequence), 0xFFFFFFFF)


def read_entries(otadata: bytes) -> tuple[SelectEntry, SelectEntry]:
    """Read both entries of the partition.

    Raises:
        OtaDataError: the partition is not two sectors long.
    """
    if len(otadata) != OTADATA_SIZE_BYTES:
        raise OtaDataError(f"otadata has {len(otadata)} bytes instead of {OTADATA_SIZE_BYTES}")
    return SelectEntry.decode(otadata), SelectEntry.decode(otadata[SECTOR_SIZE_BYTES:])


def active_index(entries: tuple[SelectEntry, SelectEntry]) -> int | None:
    """Return which entry selects, 0 or 1; None when neither is valid."""
    valid = [index for index in (0, 1) if entries[index].is_valid]
    return max(valid, key=lambda index: (entries[index].sequence, -index), default=None)


def choose(
    otadata: bytes,
    *,
    slot_count: int,
    has_factory: bool,
    can_start: Callable[[int], bool],
) -> BootChoice:
    """Decide a start as the bootloader does (`bootloader_utility.c`, rollback enabled).

    1. An entry still waiting for confirmation was a trial that ended in a reset: it is aborted.
    2. With both entries ruled out: the factory application, or slot 0.
    3. Otherwise the valid entry with the higher sequence; a new one becomes a trial.
       Nothing valid: factory, or each slot in turn.
    4. Images that cannot start are skipped: lower numbers first, down to factory, then higher ones.
    5. A first start without factory records the slot that did start, as confirmed.

    Args:
        otadata: the whole partition.
        slot_count: how many `ota_n` partitions there are.
        has_factory: whether there is a factory partition.
        can_start: asked for a slot number or `FACTORY`; checks the image.

    Raises:
        OtaDataError: the partition is not two sectors long.
    """
    entries = list(read_entries(otadata))
    writes: list[SectorWrite] = []

    def rewrite(index: int, state: SlotState) -> None:
        entries[index] = replace(entries[index], state=state)
        writes.append(SectorWrite(index * SECTOR_SIZE_BYTES, entries[index].encode()))

    for index in (0, 1):
        if entries[index].state == SlotState.PENDING_VERIFY:
            rewrite(index, SlotState.ABORTED)

    is_first_start = False
    if slot_count == 0 or all(entry.is_ruled_out for entry in entries):
        preferred = FACTORY if has_factory else 0
        is_first_start = not has_factory and all(entry.is_blank_or_damaged for entry in entries)
    elif (active := active_index((entries[0], entries[1]))) is not None:
        # Unsigned 32-bit arithmetic there: sequence 0 wraps.
        preferred = ((entries[active].sequence - 1) & _BLANK) % slot_count
        if entries[active].state == SlotState.NEW:
            rewrite(active, SlotState.PENDING_VERIFY)
    else:
        preferred = FACTORY

    candidates = [*range(preferred, FACTORY - 1, -1), *range(preferred + 1, slot_count)]
    for slot in candidates:
        exists = has_factory if slot == FACTORY else slot < slot_count
        if not exists or not can_start(slot):
            continue
        if is_first_start and slot != FACTORY:
            entry = SelectEntry.make(slot + 1, SlotState.VALID)
            writes.append(SectorWrite(0, entry.encode()))
        return BootChoice(slot, tuple(writes))
    return BootChoice(None, tuple(writes))


def select_slot(otadata: bytes, slot: int, slot_count: int) -> SectorWrite:
    """Return the write that makes `slot` start next, on trial (`esp_ota_set_boot_partition`).

    The caller has checked the slot's image. The selecting entry stays as it is, so a cut while
    writing leaves the present application selected. Selecting the slot that is running may give
    both entries one sequence; the first entry then selects.

    Raises:
        OtaDataError: there is no such slot, or the partition is not two sectors long.
    """
    if not 0 <= slot < slot_count:
        raise OtaDataError(f"slot {slot} does not exist; there are {slot_count}")
    entries = read_entries(otadata)
    active = active_index(entries)
    if active is None:
        return SectorWrite(0, SelectEntry.make(slot + 1, SlotState.NEW).encode())
    sequence = (slot + 1) % slot_count
    while sequence < entries[active].sequence:
        sequence += slot_count
    other = 1 - active
    entry = SelectEntry.make(sequence, SlotState.NEW)
    return SectorWrite(other * SECTOR_SIZE_BYTES, entry.encode())


def mark_running(otadata: bytes, state: SlotState) -> SectorWrite | None:
    """Return the write by which the running application is confirmed or given up.

    None when no entry selects: the factory application has nothing to confirm. The sector is
    rewritten in place, so a cut in between leaves only the other entry.

    Raises:
        OtaDataError: the partition is not two sectors long.
    """
    entries = read_entries(otadata)
    active = active_index(entries)
    if active is None or entries[active].state == state:
        return None
    entry = replace(entries[active], state=state)
    return SectorWrite(active * SECTOR_SIZE_BYTES, entry.encode())


def apply(otadata: bytearray, writes: tuple[SectorWrite, ...]) -> None:
    """Carry out writes on an image held in memory."""
    for write in writes:
        sector = write.data.ljust(SECTOR_SIZE_BYTES, b"\xff")
        otadata[write.offset : write.offset + SECTOR_SIZE_BYTES] = sector
