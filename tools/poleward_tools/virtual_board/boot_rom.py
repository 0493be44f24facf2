"""What happens between a reset and the application: boot ROM and second-stage bootloader.

Reads the flash as they do and says what they print; running the application is `board`'s.
"""

from dataclasses import dataclass
from enum import Enum

from poleward_tools.flash_image import otadata
from poleward_tools.flash_image.app_image import AppDescription, AppImage
from poleward_tools.flash_image.errors import ApplicationImageError, FlashImageError
from poleward_tools.flash_image.partition_table import (
    TABLE_OFFSET,
    TABLE_SIZE_BYTES,
    Partition,
    PartitionTable,
)
from poleward_tools.virtual_board.chips import Chip
from poleward_tools.virtual_board.flash_chip import NorFlash

_MAX_BOOTLOADER_BYTES = 0x7000


class ResetReason(Enum):
    """Why the chip started: the number and the two spellings the ROMs print, original and later."""

    POWER_ON = (0x1, "POWERON_RESET", "POWERON")
    SOFTWARE = (0xC, "SW_CPU_RESET", "RTC_SW_CPU_RST")
    WATCHDOG = (0x8, "TG1WDT_SYS_RESET", "TG1WDT_SYS_RST")
    BROWN_OUT = (0xF, "RTCWDT_BROWN_OUT_RESET", "RTCWDT_BROWN_OUT_RST")


@dataclass(frozen=True, slots=True)
class StartedApplication:
    """An application was loaded; `console` is what was printed on the way."""

    console: bytes
    chip_id: int
    table: PartitionTable
    app: Partition
    description: AppDescription | None
    reason: ResetReason

    @property
    def file_system(self) -> Partition | None:
        """The partition MicroPython mounts: the one called `vfs`, or the first with LittleFS."""
        return self.table.file_system


@dataclass(frozen=True, slots=True)
class BootFailure:
    """Nothing was started; the watchdog resets the chip and it tries again."""

    console: bytes
    message: str


def download_banner(chip: Chip, reason: ResetReason) -> bytes:
    """Return what the ROM prints when it enters download mode; esptool looks for it."""
    return _rom_banner(chip, reason, chip.download_boot) + b"waiting for download\r\n"


def boot(chip: Chip, flash: NorFlash, reason: ResetReason) -> StartedApplication | BootFailure:
    """Start as a chip does: bootloader, partition table, boot selection, image.

    Changes to the boot selection are written to the flash on the way.

    Raises:
        PowerCutError: the power went while the boot selection was written.
    """
    console = [_rom_banner(chip, reason, chip.flash_boot)]

    def fail(message: str) -> BootFailure:
        return BootFailure(b"".join(console), message)

    head = flash.read(chip.bootloader_offset, _MAX_BOOTLOADER_BYTES)
    try:
        AppImage.decode(head, chip_id=chip.chip_id)
    except ApplicationImageError as error:
        # The ROM repeats the word it found until its watchdog bites.
        word = int.from_bytes(head[:4], "little")
        console.append(f"invalid header: 0x{word:08x}\r\n".encode() * 3)
        return fail(f"bootloader at 0x{chip.bootloader_offset:x}: {error}")
    try:
        table = PartitionTable.decode(flash.read(TABLE_OFFSET, TABLE_SIZE_BYTES))
        table.check(flash.size_bytes)
    except FlashImageError as error:
        console.append(_log_line("E", "flash_parts", str(error)))
        console.append(_log_line("E", "boot", "Failed to verify partition table"))
        return fail(str(error))

    refusals: list[str] = []

    def can_start(slot: int) -> bool:
        part = table.factory if slot == otadata.FACTORY else table.ota_slots[slot]
        if part is None:
            return False
        try:
            AppImage.decode(flash.read(part.offset, part.size_bytes), chip_id=chip.chip_id)
        except ApplicationImageError as error:
            refusals.append(f"{part.label}: {error}")
            console.append(_log_line("E", "esp_image", str(error)))
            if slot == otadata.FACTORY:
                line = "Factory app partition is not bootable"
            else:
                line = f"OTA app partition slot {slot} is not bootable"
            console.append(_log_line("E", "boot", line))
            return False
        return True

    selection = table.otadata
    if selection is None:
        app = table.factory
        if app is None or not can_start(otadata.FACTORY):
            console.append(_log_line("E", "boot", "No bootable app partitions"))
            return fail("; ".join(refusals) or "there is no factory partition and no otadata")
    else:
        choice = otadata.choose(
            flash.read(selection.offset, selection.size_bytes),
            slot_count=len(table.ota_slots),
            has_factory=table.factory is not None,
            can_start=can_start,
        )
        for write in choice.writes:
            flash.erase_sector(selection.offset + write.offset)
            flash.program(selection.offset + write.offset, write.data)
        if choice.slot is None:
            console.append(
                _log_line("E", "boot", "No bootable app partitions in the partition table")
            )
            return fail("; ".join(refusals) or "there is no application partition")
        app = table.factory if choice.slot == otadata.FACTORY else table.ota_slots[choice.slot]
        assert app is not None
    image = AppImage.decode(flash.read(app.offset, app.size_bytes))
    console.append(_log_line("I", "boot", f"Loaded app from partition at offset 0x{app.offset:x}"))
    return StartedApplication(
        b"".join(console), chip.chip_id, table, app, image.description, reason
    )


def _rom_banner(chip: Chip, reason: ResetReason, mode: tuple[int, str]) -> bytes:
    number, original, later = reason.value
    # The original ROM prints an empty line here, the later ones their build date.
    name = later if chip.has_security_info else original
    gap = "" if chip.has_security_info else "\r\n"
    return (
        f"{chip.rom_build}\r\n{gap}rst:0x{number:x} ({name}),boot:0x{mode[0]:x} ({mode[1]})\r\n"
    ).encode()


def _log_line(level: str, tag: str, message: str) -> bytes:
    return f"{level} (0) {tag}: {message}\r\n".encode()
