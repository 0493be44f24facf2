"""A NOR flash chip: programming only clears bits, erasing sets a sector, both can be cut short.

Not what the bytes mean, and not how fast a real chip is.
"""

import mmap
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

SECTOR_SIZE_BYTES = 4096
PAGE_SIZE_BYTES = 256


class PowerCutError(Exception):
    """The board lost its power in the middle of a flash operation; the chip keeps what it has."""


class FlashRangeError(ValueError):
    """An operation outside the chip or off the sector grid; nothing was changed."""


@dataclass(slots=True)
class FlashCounts:
    """What was done to the chip since it was made; wear is counted in erases of one sector."""

    programs: int = 0
    erases: int = 0
    programmed_bytes: int = 0
    read_bytes: int = 0

    @property
    def operations(self) -> int:
        """Programs and erases together, the unit in which a power cut is placed."""
        return self.programs + self.erases


@dataclass(slots=True)
class FlashFaults:
    """What goes wrong next; changed at any time, from a test or on command.

    `cut_at_operation` counts as `FlashCounts.operations` does: the operation with this number
    (from 1) is begun and torn, then the power is gone. `flip_bit_rate` is the chance that a
    programmed byte comes out with one bit wrong. `worn_sectors` no longer change when erased.
    """

    cut_at_operation: int | None = None
    flip_bit_rate: float = 0.0
    worn_sectors: frozenset[int] = frozenset()
    seed: int = 0


