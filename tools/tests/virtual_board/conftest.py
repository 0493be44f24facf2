"""A whole flash for a board: bootloader, table, application image, file system, NVS."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from poleward_tools.flash_image.node_image import nvs_region, prepare_software, whole_flash
from poleward_tools.flash_image.nvs import Integer, Value
from poleward_tools.flash_image.nvs_page import ItemType
from poleward_tools.virtual_board.stand_ins import stand_in_firmware

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
        software = prepare_software(stand_in_firmware(chip_name), files)
        content = whole_flash(software, [nvs_region(software.table, nvs_values)])
        path = tmp_path / "flash.bin"
        path.write_bytes(content)
        return path

    return make
