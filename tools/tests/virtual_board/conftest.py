"""A whole flash for a board: bootloader, table, application image, file system, NVS."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

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
from poleward_tools.flash_image.partition_table import NODE_4_MIB
from poleward_tools.virtual_board.chips import CHIPS

FLASH_SIZE_BYTES = 4 << 20
MakeFlash = Callable[..., Path]
NVS_VALUES: dict[str, dict[str, Value]] = {
    "identity": {"profile": b"pole-basic"},
    "boot": {"count": Integer(ItemType.I32, 41)},
}


@pytest.fixture
def make_flash(tmp_path: Path) -> MakeFlash:
    """Return a function that writes a flash file with the given files in its file system."""

    def make(
        files: Mapping[str, bytes],
        chip_name: str = "esp32",
        nvs_values: Mapping[str, Mapping[str, Value]] = NVS_VALUES,
    ) -> Path:
        chip = CHIPS[chip_name]
        bootloader = AppImage(chip.chip_id, 0x40080000, (Segment(0x40080000, bytes(64)),))
        part = {part.label: part for part in NODE_4_MIB}
        parts = FlashParts(
            bootloader=bootloader.encode(),
            app=marker_image(chip.chip_id, "1.29", "micropython"),
            nvs=make_nvs(nvs_values, part["nvs"].size_bytes),
            file_system=make_file_system(files, part["vfs"].size_bytes),
        )
        content = lay_out(parts, bootloader_offset=chip.bootloader_offset)
        path = tmp_path / "flash.bin"
        path.write_bytes(content)
        return path

    return make
