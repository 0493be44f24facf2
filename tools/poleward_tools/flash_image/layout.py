"""A whole flash: bootloader, partition table, application, NVS and file system at their places.

Not where the parts come from, and not the identity in NVS; the caller brings both.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from poleward_tools.flash_image.app_image import AppDescription, AppImage, Segment
from poleward_tools.flash_image.errors import FlashImageError
from poleward_tools.flash_image.littlefs import FileSystemImage
from poleward_tools.flash_image.nvs import MemoryStorage, NvsPartition, Value
from poleward_tools.flash_image.partition_table import (
    NODE_4_MIB,
    SUBTYPE_NVS,
    TABLE_OFFSET,
    TYPE_DATA,
    PartitionTable,
)

FLASH_4_MIB = 4 << 20
# Any address in the data cache's window: nothing is ever mapped there by a marker.
_MARKER_ADDRESS = 0x3F400020
NvsValues = Mapping[str, Mapping[str, Value]]


@dataclass(frozen=True, slots=True)
class FlashParts:
    """What goes into a flash, each part as the bytes of its region or shorter.

    Args:
        bootloader: image of the second-stage bootloader.
        app: image of the application, for the first update slot.
        nvs: content of the NVS partition.
        file_system: content of the `vfs` partition.
    """

    bootloader: bytes
    app: bytes
    nvs: bytes
    file_system: bytes


def lay_out(
    parts: FlashParts,
    *,
    bootloader_offset: int,
    table: PartitionTable = NODE_4_MIB,
    size_bytes: int = FLASH_4_MIB,
) -> bytes:
    """Return the content of the whole flash; what no part covers is erased.

    Raises:
        FlashImageError: the table does not fit the flash, or a part its region; the message says
            which and by how much.
    """
    table.check(size_bytes)
    content = bytearray(b"\xff" * size_bytes)

    def place(name: str, offset: int, room_bytes: int, data: bytes) -> None:
        if len(data) > room_bytes:
            raise FlashImageError(
                f"{name} has {len(data)} bytes, {len(data) - room_bytes} more than its "
                f"{room_bytes} bytes at 0x{offset:x}"
            )
        content[offset : offset + len(data)] = data

    def fill(label: str, data: bytes) -> None:
        part = table.find(label)
        if part is None:
            raise FlashImageError(f"the table has no partition '{label}'")
        place(f"the content of '{label}'", part.offset, part.size_bytes, data)

    room_bytes = TABLE_OFFSET - bootloader_offset
    place("the bootloader", bootloader_offset, room_bytes, parts.bootloader)
    content[TABLE_OFFSET : TABLE_OFFSET + len(table.encode())] = table.encode()
    fill(table.ota_slots[0].label, parts.app)
    nvs = table.first(TYPE_DATA, SUBTYPE_NVS)
    if nvs is None:
        raise FlashImageError("the table has no partition for NVS")
    fill(nvs.label, parts.nvs)
    fill("vfs", parts.file_system)
    return bytes(content)


def make_nvs(values: NvsValues, size_bytes: int) -> bytes:
    """Return an NVS partition that holds these values by namespace and key.

    Raises:
        NvsError: a name or a value cannot be stored, or not all fit.
    """
    storage = MemoryStorage(bytearray(b"\xff" * size_bytes))
    nvs = NvsPartition(storage)
    for namespace, items in values.items():
        for key, value in items.items():
            nvs.set(namespace, key, value)
    return bytes(storage.content)


def make_file_system(files: Mapping[str, bytes], size_bytes: int) -> bytes:
    """Return a LittleFS partition that holds these files.

    Raises:
        FileSystemError: they do not fit.
    """
    file_system = FileSystemImage.format(size_bytes)
    file_system.write_all(files)
    return file_system.encode()


def marker_image(chip_id: int, version: str, project: str) -> bytes:
    """Return an image without code that a bootloader accepts: on a virtual board the VM runs."""
    description = AppDescription(version, project).encode()
    return AppImage(chip_id, _MARKER_ADDRESS, (Segment(_MARKER_ADDRESS, description),)).encode()
