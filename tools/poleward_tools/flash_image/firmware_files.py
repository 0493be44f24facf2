"""Finds bootloader and MicroPython in what the user has: a merged file, or a build's folder.

It downloads nothing and judges no version; the files come from micropython.org or an own build.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from poleward_tools.flash_image.app_image import CHIP_IDS, AppImage, chip_name
from poleward_tools.flash_image.errors import (
    ApplicationImageError,
    FirmwareFileError,
    PartitionTableError,
)
from poleward_tools.flash_image.partition_table import (
    TABLE_OFFSET,
    TABLE_SIZE_BYTES,
    PartitionTable,
)

# Where the ROM looks for the second stage (ESP-IDF, "Bootloader", per chip).
BOOTLOADER_OFFSETS = {"esp32": 0x1000, "esp32c3": 0x0, "esp32s3": 0x0}

_BOOTLOADER_NAMES = ("bootloader.bin", "bootloader/bootloader.bin")
_APPLICATION_NAMES = ("micropython.bin",)
_SIZE_AND_FREQUENCY_AT = 3
_MIB = 1 << 20
# esptool, "Firmware Image Format": the high half of byte 3 is the size of the flash.
_SIZE_CODES = {1 * _MIB: 0x00, 2 * _MIB: 0x10, 4 * _MIB: 0x20, 8 * _MIB: 0x30, 16 * _MIB: 0x40}


@dataclass(frozen=True, slots=True)
class ChipFirmware:
    """A bootloader and an application that belong to one chip, byte for byte as they were found."""

    chip: str
    bootloader: bytes
    application: bytes


def load_firmware(path: Path, chip: str) -> ChipFirmware:
    """Read bootloader and MicroPython from a merged file or from a folder.

    Rules:
    1. A folder holds `micropython.bin` and `bootloader.bin`, the latter also in `bootloader/`, as
       MicroPython's build leaves them.
    2. A file is what micropython.org offers: from the bootloader's place in the flash on, with a
       partition table that tells where the application is.

    Raises:
        FirmwareFileError: something is missing, damaged or for another chip; says which.
    """
    if chip not in CHIP_IDS:
        raise FirmwareFileError(f"'{chip}' is no chip we know; there is {', '.join(CHIP_IDS)}")
    try:
        if path.is_dir():
            bootloader = _read_first(path, _BOOTLOADER_NAMES)
            application = _read_first(path, _APPLICATION_NAMES)
        else:
            bootloader, application = _split_merged(path, path.read_bytes(), chip)
    except OSError as error:
        raise FirmwareFileError(f"{path} cannot be read: {error.strerror}") from error
    checked = []
    for what, content in (("bootloader", bootloader), ("application", application)):
        try:
            image = AppImage.decode(content, chip_id=CHIP_IDS[chip])
        except ApplicationImageError as error:
            raise FirmwareFileError(f"{path}: {what}: {error}") from error
        # A signed image carries its signature sector behind the digest; it is kept.
        checked.append(content if path.is_dir() else content[: image.size_bytes])
    return ChipFirmware(chip, *checked)


def with_flash_size(bootloader: bytes, flash_size_bytes: int) -> bytes:
    """Return the bootloader with the size of the flash in its header and a digest that fits.

    Raises:
        FirmwareFileError: no flash has this size, or the bootloader is signed for another size.
    """
    code = _SIZE_CODES.get(flash_size_bytes)
    if code is None:
        sizes = ", ".join(str(size // _MIB) for size in _SIZE_CODES)
        raise FirmwareFileError(f"a flash has {sizes} MiB, not {flash_size_bytes} bytes")
    if bootloader[_SIZE_AND_FREQUENCY_AT] & 0xF0 == code:
        return bootloader
    image = AppImage.decode(bootloader)
    if len(bootloader) > image.size_bytes:
        raise FirmwareFileError(
            "the bootloader is signed and made for a flash of another size; build it for "
            f"{flash_size_bytes // _MIB} MiB and sign it again"
        )
    changed = bytearray(bootloader)
    changed[_SIZE_AND_FREQUENCY_AT] = changed[_SIZE_AND_FREQUENCY_AT] & 0x0F | code
    if image.has_digest:
        body = bytes(changed[:-32])
        return body + hashlib.sha256(body).digest()
    return bytes(changed)


def bootloader_of(content: bytes) -> tuple[int, AppImage] | None:
    """Find a bootloader in a file that starts at 0 or at the bootloader's place.

    Returns:
        Flash offset of the file's first byte, and the bootloader; None when there is none.
    """
    for chip, offset in BOOTLOADER_OFFSETS.items():
        for start in {0, offset}:
            try:
                image = AppImage.decode(memoryview(content)[start:], chip_id=CHIP_IDS[chip])
            except ApplicationImageError:
                continue
            if image.description is None:
                return offset - start, image
    return None


def _read_first(folder: Path, names: tuple[str, ...]) -> bytes:
    for name in names:
        if (folder / name).is_file():
            return (folder / name).read_bytes()
    raise FirmwareFileError(f"{folder} holds no {' or '.join(names)}")


def _split_merged(path: Path, content: bytes, chip: str) -> tuple[bytes, bytes]:
    found = bootloader_of(content)
    if found is None:
        raise FirmwareFileError(
            f"{path} does not start with a bootloader for {chip}; "
            "take the full .bin of micropython.org, or a folder with bootloader.bin and "
            "micropython.bin"
        )
    first_offset, bootloader = found
    if bootloader.chip_id != CHIP_IDS[chip]:
        raise FirmwareFileError(f"{path} is for {chip_name(bootloader.chip_id)}, not {chip}")
    try:
        table_at = TABLE_OFFSET - first_offset
        table = PartitionTable.decode(content[table_at : table_at + TABLE_SIZE_BYTES])
    except PartitionTableError as error:
        raise FirmwareFileError(f"{path}: {error}") from error
    part = table.factory or (table.ota_slots[0] if table.ota_slots else None)
    if part is None or part.offset - first_offset >= len(content):
        raise FirmwareFileError(f"{path} has no application in the partition its table names")
    start = BOOTLOADER_OFFSETS[chip] - first_offset
    return content[start:table_at], content[part.offset - first_offset :]
