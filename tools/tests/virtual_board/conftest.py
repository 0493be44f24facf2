"""A whole flash for a board: bootloader, table, application image, file system, NVS."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from poleward_tools.flash_image.app_image import AppDescription, AppImage, Segment
from poleward_tools.flash_image.littlefs import FileSystemImage
from poleward_tools.flash_image.nvs import Integer, MemoryStorage, NvsPartition, Value
from poleward_tools.flash_image.nvs_page import ItemType
from poleward_tools.flash_image.partition_table import NODE_4_MIB, TABLE_OFFSET
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
        content = bytearray(b"\xff" * FLASH_SIZE_BYTES)

        def place(offset: int, data: bytes) -> None:
            content[offset : offset + len(data)] = data

        bootloader = AppImage(chip.chip_id, 0x40080000, (Segment(0x40080000, bytes(64)),))
        place(chip.bootloader_offset, bootloader.encode())
        place(TABLE_OFFSET, NODE_4_MIB.encode())
        description = AppDescription("1.29", "micropython").encode()
        image = AppImage(chip.chip_id, 0x40080000, (Segment(0x3F400020, description),))
        place(NODE_4_MIB.ota_slots[0].offset, image.encode())
        part = {part.label: part for part in NODE_4_MIB}
        file_system = FileSystemImage.format(part["vfs"].size_bytes)
        file_system.write_all(files)
        place(part["vfs"].offset, file_system.encode())
        storage = MemoryStorage(bytearray(b"\xff" * part["nvs"].size_bytes))
        nvs = NvsPartition(storage)
        for namespace, values in nvs_values.items():
            for key, value in values.items():
                nvs.set(namespace, key, value)
        place(part["nvs"].offset, bytes(storage.content))
        path = tmp_path / "flash.bin"
        path.write_bytes(content)
        return path

    return make
