"""The chip's two application partitions and their selection, for `power_cut_on_vm`; on MicroPython.

Not ESP-IDF itself: the rules are those of `flash_image.otadata` and `virtual_board.boot_rom`, which
are held against it.

Layout of the flash: two sectors of otadata, then the two partitions.
"""

# mypy: ignore-errors
import binascii
import hashlib
import struct

_SECTOR_BYTES = 4096
_ENTRY = "<I20sII"  # sequence, label, state, checksum of the sequence
_NEW, _PENDING, _VALID, _INVALID, _ABORTED = 0, 1, 2, 3, 4
_BLANK = 0xFFFFFFFF
_ERASE = 6
_VALIDATE_FAILED = -0x1503


class Partitions:
    """Stands for the class `esp32.Partition`.

    Args:
        flash: a `power_cut_on_vm.Flash`.
        sectors: of each partition.
        image_bytes: size of every image; its last 32 bytes are SHA-256 of those before.
    """

    BOOT, RUNNING = 0, 1

    def __init__(self, flash, sectors, image_bytes):
        self.flash = flash
        self.sectors = sectors
        self.image_bytes = image_bytes
        self.running = 0

    def __call__(self, which):
        return Partition(self, self.running)

    def start(self):
        """Do what the bootloader does, and give the partition whose image it starts."""
        entries = [self._read(0), self._read(1)]
        for number, (sequence, state) in enumerate(entries):
            if state == _PENDING:
                self._write(number, sequence, _ABORTED)
                entries[number] = (sequence, _ABORTED)
        active = _active(entries)
        if active is None:
            preferred = 0
            if entries[0][0] == entries[1][0] == _BLANK:
                self._write(0, 1, _VALID)
        else:
            sequence, state = entries[active]
            preferred = (sequence - 1) % 2
            if state == _NEW:
                self._write(active, sequence, _PENDING)
        self.running = preferred
        if not self.is_image(preferred):
            self.running = 1 - preferred
        return Partition(self, self.running)

    def select(self, number):
        """Have a partition started next, on trial."""
        if not self.is_image(number):
            raise OSError(_VALIDATE_FAILED)
        entries = [self._read(0), self._read(1)]
        active = _active(entries)
        if active is None:
            self._write(0, number + 1, _NEW)
            return
        sequence = (number + 1) % 2
        while sequence < entries[active][0]:
            sequence += 2
        self._write(1 - active, sequence, _NEW)

    def mark_app_valid_cancel_rollback(self):
        entries = [self._read(0), self._read(1)]
        active = _active(entries)
        self._write(active, entries[active][0], _VALID)

    def is_image(self, number):
        """Tell whether a bootloader would start what is in a partition."""
        partition = Partition(self, number)
        content = bytearray(self.image_bytes)
        partition.readblocks(0, content)
        return hashlib.sha256(content[:-32]).digest() == content[-32:]

    def _read(self, number):
        """Read an entry as sequence and state; one with a wrong checksum is blank."""
        content = bytearray(struct.calcsize(_ENTRY))
        self.flash.readblocks(number, content)
        sequence, _, state, checksum = struct.unpack(_ENTRY, content)
        return (sequence, state) if checksum == _checksum(sequence) else (_BLANK, _BLANK)

    def _write(self, number, sequence, state):
        self.flash.ioctl(_ERASE, number)
        entry = struct.pack(_ENTRY, sequence, b"\xff" * 20, state, _checksum(sequence))
        self.flash.writeblocks(number, entry, 0)


class Partition:
    """One of the two."""

    def __init__(self, partitions, number):
        self._partitions = partitions
        self._number = number
        self._first = 2 + number * partitions.sectors

    def info(self):
        size_bytes = self._partitions.sectors * _SECTOR_BYTES
        return (0, 0x10 + self._number, self._first * _SECTOR_BYTES, size_bytes, "ota", False)

    def get_next_update(self):
        return Partition(self._partitions, 1 - self._number)

    def readblocks(self, block, buffer, offset=0):
        self._partitions.flash.readblocks(self._first + block, buffer, offset)

    def writeblocks(self, block, data, offset):
        self._partitions.flash.writeblocks(self._first + block, data, offset)

    def ioctl(self, operation, block):
        return self._partitions.flash.ioctl(operation, self._first + block)

    def set_boot(self):
        self._partitions.select(self._number)


def _active(entries):
    """Tell which entry selects, the one with the higher sequence of those that may."""
    valid = [
        number
        for number, (sequence, state) in enumerate(entries)
        if sequence != _BLANK and state not in (_INVALID, _ABORTED)
    ]
    return max(valid, key=lambda number: entries[number][0]) if valid else None


def _checksum(sequence):
    return binascii.crc32(struct.pack("<I", sequence), 0xFFFFFFFF)
