"""The chip's `esp32` module on a virtual board: NVS and partitions of the board's own flash.

What a partition's content means is decided by the board (`partitions`), as ESP-IDF does it on the
chip. Runs on MicroPython.
"""

import struct

import block_device
import bus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

_INTEGER = 0
_BLOB = 1
_INVALID_LENGTH = -0x110C  # ESP_ERR_NVS_INVALID_LENGTH
_ROW = "<HBBII16sI"  # ESP-IDF, "Partition Tables": magic, type, subtype, offset, size, label, flags
_ROW_BYTES = 32
_ENCRYPTED = 1
_ANY_SUBTYPE = 0xFF
_SECTOR_BYTES = 4096
_INVALID_SIZE = -0x104  # ESP_ERR_INVALID_SIZE
_NO_ENTRY = 2  # ENOENT

flash: "IO[bytes]"


def open_flash(descriptor: int) -> None:
    """Use the flash file that the board has left open for us."""
    global flash
    # Kept for ever: a file that is collected closes its descriptor.
    flash = open(descriptor, "rb")  # noqa: SIM115


class NVS:
    """One namespace: 32-bit integers and blobs by key (at most 15 characters each)."""

    def __init__(self, namespace: str) -> None:
        if not 0 < len(namespace) < 16:
            raise ValueError("namespace needs 1 to 15 characters")
        self._namespace = namespace

    def set_i32(self, key: str, value: int) -> None:
        """Store an integer."""
        if not -0x80000000 <= value <= 0x7FFFFFFF:
            raise OverflowError("value needs 32 bits")
        self._ask(bus.NVS_SET, key, _INTEGER, struct.pack("<i", value))

    def get_i32(self, key: str) -> int:
        """Return the integer under key; OSError when there is none."""
        value: int = struct.unpack("<i", self._ask(bus.NVS_GET, key, _INTEGER))[0]
        return value

    def set_blob(self, key: str, value: bytes) -> None:
        """Store bytes."""
        self._ask(bus.NVS_SET, key, _BLOB, bytes(value))

    def get_blob(self, key: str, buffer: bytearray) -> int:
        """Copy the bytes under key into buffer and return their length.

        OSError when there are none or the buffer is too short, as on the chip.
        """
        content = self._ask(bus.NVS_GET, key, _BLOB)
        if len(content) > len(buffer):
            raise OSError(_INVALID_LENGTH)
        buffer[: len(content)] = content
        return len(content)

    def erase_key(self, key: str) -> None:
        """Remove a key; OSError when there is none."""
        self._ask(bus.NVS_ERASE, key, _BLOB)

    def commit(self) -> None:
        """Nothing: every change is in the flash when its call returns."""

    def _ask(self, operation: int, key: str, kind: int, value: bytes = b"") -> bytes:
        names = self._namespace.encode() + b"\0" + key.encode() + b"\0"
        result, content = bus.ask(operation, bytes([kind]) + names + value)
        if result < 0:
            raise OSError(result)
        return bytes(content)


class Partition:
    """A partition of the flash in blocks of 4096 bytes, and which application starts next.

    Raises (from every method): OSError with ESP-IDF's error, negated, as on the chip.
    """

    BOOT = 0
    RUNNING = 1
    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, which: "str | int") -> None:
        """Find a partition by its label, or the one that runs (RUNNING) or starts next (BOOT)."""
        if isinstance(which, str):
            found = [part for part in _partitions() if part[4] == which]
            if not found:
                raise OSError(_NO_ENTRY)
            self._use(found[0])
        else:
            self._use(_partition_at(_asked(bus.APP_OFFSET, bytes([which]))))

    def _use(self, info: "tuple[int, int, int, int, str, bool]") -> None:
        self._info = info
        self._blocks = block_device.FlashBlocks(flash, info[2], info[3])

    @staticmethod
    def find(
        type: int = 0,  # noqa: A002
        subtype: int = _ANY_SUBTYPE,
        label: "str | None" = None,
        block_size: int = _SECTOR_BYTES,
    ) -> "list[Partition]":
        """Return the partitions of a type, in the order of the table."""
        if block_size != _SECTOR_BYTES:
            raise ValueError("a virtual board has blocks of 4096 bytes")
        return [
            _made(part)
            for part in _partitions()
            if part[0] == type and subtype in (_ANY_SUBTYPE, part[1]) and label in (None, part[4])
        ]

    def info(self) -> "tuple[int, int, int, int, str, bool]":
        """Return type, subtype, offset in the flash, size, label, and whether it is encrypted."""
        return self._info

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fill the buffer."""
        self._check(block, len(buffer), offset)
        self._blocks.readblocks(block, buffer, offset)

    def writeblocks(self, block: int, data: bytes, offset: int = -1) -> None:
        """Write; without an offset the blocks are erased first."""
        self._check(block, len(data), max(offset, 0))
        at = 0
        while at < len(data):  # a request has 16 bits for its size
            part = memoryview(data)[at : at + _SECTOR_BYTES]
            if offset < 0:
                result = self._blocks.writeblocks(block + at // _SECTOR_BYTES, part)
            else:
                result = self._blocks.writeblocks(block, part, offset + at)
            if result < 0:
                raise OSError(-result)
            at += _SECTOR_BYTES

    def ioctl(self, operation: int, argument: int = 0) -> int:
        """Tell number or size of the blocks, or erase one."""
        if operation == 6:
            self._check(argument, _SECTOR_BYTES, 0)
        result: int = self._blocks.ioctl(operation, argument)
        if result < 0:
            raise OSError(-result)
        return result

    def set_boot(self) -> None:
        """Start this partition's application next, on trial, after a check of its image."""
        _asked(bus.SET_BOOT, struct.pack("<I", self._info[2]))

    def get_next_update(self) -> "Partition":
        """Return the slot after this one, where the next application belongs."""
        slots = [part for part in _partitions() if part[0] == 0 and 0x10 <= part[1] < 0x20]
        slots.sort(key=lambda part: part[1])
        if not slots:
            raise OSError(_NO_ENTRY)
        later = [part for part in slots if part[1] > self._info[1]]
        is_slot = self._info in slots
        return _made(later[0] if is_slot and later else slots[0])

    @staticmethod
    def mark_app_valid_cancel_rollback() -> None:
        """Confirm the running application; without it the next reset returns to the one before."""
        _asked(bus.MARK_APP_VALID)

    def _check(self, block: int, size: int, offset: int) -> None:
        if block < 0 or block * _SECTOR_BYTES + offset + size > self._info[3]:
            raise OSError(_INVALID_SIZE)


def _asked(operation: int, payload: bytes = b"") -> int:
    result, _ = bus.ask(operation, payload)
    if result < 0:
        raise OSError(result)
    return int(result)


def _partitions() -> "list[tuple[int, int, int, int, str, bool]]":
    _, rows = bus.ask(bus.PARTITIONS)
    parts = []
    for at in range(0, len(rows), _ROW_BYTES):
        _, kind, subtype, offset, size, label, flags = struct.unpack_from(_ROW, rows, at)
        name = label.rstrip(b"\0").decode()
        parts.append((kind, subtype, offset, size, name, bool(flags & _ENCRYPTED)))
    return parts


def _partition_at(offset: int) -> "tuple[int, int, int, int, str, bool]":
    return next(part for part in _partitions() if part[2] == offset)


def _made(info: "tuple[int, int, int, int, str, bool]") -> Partition:
    return Partition(info[4])
