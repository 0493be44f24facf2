"""Two partitions for applications and the bootloader's choice between them, in RAM.

Power fails at erases, not at writes. Not ESP-IDF's otadata: what it promises is kept,
`tools/tests/virtual_board` has the bytes.
"""

SECTOR_BYTES = 4096
_SECTORS = 2
OFFSETS = (0x10000, 0x190000)
NEW, PENDING, VALID, ABORTED = "new", "pending", "valid", "aborted"


class Partitions:
    """Stands for the class `esp32.Partition`; `start` is what the bootloader does at a reset.

    Args:
        flash: counts writing operations and cuts the power.
        running: content of the partition that runs.
    """

    BOOT, RUNNING = 0, 1

    def __init__(self, flash, running):
        self.flash = flash
        self.contents = [bytearray(b"\xff" * _SECTORS * SECTOR_BYTES) for _ in OFFSETS]
        self.contents[0][: len(running)] = running
        self.selected = 0
        self.states = [VALID, ABORTED]
        self.running = 0
        self.is_image = True
        self.size_bytes = _SECTORS * SECTOR_BYTES

    def __call__(self, which):
        return Partition(self, self.running if which == self.RUNNING else self.selected)

    def start(self):
        """Choose what runs; give its offset."""
        if self.states[self.selected] == PENDING:
            self.states[self.selected] = ABORTED
        if self.states[self.selected] == ABORTED:
            self.selected = 1 - self.selected
        if self.states[self.selected] == NEW:
            self.states[self.selected] = PENDING
        self.running = self.selected
        return OFFSETS[self.running]

    def mark_app_valid_cancel_rollback(self):
        """Confirm what runs; cut while it is written, it was never selected."""
        try:
            self.flash.before_write()
        except BaseException:
            self.states[self.running] = ABORTED
            raise
        self.states[self.running] = VALID


class Partition:
    """One of them."""

    def __init__(self, partitions, number):
        self._partitions = partitions
        self._number = number

    def info(self):
        return (
            0,
            0x10 + self._number,
            OFFSETS[self._number],
            self._partitions.size_bytes,
            "ota",
            False,
        )

    def get_next_update(self):
        return Partition(self._partitions, 1 - self._number)

    def readblocks(self, block, buffer, offset=0):
        at = block * SECTOR_BYTES + offset
        buffer[:] = self._partitions.contents[self._number][at : at + len(buffer)]

    def writeblocks(self, block, data, offset):
        at = block * SECTOR_BYTES + offset
        content = self._partitions.contents[self._number]
        assert content[at : at + len(data)] == b"\xff" * len(data), "written twice"
        content[at : at + len(data)] = data

    def ioctl(self, operation, block):
        assert operation == 6
        assert self._number != self._partitions.running, "the running image is written over"
        self._partitions.flash.before_write()
        at = block * SECTOR_BYTES
        content = self._partitions.contents[self._number]
        content[at : at + SECTOR_BYTES] = b"\xff" * SECTOR_BYTES

    def set_boot(self):
        self._partitions.flash.before_write()
        if not self._partitions.is_image:
            raise OSError(-0x1503)
        self._partitions.selected = self._number
        self._partitions.states[self._number] = NEW
