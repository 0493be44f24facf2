"""The chips a virtual board can be: their numbers, register addresses and fuse words.

Not how the registers behave; `rom` and `spi_controller` do that.
Addresses: the chips' technical reference manuals, chapters eFuse, SPI and UART.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from poleward_tools.flash_image.app_image import CHIP_IDS
from poleward_tools.flash_image.firmware_files import BOOTLOADER_OFFSETS

CRYSTAL_HZ = 40_000_000

# Where and how every chip says which one it is.
MAGIC_REGISTER = 0x40001000


@dataclass(frozen=True, slots=True)
class SpiRegisters:
    """Addresses of the SPI controller that the flash hangs on, and its one oddity."""

    base: int
    user: int
    user_1: int
    user_2: int
    miso_length: int
    word_0: int
    # The original chip sends addresses from the register's top, the later ones from its bottom.
    is_address_at_top: bool


@dataclass(frozen=True, slots=True)
class Chip:
    """What differs between the chips as a host tool sees them.

    Fuse words other than the address are those of a usual part: no security, external flash.
    """

    name: str
    display_name: str
    chip_id: int
    magic: int
    bootloader_offset: int
    has_security_info: bool
    spi: SpiRegisters
    uart_divider: int
    # The address lies in these two words, low first.
    mac_words: tuple[int, int]
    fuse_words: Mapping[int, int]
    # What the boot ROM prints at a start; (strapping value, name) for each mode.
    rom_build: str
    flash_boot: tuple[int, str]
    download_boot: tuple[int, str]
    # Value and address of the calibration the ROM measures its baud rate with; only the original.
    calibration: tuple[int, int] | None = None


# The ROM compares its RC oscillator with the crystal. The pair gives 39.375 MHz for a 40 MHz
# crystal, an error as real parts have it: esptool asks for a baud rate that is off by as much.
_CALIBRATION_CYCLES = 1600
_RC_FAST_CODE = 63
_CALIBRATED_HZ = _CALIBRATION_CYCLES * 15625 * _RC_FAST_CODE // 40

_SPI_LATER = SpiRegisters(
    base=0x60002000, user=0x18, user_1=0x1C, user_2=0x20, miso_length=0x28, word_0=0x58,
    is_address_at_top=False,
)  # fmt: skip

CHIPS = {
    chip.name: chip
    for chip in (
        Chip(
            name="esp32",
            display_name="ESP32",
            chip_id=CHIP_IDS["esp32"],
            magic=0x00F01D83,
            bootloader_offset=BOOTLOADER_OFFSETS["esp32"],
            has_security_info=False,
            spi=SpiRegisters(
                base=0x3FF42000,
                user=0x1C,
                user_1=0x20,
                user_2=0x24,
                miso_length=0x2C,
                word_0=0x80,
                is_address_at_top=True,
            ),
            uart_divider=0x3FF40014,
            mac_words=(0x3FF5A004, 0x3FF5A008),
            fuse_words={
                # ESP32-D0WD-V3, rated for 240 MHz, revision 3.1 (its major number is in 3 places).
                0x3FF5A00C: 1 << 9 | 1 << 13 | 1 << 15,
                0x3FF5A010: _RC_FAST_CODE,
                0x3FF5A014: 1 << 20 | 1 << 24,
                0x3FF6607C: 1 << 31,
                0x3FF5F06C: _CALIBRATION_CYCLES << 7,
            },
            rom_build="ets Jul 29 2019 12:21:46",
            flash_boot=(0x13, "SPI_FAST_FLASH_BOOT"),
            download_boot=(0x3, "DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2)"),
            calibration=(CRYSTAL_HZ, _CALIBRATED_HZ),
        ),
        Chip(
            name="esp32c3",
            display_name="ESP32-C3",
            chip_id=CHIP_IDS["esp32c3"],
            magic=0x1B31506F,
            bootloader_offset=BOOTLOADER_OFFSETS["esp32c3"],
            has_security_info=True,
            spi=_SPI_LATER,
            uart_divider=0x60000014,
            mac_words=(0x60008844, 0x60008848),
            # QFN32, revision 0.4.
            fuse_words={0x60008850: 4 << 18, 0x60008858: 0},
            rom_build="ESP-ROM:esp32c3-api1-20210207",
            flash_boot=(0xD, "SPI_FAST_FLASH_BOOT"),
            download_boot=(0x5, "DOWNLOAD(USB/UART0/1)"),
        ),
        Chip(
            name="esp32s3",
            display_name="ESP32-S3",
            chip_id=CHIP_IDS["esp32s3"],
            magic=0x9,
            bootloader_offset=BOOTLOADER_OFFSETS["esp32s3"],
            has_security_info=True,
            spi=_SPI_LATER,
            uart_divider=0x60000014,
            mac_words=(0x60007044, 0x60007048),
            # QFN56, revision 0.2.
            fuse_words={0x60007050: 2 << 18, 0x60007058: 0},
            rom_build="ESP-ROM:esp32s3-20210327",
            flash_boot=(0x8, "SPI_FAST_FLASH_BOOT"),
            download_boot=(0x0, "DOWNLOAD(USB/UART0)"),
        ),
    )
}


def read_only_registers(chip: Chip, mac: bytes) -> dict[int, int]:
    """Return the registers that the fuses and the mask set, for a board with this address."""
    low, high = chip.mac_words
    return {
        MAGIC_REGISTER: chip.magic,
        low: int.from_bytes(mac[2:], "big"),
        high: int.from_bytes(mac[:2], "big"),
        **chip.fuse_words,
    }
