"""A part of the flash as MicroPython's file systems want it.

Reads come from the flash file, changes go over the bus. Runs on MicroPython.
"""

import bus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

_SECTOR_BYTES = 4096


class FlashBlocks:
    """A block device over a part of the flash; it returns a negative number when that refuses.

    Written without jumps and without taking memory, for the reasons `bus.change` gives: what
    depends on an argument is looked up in a tuple.
    """

    def __init__(self, flash: "IO[bytes]", offset: int, size: int) -> None:
        self._flash = flash
        self._offset = offset
        self._count = size // _SECTOR_BYTES
        self._writes = (self._erase_and_write, self._write)
        # vfs.AbstractBlockDev: 1 to 3 start, stop and flush, 4 number and 5 size of the blocks.
        self._operations = (
            self._none, self._none, self._none, self._none,
            self._block_count, self._block_size, self._erase,
        )  # fmt: skip

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fill the buffer from a block."""
        self._flash.seek(self._offset + block * _SECTOR_BYTES + offset)
        self._flash.readinto(buffer)  # type: ignore[attr-defined]

    def writeblocks(self, block: int, data: bytes, offset: int = -1) -> int:
        """Write to a block; without an offset it is erased first."""
        return self._writes[offset >= 0](block, data, offset)

    def ioctl(self, operation: int, argument: int) -> int:
        """Tell number or size of the blocks, or erase one."""
        return self._operations[operation](argument)

    def _write(self, block: int, data: bytes, offset: int) -> int:
        return bus.change(bus.PROGRAM, self._offset + block * _SECTOR_BYTES + offset, data)  # type: ignore[no-any-return]

    def _erase_and_write(self, block: int, data: bytes, _: int) -> int:
        for number in range(len(data) // _SECTOR_BYTES):
            if self._erase(block + number) < 0:
                return -5
        return self._write(block, data, 0)

    def _erase(self, block: int) -> int:
        return bus.change(bus.ERASE, self._offset + block * _SECTOR_BYTES, b"")  # type: ignore[no-any-return]

    def _block_count(self, _: int) -> int:
        return self._count

    def _block_size(self, _: int) -> int:
        return _SECTOR_BYTES

    def _none(self, _: int) -> int:
        return 0
