"""The folder of a node on a virtual board: flash with identity and software, what is around it.

It runs nothing; `rack` does.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from poleward_tools.flash_image.app_image import AppImage, Segment
from poleward_tools.flash_image.layout import (
    FlashParts,
    lay_out,
    make_file_system,
    make_nvs,
    marker_image,
)
from poleward_tools.flash_image.nvs import Integer, Value
from poleward_tools.flash_image.nvs_page import ItemType
from poleward_tools.flash_image.partition_table import NODE_4_MIB, Partition
from poleward_tools.virtual_board.chips import CHIPS, Chip
from poleward_tools.virtual_board.surroundings import Surroundings

PROFILE = "pole-basic"
FLASH_NAME = "flash.bin"
ABOUT_NAME = "board.json"
CONTROL_NAME = "control"
CONSOLE_NAME = "console.log"
PORT_NAME = "port"
_CLAIM_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0 O 1 I: people type it
_CLAIM_CHARACTERS = 16  # 5 bits each
# What `esptool image-info` says of the image in the place of MicroPython.
_VM_VERSION, _VM_PROJECT = "1.29.0", "micropython (virtual)"
_BOOTLOADER_ADDRESS = 0x40080000


class NodeFolderError(Exception):
    """A folder that is no board's; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What the flashing station gives a node, and the claim code for its label.

    Args:
        mac: EUI-48, 6 bytes.
        bootstrap_secret: OSCORE Master Secret for bootstrap, 16 bytes.
        bootstrap_salt: OSCORE Master Salt for bootstrap, 8 bytes.
        claim_code: on the label; the node does not know it.
        profile: board profile.
    """

    mac: bytes
    bootstrap_secret: bytes = field(repr=False)
    bootstrap_salt: bytes = field(repr=False)
    claim_code: str = field(repr=False)
    profile: str = PROFILE

    @property
    def name(self) -> str:
        """Name of the board's folder: the MAC in hexadecimal."""
        return self.mac.hex()


def new_identity(mac: bytes) -> NodeIdentity:
    """Make an identity with fresh secrets from the operating system."""
    return NodeIdentity(
        mac=mac,
        bootstrap_secret=secrets.token_bytes(16),
        bootstrap_salt=secrets.token_bytes(8),
        claim_code="".join(secrets.choice(_CLAIM_ALPHABET) for _ in range(_CLAIM_CHARACTERS)),
    )


@dataclass(frozen=True, slots=True)
class ProductionRun:
    """What all nodes of a production run have in common.

    Args:
        gateway_uri: where they bootstrap, e.g. "coap://127.0.0.1:5683".
        release_keys: public keys that may sign releases, Ed25519 or HSS-LMS.
        file_system: content of the `vfs` partition, as `node_file_system` makes it.
        chip: name of the chip.
    """

    gateway_uri: str
    release_keys: tuple[bytes, ...]
    file_system: bytes = field(repr=False)
    chip: str = "esp32"


def node_file_system(
    boot_files: Mapping[str, bytes], bundle_files: Mapping[str, bytes], envelope: bytes
) -> bytes:
    """Return the file system of a node that has its first release in slot a.

    Args:
        boot_files: files of the root, boot.py and main.py.
        bundle_files: node/….mpy and nodelink/….mpy.
        envelope: the release's signed envelope.

    Raises:
        FileSystemError: they do not fit the partition.
    """
    files = dict(boot_files)
    files |= {f"slot_a/{path}": content for path, content in bundle_files.items()}
    files["slot_a/release.cbor"] = envelope
    return make_file_system(files, _partition("vfs").size_bytes)


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """A board's folder and what it says about the board."""

    path: Path
    chip: Chip
    mac: bytes

    @classmethod
    def make(
        cls, parent: Path, identity: NodeIdentity, surroundings: Surroundings, run: ProductionRun
    ) -> Self:
        """Make the folder of a board with a new node on it, below `parent`.

        Raises:
            FileExistsError: the node was made before; take another MAC or another parent.
            FlashImageError: something does not fit the flash.
        """
        chip = CHIPS[run.chip]
        nvs = make_nvs(_nvs_values(identity, run), _partition("nvs").size_bytes)
        bootloader = AppImage(
            chip.chip_id, _BOOTLOADER_ADDRESS, (Segment(_BOOTLOADER_ADDRESS, bytes(64)),)
        )
        app = marker_image(chip.chip_id, _VM_VERSION, _VM_PROJECT)
        flash = lay_out(
            FlashParts(bootloader.encode(), app, nvs, run.file_system),
            bootloader_offset=chip.bootloader_offset,
        )
        path = parent / identity.name
        path.mkdir(mode=0o700)
        surroundings.save(path)
        (path / FLASH_NAME).touch(mode=0o600)
        (path / FLASH_NAME).write_bytes(flash)
        # Last: who serves the parent takes a folder with this file for a whole board.
        about = {"chip": chip.name, "mac": identity.mac.hex()}
        (path / ABOUT_NAME).write_text(json.dumps(about), encoding="utf-8")
        return cls(path, chip, identity.mac)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what board a folder holds.

        Raises:
            NodeFolderError: it holds none, or one that is not understood.
        """
        try:
            about = json.loads((path / ABOUT_NAME).read_text(encoding="utf-8"))
            return cls(path, CHIPS[about["chip"]], bytes.fromhex(about["mac"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NodeFolderError(f"{path} is no board's folder: {error!r}") from error

    @property
    def flash(self) -> Path:
        """The flash chip's content."""
        return self.path / FLASH_NAME

    @property
    def control(self) -> Path:
        """The control socket, while the board is served."""
        return self.path / CONTROL_NAME

    @property
    def console(self) -> Path:
        """What the board has printed, with times."""
        return self.path / CONSOLE_NAME

    @property
    def port(self) -> Path:
        """Symbolic link to the serial port, while the board is served."""
        return self.path / PORT_NAME


def _nvs_values(identity: NodeIdentity, run: ProductionRun) -> dict[str, dict[str, Value]]:
    return {
        "identity": {
            "mac": identity.mac,
            "bs_secret": identity.bootstrap_secret,
            "bs_salt": identity.bootstrap_salt,
            "profile": identity.profile.encode(),
            "gateway": run.gateway_uri.encode(),
            "relkeys": b"".join(run.release_keys),
        },
        "boot": {"confirmed": Integer(ItemType.I32, 1)},
    }


def _partition(label: str) -> Partition:
    return next(part for part in NODE_4_MIB if part.label == label)