class NorFlash:
    """A chip of `size_bytes`, in memory or in a file that keeps each operation at once.

    A program is split at pages of 256 bytes, as the chip's own command is; each page and each
    sector erase is one operation. The caller serialises access: one chip has one bus.

    Attributes:
        on_power_cut: called in the moment of a cut, before its error unwinds whoever wrote.
    """

    def __init__(self, content: bytearray | mmap.mmap, faults: FlashFaults | None = None) -> None:
        if len(content) % SECTOR_SIZE_BYTES or not content:
            raise FlashRangeError(f"a chip has whole sectors, not {len(content)} bytes")
        self._content = content
        self.faults = faults or FlashFaults()
        self.counts = FlashCounts()
        self.on_power_cut: Callable[[], None] = lambda: None
        self._random = random.Random(self.faults.seed)

    @classmethod
    def blank(cls, size_bytes: int, faults: FlashFaults | None = None) -> Self:
        """Return an erased chip in memory."""
        return cls(bytearray(b"\xff") * size_bytes, faults)

    @classmethod
    def open(cls, path: Path, *, size_bytes: int, faults: FlashFaults | None = None) -> Self:
        """Open the chip kept in a file; a missing file is a factory-new chip.

        Raises:
            FlashRangeError: the file has another size; nothing is changed.
            OSError: the file cannot be opened or made.
        """
        if not path.exists():
            path.write_bytes(b"\xff" * size_bytes)
        with path.open("r+b") as file:
            if path.stat().st_size != size_bytes:
                raise FlashRangeError(
                    f"{path} has {path.stat().st_size} bytes, the chip has {size_bytes}"
                )
            return cls(mmap.mmap(file.fileno(), size_bytes), faults)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back; a chip in memory keeps its content."""
        if isinstance(self._content, mmap.mmap):
            self._content.close()

    @property
    def size_bytes(self) -> int:
        """The size of the chip."""
        return len(self._content)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return the bytes as they are.

        Raises:
            FlashRangeError: the range reaches out of the chip.
        """
        self._check(offset, size_bytes)
        self.counts.read_bytes += size_bytes
        return bytes(self._content[offset : offset + size_bytes])

    def program(self, offset: int, data: bytes) -> None:
        """Clear the bits that are 0 in `data`; bits already 0 stay 0.

        Raises:
            FlashRangeError: the range reaches out of the chip.
            PowerCutError: the power went; up to the cut everything is in the chip.
        """
        self._check(offset, len(data))
        at = 0
        while at < len(data):
            room = PAGE_SIZE_BYTES - (offset + at) % PAGE_SIZE_BYTES
            self._program_page(offset + at, data[at : at + room])
            at += room

    def erase_sector(self, offset: int) -> None:
        """Set every bit of one sector.

        Raises:
            FlashRangeError: the offset is no sector's start.
            PowerCutError: the power went; the sector is half erased.
        """
        self._check(offset, SECTOR_SIZE_BYTES)
        if offset % SECTOR_SIZE_BYTES:
            raise FlashRangeError(f"0x{offset:x} is not the start of a sector")
        self.counts.erases += 1
        if self._is_cut():
            self._tear_sector(offset)
            self.on_power_cut()
            raise PowerCutError(f"power cut while erasing 0x{offset:x}")
        if offset // SECTOR_SIZE_BYTES not in self.faults.worn_sectors:
            self._content[offset : offset + SECTOR_SIZE_BYTES] = b"\xff" * SECTOR_SIZE_BYTES

    def erase(self, offset: int, size_bytes: int) -> None:
        """Erase every sector the range touches, one after the other.

        Raises:
            FlashRangeError, PowerCutError: as `erase_sector`.
        """
        self._check(offset, size_bytes)
        first = offset - offset % SECTOR_SIZE_BYTES
        for sector in range(first, offset + size_bytes, SECTOR_SIZE_BYTES):
            self.erase_sector(sector)

    def _program_page(self, offset: int, data: bytes) -> None:
        self.counts.programs += 1
        is_cut = self._is_cut()
        if is_cut:
            data = data[: self._random.randrange(len(data) + 1)]
        self.counts.programmed_bytes += len(data)
        if self.faults.flip_bit_rate:
            data = bytes(
                byte ^ 1 << self._random.randrange(8)
                if self._random.random() < self.faults.flip_bit_rate
                else byte
                for byte in data
            )
        end = offset + len(data)
        before = int.from_bytes(self._content[offset:end], "little")
        after = before & int.from_bytes(data, "little")
        self._content[offset:end] = after.to_bytes(len(data), "little")
        if is_cut:
            self.on_power_cut()
            raise PowerCutError(f"power cut while programming 0x{offset:x}")

    def _tear_sector(self, offset: int) -> None:
        """Leave a sector as a cut erase may: bytes set here and there, or only behind a point.

        The second is the harder case: what the sector's head says is still believed.
        """
        is_scattered = self._random.random() < 0.5
        point = self._random.randrange(SECTOR_SIZE_BYTES)
        for at in range(SECTOR_SIZE_BYTES):
            if self._random.random() < 0.5 if is_scattered else at >= point:
                self._content[offset + at] = 0xFF

    def _is_cut(self) -> bool:
        return self.counts.operations == self.faults.cut_at_operation

    def _check(self, offset: int, size_bytes: int) -> None:
        if offset < 0 or size_bytes < 0 or offset + size_bytes > self.size_bytes:
            raise FlashRangeError(
                f"0x{offset:x} + {size_bytes} bytes reach out of the chip's {self.size_bytes} bytes"
            )


class FlashRegion:
    """A part of a chip, addressed from its own start; what NVS and file systems are given.

    Raises (from every method): what the chip raises, and FlashRangeError outside the region.
    """

    def __init__(self, flash: NorFlash, offset: int, size_bytes: int) -> None:
        self._flash = flash
        self._offset = offset
        self._size_bytes = size_bytes

    @property
    def size_bytes(self) -> int:
        """The size of the region."""
        return self._size_bytes

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return the bytes as they are."""
        return self._flash.read(self._place(offset, size_bytes), size_bytes)

    def program(self, offset: int, data: bytes) -> None:
        """Clear the bits that are 0 in `data`."""
        self._flash.program(self._place(offset, len(data)), data)

    def erase_sector(self, offset: int) -> None:
        """Set every bit of one sector."""
        self._flash.erase_sector(self._place(offset, SECTOR_SIZE_BYTES))

    def _place(self, offset: int, size_bytes: int) -> int:
        if offset < 0 or size_bytes < 0 or offset + size_bytes > self._size_bytes:
            raise FlashRangeError(
                f"0x{offset:x} + {size_bytes} bytes reach out of the region's "
                f"{self._size_bytes} bytes"
            )
        return self._offset + offset
