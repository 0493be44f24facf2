"""The partition that the next image of MicroPython goes into: written, and read back.

Not the choice to start it, which is `node.ota.slots`'s, and not what an image is: the bootloader
knows that. Writing here harms nobody: nothing starts from this partition before it is selected.
"""

import asyncio

from micropython import const

from node.ota.component import PIECE_BYTES, Component, is_in
from node.ota.errors import UpdateError
from node.ota.release import Part
from nodelink.firmware_update import RESULT_INTEGRITY, RESULT_NO_FLASH
from nodelink.release_format import IMAGE_PIECE_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SECTOR_BYTES = const(4096)
_ERASE = const(6)  # ioctl of vfs.AbstractBlockDev


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


def check_room(part: Part, partition: "Any") -> None:
    """Check that an image fits a partition.

    Raises:
        UpdateError: with the numbers.
    """
    room_bytes = partition.info()[3]
    if not 0 < part.size_bytes <= room_bytes:
        raise UpdateError(
            RESULT_NO_FLASH, "image of %d bytes, room for %d" % (part.size_bytes, room_bytes)
        )


async def build(archive: str, part: Part, target: "Any", running: "Any") -> None:
    """Write the image that a patch makes of the running one, and read it back.

    Raises:
        UpdateError: the patch is of another image, or damaged.
    """
    with Component(archive, part, _Reader(running)) as image:
        await _write(image, target, 0)
    await check(part, target)


async def write_piece(archive: str, part: Part, number: int, target: "Any") -> None:
    """Write one of the pieces that an image travels in; whether it is right shows at the end.

    Raises:
        UpdateError: the archive is damaged.
    """
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
