"""The folder of a node on a virtual board: flash with identity and software, what is around it.

It runs nothing; `rack` does.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from poleward_tools.flash_image.node_image import NodeSoftware, identity_region, whole_flash
from poleward_tools.flash_image.node_nvs import NodeIdentity, Trust
from poleward_tools.virtual_board.chips import CHIPS, Chip
from poleward_tools.virtual_board.surroundings import Surroundings

FLASH_NAME = "flash.bin"
ABOUT_NAME = "board.json"
CONTROL_NAME = "control"
CONSOLE_NAME = "console.log"
PORT_NAME = "port"


class NodeFolderError(Exception):
    """A folder that is no board's; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ProductionRun:
    """What all nodes of a production run have in common.

    Args:
        software: everything in the flash but NVS.
        trust: their gateway and release keys.
    """

    software: NodeSoftware
    trust: Trust


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
        chip = CHIPS[run.software.chip]
        nvs = identity_region(run.software, identity, run.trust)
        flash = whole_flash(run.software, [nvs])
        path = parent / identity.name
        path.mkdir(mode=0o700)
        surroundings.save(path)
        (path / FLASH_NAME).touch(mode=0o600)
        (path / FLASH_NAME).write_bytes(flash)
        # Last and at once: who serves the parent takes a folder with this file for a whole board.
        about = path / f"{ABOUT_NAME}.new"
        about.write_text(
            json.dumps({"chip": chip.name, "mac": identity.mac.hex()}), encoding="utf-8"
        )
        about.replace(path / ABOUT_NAME)
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
