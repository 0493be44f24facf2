"""The `vfs` partition as MicroPython's file systems want it.

Reads come from the flash file, changes go over the bus. Runs on MicroPython.
"""

import struct

import bus  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

_SECTOR_BYTES = 4096


class FlashBlocks:
    """A block device over a part of the flash; raises OSError(5) when the flash refuses."""

    def __init__(self, flash: "IO[bytes]", offset: int, size: int) -> None:
        self._flash = flash
        self._offset = offset
        self._count = size // _SECTOR_BYTES

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fill the buffer from a block."""
        self._flash.seek(self._offset + block * _SECTOR_BYTES + offset)
        self._flash.readinto(buffer)  # type: ignore[attr-defined]

    def writeblocks(self, block: int, data: bytes, offset: "int | None" = None) -> None:
        """Write to a block; without an offset it is erased first."""
        if offset is None:
            for number in range(len(data) // _SECTOR_BYTES):
                self.ioctl(6, block + number)
        start = self._offset + block * _SECTOR_BYTES + (offset or 0)
        self._change(bus.PROGRAM, struct.pack("<I", start) + bytes(data))

    def ioctl(self, operation: int, argument: int) -> int:
        """Tell the size, or erase a block."""
        if operation == 4:
            return self._count
        if operation == 5:
            return _SECTOR_BYTES
        if operation == 6:
            self._change(bus.ERASE, struct.pack("<I", self._offset + argument * _SECTOR_BYTES))
        return 0

    def _change(self, operation: int, payload: bytes) -> None:
        if bus.ask(operation, payload)[0] < 0:
            raise OSError(5)
