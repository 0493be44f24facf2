"""The partition that the next image of MicroPython goes into: fetched, written, and read back.

Not the choice to start it, which is `node.ota.slots`'s, and not what an image is: the bootloader
knows that. Writing here harms nobody: nothing starts from this partition before it is selected.
"""

import asyncio
import os

from micropython import const

from node.ota.component import PIECE_BYTES, Component, is_in
from node.ota.errors import UpdateError
from node.ota.release import Part
from nodelink.firmware_update import RESULT_INTEGRITY, RESULT_NO_FLASH
from nodelink.release_format import IMAGE_PIECE_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.ota.archives import Archives

_SECTOR_BYTES = const(4096)
_ERASE = const(6)  # ioctl of vfs.AbstractBlockDev


async def download(part: Part, archives: "Archives", target: "Any", running: "Any") -> "Any":
    """Have an image in the partition for the next one; give that, or None when it runs already.

    Raises:
        UpdateError: it does not fit, or is not what the release names.
    """
    _check_room(part, target)
    if await holds(running, part):
        return None
    if await holds(target, part):
        return target
    patch = archives.patch_path(part)
    number = archives.piece_begun(part)
    # What was begun in pieces is finished: why the patch was no use has not changed.
    if number < 0 and await archives.fetch_patch(
        part, lambda: _build(patch, part, target, running)
    ):
        os.remove(patch)
        return target
    number = max(0, number)
    while number * IMAGE_PIECE_BYTES < part.size_bytes:
        await _fetch_piece(part, number, archives, target)
        number += 1
    os.remove(archives.path(part, str(number)))
    await check(part, target)
    return target


async def holds(partition: "Any", part: Part) -> bool:
    """Tell whether a partition holds an image, from what is read there."""
    return await is_in(_Reader(partition), part)


async def check(part: Part, partition: "Any") -> None:
    """Check that a partition holds an image.

    Raises:
        UpdateError: it does not.
    """
    if not await holds(partition, part):
        raise UpdateError(RESULT_INTEGRITY, "image does not have the signed digest")


def _check_room(part: Part, partition: "Any") -> None:
    room_bytes = partition.info()[3]
    if not 0 < part.size_bytes <= room_bytes:
        raise UpdateError(
            RESULT_NO_FLASH, "image of %d bytes, room for %d" % (part.size_bytes, room_bytes)
        )


async def _build(archive: str, part: Part, target: "Any", running: "Any") -> None:
    """Write the image that a patch makes of the running one, and read it back."""
    with Component(archive, part, _Reader(running)) as image:
        await _write(image, target, 0)
    await check(part, target)


async def _fetch_piece(part: Part, number: int, archives: "Archives", target: "Any") -> None:
    archive = archives.path(part, str(number))
    await archives.fetch_piece(
        part, number, IMAGE_PIECE_BYTES, lambda: _write_piece(archive, part, number, target)
    )


async def _write_piece(archive: str, part: Part, number: int, target: "Any") -> None:
    """Write one of the pieces that an image travels in; whether it is right shows at the end."""
    start = number * IMAGE_PIECE_BYTES
    size_bytes = min(IMAGE_PIECE_BYTES, part.size_bytes - start)
    with Component(archive, Part(b"", size_bytes), None) as piece:
        await _write(piece, target, start)


class _Reader:
    """Reads a partition like a file."""

    def __init__(self, partition: "Any") -> None:
        self._partition = partition
        self._at = 0

    def seek(self, at: int) -> None:
        """Go on at another place."""
        self._at = at

    def readinto(self, view: memoryview) -> int:
        """Fill a view; OSError when there are not so many bytes."""
        self._partition.readblocks(self._at // _SECTOR_BYTES, view, self._at % _SECTOR_BYTES)
        self._at += len(view)
        return len(view)

    def close(self) -> None:
        """Nothing: a partition stays open."""


async def _write(component: Component, target: "Any", at: int) -> None:
    """Write a component from the start of a sector on, each sector erased when its turn comes."""
    while component.left_bytes:
        view = component.read(min(PIECE_BYTES, component.left_bytes))
        block = at // _SECTOR_BYTES
        if at % _SECTOR_BYTES == 0:
            target.ioctl(_ERASE, block)
            await asyncio.sleep(0)
        target.writeblocks(block, view, at % _SECTOR_BYTES)
        at += len(view)
