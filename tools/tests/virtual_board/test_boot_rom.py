"""From reset to application on a flash file: what starts, what is printed, what is written."""

import pytest

from poleward_tools.flash_image.app_image import AppDescription, AppImage, Segment
from poleward_tools.flash_image.otadata import SelectEntry, SlotState, read_entries
from poleward_tools.flash_image.partition_table import NODE_4_MIB, TABLE_OFFSET
from poleward_tools.virtual_board.boot_rom import (
    BootFailure,
    ResetReason,
    StartedApplication,
    boot,
    download_banner,
)
from poleward_tools.virtual_board.chips import CHIPS, Chip
from poleward_tools.virtual_board.flash_chip import NorFlash, PowerCutError

FLASH_SIZE_BYTES = 4 << 20
OTADATA = 0xD000


def app_of(chip: Chip, version: str) -> bytes:
    description = AppDescription(version, "micropython").encode()
    return AppImage(chip.chip_id, 0x40080000, (Segment(0x3C000020, description),)).encode()


def flash_of(chip: Chip, *versions: str | None) -> NorFlash:
    flash = NorFlash.blank(FLASH_SIZE_BYTES)
    bootloader = AppImage(chip.chip_id, 0x40080000, (Segment(0x40080000, bytes(64)),))
    flash.program(chip.bootloader_offset, bootloader.encode())
    flash.program(TABLE_OFFSET, NODE_4_MIB.encode())
    for slot, version in zip(NODE_4_MIB.ota_slots, versions, strict=False):
        if version:
            flash.program(slot.offset, app_of(chip, version))
    return flash


def start(chip: Chip, flash: NorFlash) -> StartedApplication:
    outcome = boot(chip, flash, ResetReason.POWER_ON)
    assert isinstance(outcome, StartedApplication), outcome
    return outcome


@pytest.fixture(params=sorted(CHIPS))
def chip(request: pytest.FixtureRequest) -> Chip:
    return CHIPS[request.param]


def test_factory_new_board_starts_slot_0_and_records_it(chip: Chip) -> None:
    flash = flash_of(chip, "1.0", "2.0")
    started = start(chip, flash)
    assert started.app.label == "ota_0"
    assert started.description is not None
    assert started.description.version == "1.0"
    assert started.file_system is not None
    assert started.file_system.label == "vfs"
    first, second = read_entries(flash.read(OTADATA, 0x2000))
    assert first == SelectEntry.make(1, SlotState.VALID)
    assert second.is_blank_or_damaged


def test_trial_that_is_not_confirmed_returns(chip: Chip) -> None:
    flash = flash_of(chip, "1.0", "2.0")
    start(chip, flash)
    flash.program(OTADATA + 0x1000, SelectEntry.make(2, SlotState.NEW).encode())
    assert start(chip, flash).app.label == "ota_1"
    assert start(chip, flash).app.label == "ota_0"


def test_damaged_image_is_skipped_and_named(chip: Chip) -> None:
    flash = flash_of(chip, "1.0", "2.0")
    flash.program(NODE_4_MIB.ota_slots[0].offset + 0x30, bytes(8))
    started = start(chip, flash)
    assert started.app.label == "ota_1"
    assert b"OTA app partition slot 0 is not bootable" in started.console


@pytest.mark.parametrize("cut_at", range(1, 5))
def test_power_cut_while_a_trial_begins_or_ends_leaves_a_board_that_starts(cut_at: int) -> None:
    chip = CHIPS["esp32"]
    flash = flash_of(chip, "1.0", "2.0")
    start(chip, flash)
    flash.program(OTADATA + 0x1000, SelectEntry.make(2, SlotState.NEW).encode())
    flash.faults.cut_at_operation = flash.counts.operations + cut_at
    for _ in range(2):
        try:
            start(chip, flash)
        except PowerCutError:
            break
    else:
        pytest.fail("the power was not cut")
    flash.faults.cut_at_operation = None
    start(chip, flash)
    assert start(chip, flash).app.label == "ota_0"


def test_blank_flash_prints_what_the_rom_prints(chip: Chip) -> None:
    outcome = boot(chip, NorFlash.blank(FLASH_SIZE_BYTES), ResetReason.POWER_ON)
    assert isinstance(outcome, BootFailure)
    assert outcome.console.count(b"invalid header: 0xffffffff\r\n") == 3
    assert f"bootloader at 0x{chip.bootloader_offset:x}" in outcome.message


def test_image_of_another_chip_is_not_started() -> None:
    flash = flash_of(CHIPS["esp32s3"])
    flash.program(NODE_4_MIB.ota_slots[0].offset, app_of(CHIPS["esp32c3"], "1.0"))
    outcome = boot(CHIPS["esp32s3"], flash, ResetReason.POWER_ON)
    assert isinstance(outcome, BootFailure)
    assert "image is for esp32c3, this is esp32s3" in outcome.message
    assert b"No bootable app partitions" in outcome.console


def test_damaged_partition_table_starts_nothing(chip: Chip) -> None:
    flash = flash_of(chip, "1.0")
    flash.program(TABLE_OFFSET + 5, b"\0")
    outcome = boot(chip, flash, ResetReason.POWER_ON)
    assert isinstance(outcome, BootFailure)
    assert "digest does not match" in outcome.message


def test_banner_names_the_reason_and_download_mode() -> None:
    assert b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n" in (
        start(CHIPS["esp32"], flash_of(CHIPS["esp32"], "1.0")).console
    )
    banner = download_banner(CHIPS["esp32c3"], ResetReason.SOFTWARE)
    assert b"rst:0xc (RTC_SW_CPU_RST),boot:0x5 (DOWNLOAD(USB/UART0/1))\r\n" in banner
    assert banner.endswith(b"waiting for download\r\n")
