"""Says what is in a flash file, a merged firmware file or an application image, whoever made it.

Not whether it is good for a node. Secrets are never shown: keys and secrets are counted in bytes.
"""

import contextlib
from dataclasses import dataclass, field
from typing import Any

from poleward_tools.flash_image import otadata
from poleward_tools.flash_image.app_image import AppImage, chip_name
from poleward_tools.flash_image.errors import ApplicationImageError, FlashImageError
from poleward_tools.flash_image.firmware_files import bootloader_of
from poleward_tools.flash_image.littlefs import FileSystemImage
from poleward_tools.flash_image.node_nvs import PLAIN_TEXTS
from poleward_tools.flash_image.nvs import Integer, NvsPartition, Value
from poleward_tools.flash_image.partition_table import (
    FILE_SYSTEM_LABEL,
    SUBTYPE_FAT,
    SUBTYPE_LITTLEFS,
    SUBTYPE_NVS,
    SUBTYPE_OTADATA,
    TABLE_OFFSET,
    TABLE_SIZE_BYTES,
    TYPE_DATA,
    Partition,
    PartitionTable,
)


@dataclass(slots=True)
class Inspection:
    """What was found.

    Attributes:
        kind: "flash", "application" or "bootloader".
        chip: name of the chip it is for.
        size_bytes: of the file.
        first_offset: place in the flash of the file's first byte.
        facts: about the image itself.
        parts: one entry for each partition, with what is in it.
        problems: what a bootloader or MicroPython would stumble over.
    """

    kind: str
    chip: str
    size_bytes: int
    first_offset: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    parts: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def inspect(content: bytes) -> Inspection:
    """Say what a file is.

    Raises:
        ApplicationImageError: it is nothing of an ESP32's flash, or its image is damaged.
    """
    found = bootloader_of(content)
    if found is not None:
        first_offset, bootloader = found
        table_at = TABLE_OFFSET - first_offset
        if len(content) > table_at:
            return _inspect_flash(content, first_offset, bootloader)
    image = AppImage.decode(content)
    kind = "bootloader" if image.description is None else "application"
    return Inspection(kind, chip_name(image.chip_id), len(content), facts=_image_facts(image))


def _inspect_flash(content: bytes, first_offset: int, bootloader: AppImage) -> Inspection:
    result = Inspection(
        "flash", chip_name(bootloader.chip_id), len(content), first_offset,
        {"bootloader": _image_facts(bootloader)},
    )  # fmt: skip
    table_at = TABLE_OFFSET - first_offset
    try:
        table = PartitionTable.decode(content[table_at : table_at + TABLE_SIZE_BYTES])
    except FlashImageError as error:
        result.problems.append(f"partition table: {error}")
        return result
    for part in table:
        start = part.offset - first_offset
        data = content[start : start + part.size_bytes]
        entry: dict[str, Any] = {
            "label": part.label, "offset": part.offset, "size_bytes": part.size_bytes
        }  # fmt: skip
        result.parts.append(entry)
        try:
            entry.update(_part_facts(part, data, bootloader.chip_id, len(table.ota_slots)))
        except FlashImageError as error:
            entry["content"] = "damaged"
            result.problems.append(f"partition '{part.label}': {error}")
    return result


def _part_facts(part: Partition, data: bytes, chip_id: int, slot_count: int) -> dict[str, Any]:
    if not data:
        return {"content": "not in the file"}
    if data.count(0xFF) == len(data):
        return {"content": "blank"}
    if part.is_app:
        image = AppImage.decode(data, chip_id=chip_id)
        free_bytes = part.size_bytes - image.size_bytes
        return {"content": "application", "free_bytes": free_bytes, **_image_facts(image)}
    if part.type != TYPE_DATA:
        return {"content": "unknown"}
    if part.subtype == SUBTYPE_NVS:
        nvs = NvsPartition.decode(data)
        return {
            "content": "NVS",
            "values": {
                space: {key: _shown(key, value) for key, value in nvs.values(space).items()}
                for space in nvs.namespaces()
            },
        }
    if part.subtype == SUBTYPE_OTADATA:
        return {"content": "boot selection", **_selection_facts(data, slot_count)}
    if part.subtype in (SUBTYPE_LITTLEFS, SUBTYPE_FAT) or part.label == FILE_SYSTEM_LABEL:
        # MicroPython's own layouts call the partition FAT and put LittleFS into it.
        files = FileSystemImage.mount(data).files()
        sizes = {path: len(file) for path, file in sorted(files.items())}
        return {"content": "LittleFS", "files": sizes}
    return {"content": "data"}


def _selection_facts(data: bytes, slot_count: int) -> dict[str, Any]:
    entries = otadata.read_entries(data)
    active = otadata.active_index(entries)
    if active is None:
        return {}
    entry = entries[active]
    names = {state.value: state.name.lower() for state in otadata.SlotState}
    return {
        "starts": f"ota_{(entry.sequence - 1) % slot_count}",
        "state": names.get(entry.state, entry.state),
    }


def _image_facts(image: AppImage) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "image_bytes": image.size_bytes,
        "segments": len(image.segments),
        "sha256": image.digest.hex(),
    }
    about = image.description
    if about:
        facts |= {
            "project": about.project,
            "version": about.version,
            "built": f"{about.build_date} {about.build_time}".strip(),
            "idf_version": about.idf_version,
        }
        with contextlib.suppress(ApplicationImageError):
            facts["micropython"] = _micropython_version(image)
    return facts


def _micropython_version(image: AppImage) -> str:
    """Find the banner that MicroPython prints; it is text in the image."""
    for segment in image.segments:
        at = segment.data.find(b"MicroPython v")
        if at >= 0:
            return segment.data[at + 12 : at + 60].split(b"\0")[0].split(b";")[0].decode("latin-1")
    raise ApplicationImageError("no MicroPython in the image")


def _shown(key: str, value: Value) -> str | int:
    if isinstance(value, Integer):
        return value.value
    if key == "mac" or key in PLAIN_TEXTS:
        if isinstance(value, str):
            return value
        return value.hex() if key == "mac" else value.decode(errors="replace")
    return f"{len(value)} bytes"
