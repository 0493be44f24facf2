"""Puts together what a node's flash holds when it leaves the factory: the same for the same input.

It writes no board and makes no secrets; `flashing` does.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from poleward_tools.flash_image.errors import NvsFullError, SizeError
from poleward_tools.flash_image.firmware_files import (
    BOOTLOADER_OFFSETS,
    ChipFirmware,
    with_flash_size,
)
from poleward_tools.flash_image.littlefs import FileSystemImage
from poleward_tools.flash_image.node_nvs import (
    NO_SETTINGS,
    NodeIdentity,
    NvsValues,
    Settings,
    Trust,
    factory_values,
)
from poleward_tools.flash_image.nvs import MemoryStorage, NvsPartition
from poleward_tools.flash_image.partition_table import (
    NODE_4_MIB,
    TABLE_OFFSET,
    Partition,
    PartitionTable,
)

FLASH_SIZE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes for one place in the flash."""

    label: str
    offset: int
    content: bytes


@dataclass(frozen=True, slots=True)
class NodeSoftware:
    """Everything that all nodes of a production run have in common.

    Attributes:
        chip: which chip it is for.
        flash_size_bytes: of the smallest flash that it fits.
        table: the layout.
        regions: in the order of the flash; NVS, which differs from node to node, is not there.
    """

    chip: str
    flash_size_bytes: int
    table: PartitionTable
    regions: tuple[Region, ...]

    @property
    def digest(self) -> bytes:
        """SHA-256 over all places and contents: what the station's record calls the image."""
        summary = hashlib.sha256(self.chip.encode())
        for region in self.regions:
            summary.update(f"{region.label}@{region.offset}+{len(region.content)}".encode())
            summary.update(region.content)
        return summary.digest()


def node_files(
    *, root_files: Mapping[str, bytes], bundle: bytes, envelope: bytes
) -> dict[str, bytes]:
    """Return the file system's files by path, for a node with its first release in slot a.

    Args:
        root_files: boot.py, main.py and what belongs to them.
        bundle: the release's application.
        envelope: the release's signed envelope.
    """
    files = {f"/{path}": content for path, content in root_files.items()}
    return files | {"/slot_a/bundle": bundle, "/slot_a/release.cbor": envelope}


def prepare_software(
    firmware: ChipFirmware,
    files: Mapping[str, bytes],
    *,
    flash_size_bytes: int = FLASH_SIZE_BYTES,
    table: PartitionTable = NODE_4_MIB,
) -> NodeSoftware:
    """Lay out bootloader, table, MicroPython and file system.

    Args:
        firmware: of the chip.
        files: of the file system by path.
        flash_size_bytes: of the board's flash.
        table: the layout.

    Raises:
        SizeError: something is larger than its partition; says by how much.
        PartitionTableError: the layout does not fit the flash.
        FirmwareFileError: the bootloader cannot be used on such a flash.
        FileSystemError: the files do not fit the file system.
    """
    table.check(flash_size_bytes)
    bootloader = with_flash_size(firmware.bootloader, flash_size_bytes)
    bootloader_at = BOOTLOADER_OFFSETS[firmware.chip]
    room_bytes = TABLE_OFFSET - bootloader_at
    if len(bootloader) > room_bytes:
        raise SizeError(
            f"bootloader has {len(bootloader)} bytes; {room_bytes} fit before the table"
        )
    slot = table.ota_slots[0] if table.ota_slots else table.factory
    files_part = table.file_system
    if slot is None or files_part is None:
        raise SizeError("the layout has no partition for an application or none for files")
    _check_room("MicroPython", firmware.application, slot)
    file_system = FileSystemImage.format(files_part.size_bytes)
    file_system.write_all(files)
    regions = [
        Region("bootloader", bootloader_at, bootloader),
        Region("table", TABLE_OFFSET, table.encode()),
        Region(slot.label, slot.offset, firmware.application),
        Region(files_part.label, files_part.offset, file_system.encode()),
    ]
    if table.otadata:
        blank = b"\xff" * table.otadata.size_bytes
        regions.append(Region(table.otadata.label, table.otadata.offset, blank))
    ordered = tuple(sorted(regions, key=lambda region: region.offset))
    return NodeSoftware(firmware.chip, flash_size_bytes, table, ordered)


def identity_region(
    software: NodeSoftware, identity: NodeIdentity, trust: Trust, settings: Settings = NO_SETTINGS
) -> Region:
    """Write one node's identity, trust anchors and settings into an NVS partition.

    Raises:
        NvsFullError: the partition is too small, usually for too many release keys.
        NvsError: a value cannot be stored.
        SizeError: the layout has no NVS.
    """
    try:
        return nvs_region(software.table, factory_values(identity, trust, settings))
    except NvsFullError as error:
        raise NvsFullError(
            f"{error}; {len(trust.release_keys)} release keys may be too many"
        ) from error


def nvs_region(table: PartitionTable, values: NvsValues) -> Region:
    """Write values into a blank NVS partition.

    Raises:
        NvsError: a value cannot be stored, or not all fit.
        SizeError: the layout has no NVS.
    """
    part = table.nvs
    if part is None:
        raise SizeError("the layout has no NVS partition for the identity")
    storage = MemoryStorage(bytearray(b"\xff" * part.size_bytes))
    nvs = NvsPartition(storage)
    try:
        for namespace, entries in values.items():
            for key, value in entries.items():
                nvs.set(namespace, key, value)
    except NvsFullError as error:
        raise NvsFullError(
            f"NVS '{part.label}' of {part.size_bytes} bytes is full: {error}"
        ) from error
    return Region(part.label, part.offset, bytes(storage.content))


def whole_flash(software: NodeSoftware, regions: Sequence[Region] = ()) -> bytes:
    """Return the content of the whole flash, blank where nothing is."""
    content = bytearray(b"\xff" * software.flash_size_bytes)
    for region in (*software.regions, *regions):
        content[region.offset : region.offset + len(region.content)] = region.content
    return bytes(content)


def _check_room(what: str, content: bytes, part: Partition) -> None:
    if len(content) > part.size_bytes:
        raise SizeError(
            f"{what} has {len(content)} bytes; partition '{part.label}' holds {part.size_bytes}, "
            f"{len(content) - part.size_bytes} too few"
        )
