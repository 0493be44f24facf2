"""What the running application does with partitions, as `esp_ota_ops` of ESP-IDF does it.

Not what the bootloader does with them; that is `boot_rom`. The rules of both are in `otadata`.
"""

from poleward_tools.flash_image import otadata
from poleward_tools.flash_image.app_image import AppImage
from poleward_tools.flash_image.errors import ApplicationImageError
from poleward_tools.flash_image.partition_table import Partition
from poleward_tools.virtual_board.boot_rom import StartedApplication
from poleward_tools.virtual_board.flash_chip import NorFlash

INVALID_ARGUMENT = 0x102  # ESP_ERR_INVALID_ARG
NOT_FOUND = 0x105  # ESP_ERR_NOT_FOUND
VALIDATE_FAILED = 0x1503  # ESP_ERR_OTA_VALIDATE_FAILED


class PartitionError(Exception):
    """ESP-IDF would refuse this; `code` is its error number, positive."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class AppPartitions:
    """The partitions of a started application.

    Raises (from every method): PartitionError; nothing was changed then. PowerCutError from those
    that write.
    """

    def __init__(self, flash: NorFlash, started: StartedApplication) -> None:
        self._flash = flash
        self.table = started.table
        self.running = started.app
        self._chip_id = started.chip_id

    @property
    def boot(self) -> Partition:
        """The partition selected for the next start (`esp_ota_get_boot_partition`).

        Whether its image starts is not looked at: that is the bootloader's.
        """
        slots, selection = self.table.ota_slots, self._read_selection()
        active = otadata.active_index(otadata.read_entries(selection)) if selection else None
        if active is not None and slots:
            sequence = otadata.read_entries(selection)[active].sequence
            return slots[(sequence - 1) % len(slots)]
        first = self.table.factory or (slots[0] if slots else None)
        assert first is not None, "an application runs"
        return first

    def set_boot(self, offset: int) -> None:
        """Select the partition at an offset, on trial (`esp_ota_set_boot_partition`)."""
        part = next((part for part in self.table if part.offset == offset), None)
        if part is None or not part.is_app:
            raise PartitionError(INVALID_ARGUMENT, f"no application partition at 0x{offset:x}")
        try:
            AppImage.decode(self._flash.read(part.offset, part.size_bytes), chip_id=self._chip_id)
        except ApplicationImageError as error:
            raise PartitionError(VALIDATE_FAILED, f"{part.label}: {error}") from error
        selection = self._read_selection()
        if not selection:
            raise PartitionError(NOT_FOUND, "the table has no otadata partition")
        if part.ota_slot is None:
            self._erase_selection()
        else:
            slot_count = len(self.table.ota_slots)
            self._write(otadata.select_slot(selection, part.ota_slot, slot_count))

    def mark_app_valid(self) -> None:
        """Confirm the selected application (`esp_ota_mark_app_valid_cancel_rollback`)."""
        selection = self._read_selection()
        if not selection:
            raise PartitionError(NOT_FOUND, "the table has no otadata partition")
        write = otadata.mark_running(selection, otadata.SlotState.VALID)
        if write:
            self._write(write)

    def is_write_protected(self, offset: int, size_bytes: int) -> bool:
        """Whether a range touches the running application, bootloader or table.

        ESP-IDF guards them against its own application (CONFIG_SPI_FLASH_DANGEROUS_WRITE).
        """
        first = min(part.offset for part in self.table)
        is_running = offset < self.running.end and offset + size_bytes > self.running.offset
        return offset < first or is_running

    def _read_selection(self) -> bytes:
        part = self.table.otadata
        return self._flash.read(part.offset, part.size_bytes) if part else b""

    def _write(self, write: otadata.SectorWrite) -> None:
        assert self.table.otadata
        offset = self.table.otadata.offset + write.offset
        self._flash.erase_sector(offset)
        self._flash.program(offset, write.data)

    def _erase_selection(self) -> None:
        assert self.table.otadata
        self._flash.erase(self.table.otadata.offset, self.table.otadata.size_bytes)
