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
from poleward_tools.flash_image.nvs import Integer, MemoryStorage, NvsPartition, Value
from poleward_tools.flash_image.nvs_page import ItemType
from poleward_tools.flash_image.partition_table import (
    NODE_4_MIB,
    SUBTYPE_LITTLEFS,
    SUBTYPE_NVS,
    TABLE_OFFSET,
    TYPE_DATA,
    Partition,
    PartitionTable,
)
from poleward_tools.virtual_board.node_folder import NodeIdentity

FLASH_SIZE_BYTES = 4 << 20
IDENTITY = "identity"
# What a board has and how it reaches its gateway: texts by namespace and key.
Settings = Mapping[str, Mapping[str, str]]
SETTING_NAMESPACES = ("board", "network")
MAX_SETTING_BYTES = 64  # node.board.parts reads no more
NO_SETTINGS: Settings = {}


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


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom a node trusts from its first boot on.

    Args:
        gateway_uri: where it bootstraps, e.g. "coap://192.168.4.1:5683".
        release_keys: public keys that may sign releases, Ed25519 or HSS-LMS.
    """

    gateway_uri: str
    release_keys: tuple[bytes, ...]


def prepare_software(
    firmware: ChipFirmware,
    *,
    root_files: Mapping[str, bytes],
    bundle_files: Mapping[str, bytes],
    envelope: bytes,
    flash_size_bytes: int = FLASH_SIZE_BYTES,
    table: PartitionTable = NODE_4_MIB,
) -> NodeSoftware:
    """Lay out bootloader, table, MicroPython and a file system with a release in slot a.

    Args:
        firmware: of the chip.
        root_files: boot.py and main.py.
        bundle_files: the release's files relative to a slot.
        envelope: the release's signed envelope.
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
    files_part = table.first(TYPE_DATA, SUBTYPE_LITTLEFS)
    if slot is None or files_part is None:
        raise SizeError("the layout has no partition for an application or none for files")
    _check_room("MicroPython", firmware.application, slot)
    file_system = FileSystemImage.format(files_part.size_bytes)
    files = {f"/{path}": content for path, content in root_files.items()}
    files |= {f"/slot_a/{path}": content for path, content in bundle_files.items()}
    # boot.py takes a slot for whole when its envelope is there.
    files["/slot_a/release.cbor"] = envelope
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
    part = software.table.first(TYPE_DATA, SUBTYPE_NVS)
    if part is None:
        raise SizeError("the layout has no NVS partition for the identity")
    storage = MemoryStorage(bytearray(b"\xff" * part.size_bytes))
    nvs = NvsPartition(storage)
    try:
        for key, value in identity_values(identity, trust).items():
            nvs.set(IDENTITY, key, value)
        for namespace, values in settings.items():
            for key, text in values.items():
                nvs.set(namespace, key, text.encode())
        for key, number in (("slot", 0), ("tries", 0), ("confirmed", 1), ("count", 0)):
            nvs.set("boot", key, Integer(ItemType.I32, number))
    except NvsFullError as error:
        raise NvsFullError(
            f"NVS '{part.label}' of {part.size_bytes} bytes is full: {error}; "
            f"{len(trust.release_keys)} release keys may be too many"
        ) from error
    return Region(part.label, part.offset, bytes(storage.content))


def identity_values(identity: NodeIdentity, trust: Trust) -> dict[str, Value]:
    """Return what namespace "identity" holds."""
    return {
        "mac": identity.mac,
        "bs_secret": identity.bootstrap_secret,
        "bs_salt": identity.bootstrap_salt,
        "profile": identity.profile.encode(),
        "gateway": trust.gateway_uri.encode(),
        "relkeys": b"".join(trust.release_keys),
    }


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
