"""Images without code, which a virtual board takes for a bootloader and for MicroPython.

The board runs MicroPython's unix port for every application that calls itself MicroPython. What a
chip runs comes from files.
"""

from poleward_tools.flash_image.app_image import AppDescription, AppImage, Segment
from poleward_tools.flash_image.firmware_files import ChipFirmware
from poleward_tools.virtual_board.chips import CHIPS

MICROPYTHON = "micropython"
"""What the project of an image is called, or begins with, that a virtual board can run."""

_VERSION = "1.29.0"
_PROJECT = f"{MICROPYTHON} (virtual)"
_BOOTLOADER_ADDRESS = 0x40080000
# Any address in the data cache's window: nothing is ever mapped there.
_APPLICATION_ADDRESS = 0x3F400020


def stand_in_firmware(chip: str, version: str = _VERSION) -> ChipFirmware:
    """Return images that a bootloader accepts; esptool's `image-info` tells the version."""
    number = CHIPS[chip].chip_id
    description = AppDescription(version, _PROJECT).encode()
    return ChipFirmware(
        chip,
        _image(number, _BOOTLOADER_ADDRESS, bytes(64)),
        _image(number, _APPLICATION_ADDRESS, description),
    )


def _image(chip_id: int, address: int, content: bytes) -> bytes:
    return AppImage(chip_id, address, (Segment(address, content),)).encode()
