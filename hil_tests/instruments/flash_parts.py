"""What is written into a board's flash so that it becomes a node: contents by offset.

Writing is the flasher's. Bootloader and MicroPython come from the rig's file; a virtual board takes
stand-ins, because it runs the unix port whatever the image holds.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from poleward_tools.demo.factory import BuiltRelease
from poleward_tools.flash_image.app_image import CHIP_IDS, AppDescription, AppImage, Segment
from poleward_tools.flash_image.littlefs import FileSystemImage
from poleward_tools.flash_image.nvs import Integer, MemoryStorage, NvsPartition, Value
from poleward_tools.flash_image.nvs_page import ItemType
from poleward_tools.flash_image.partition_table import NODE_4_MIB, TABLE_OFFSET
from poleward_tools.virtual_board.chips import CHIPS
from poleward_tools.virtual_board.node_folder import NodeIdentity

_OTADATA_BLANK = b"\xff" * 0x2000
_WIFI_VARIABLES = {"ssid": "POLEWARD_RIG_WIFI_SSID", "key": "POLEWARD_RIG_WIFI_KEY"}
_IRAM = 0x40080000
_DROM = 0x3F400020


@dataclass(frozen=True, slots=True)
class BaseImages:
    """What comes before the node's own files: second-stage bootloader and MicroPython."""

    bootloader: bytes
    application: bytes

    @classmethod
    def from_files(cls, bootloader: Path, application: Path) -> "BaseImages":
        """Read the images that a rig's file names."""
        return cls(bootloader.read_bytes(), application.read_bytes())

    @classmethod
    def stand_ins(cls, chip: str) -> "BaseImages":
        """Make images that a virtual board's bootloader accepts."""
        number = CHIP_IDS[chip]
        bootloader = AppImage(number, _IRAM, (Segment(_IRAM, bytes(64)),))
        description = AppDescription("1.29", "micropython").encode()
        application = AppImage(number, _IRAM, (Segment(_DROM, description),))
        return cls(bootloader.encode(), application.encode())


@dataclass(frozen=True, slots=True)
class NodeContent:
    """What makes a board this node.

    Args:
        identity: with the address of the chip.
        gateway_uri: where it bootstraps.
        release_keys: public keys that may sign its releases, 32 bytes each.
        release: what is in its first slot.
    """

    identity: NodeIdentity
    gateway_uri: str
    release_keys: tuple[bytes, ...]
    release: BuiltRelease


def software_parts(chip: str, images: BaseImages, release: BuiltRelease) -> dict[int, bytes]:
    """Return everything but NVS; a node that is flashed again keeps its identity and its keys.

    Raises:
        FlashImageError: something does not fit its partition.
    """
    files = {f"/{name}": content for name, content in release.built.root_files.items()}
    files |= {f"/slot_a/{name}": content for name, content in release.built.files.items()}
    files["/slot_a/release.cbor"] = release.envelope
    partition = {part.label: part for part in NODE_4_MIB}
    file_system = FileSystemImage.format(partition["vfs"].size_bytes)
    file_system.write_all(files)
    return {
        CHIPS[chip].bootloader_offset: images.bootloader,
        TABLE_OFFSET: NODE_4_MIB.encode(),
        partition["otadata"].offset: _OTADATA_BLANK,
        partition["ota_0"].offset: images.application,
        partition["vfs"].offset: file_system.encode(),
    }


def identity_part(content: NodeContent, environment: Mapping[str, str]) -> dict[int, bytes]:
    """Return the NVS partition of a node that never ran.

    Args:
        content: what it is.
        environment: gives a real board its Wi-Fi, which stands in no file of the rig.

    Raises:
        FlashImageError: it does not fit.
    """
    identity = content.identity
    values: dict[str, dict[str, Value]] = {
        "identity": {
            "mac": identity.mac,
            "bs_secret": identity.bootstrap_secret,
            "bs_salt": identity.bootstrap_salt,
            "profile": identity.profile.encode(),
            "gateway": content.gateway_uri.encode(),
            "relkeys": b"".join(content.release_keys),
        },
        "boot": {
            name: Integer(ItemType.I32, value)
            for name, value in (("slot", 0), ("tries", 0), ("confirmed", 1), ("count", 0))
        },
        "network": {
            key: environment[name].encode()
            for key, name in _WIFI_VARIABLES.items()
            if name in environment
        },
    }
    offset, size_bytes = nvs_place()
    storage = MemoryStorage(bytearray(b"\xff" * size_bytes))
    nvs = NvsPartition(storage)
    for namespace, entries in values.items():
        for key, value in entries.items():
            nvs.set(namespace, key, value)
    return {offset: bytes(storage.content)}


def new_node_part(content: NodeContent) -> dict[int, bytes]:
    """Return the NVS partition with the Wi-Fi of this process's environment."""
    return identity_part(content, os.environ)


def rerouted(nvs_content: bytes, uri: str) -> bytes | None:
    """Return an NVS partition whose account leads to this URI, None when it does already.

    The bootstrap gives a node the address that its gateway sees itself under, which leads around a
    relay in between.

    Raises:
        FlashImageError: the partition is damaged, or there is no room.
    """
    storage = MemoryStorage(bytearray(nvs_content))
    nvs = NvsPartition(storage)
    if nvs.get("account", "uri") == uri.encode():
        return None
    nvs.set("account", "uri", uri.encode())
    return bytes(storage.content)


def nvs_place() -> tuple[int, int]:
    """Return offset and size of the NVS partition."""
    partition = NODE_4_MIB.find("nvs")
    assert partition is not None
    return partition.offset, partition.size_bytes
