"""The bundle of the next release: fetched, checked, and written into the other slot.

Not the choice of the slot and not the transfer: see `node.ota.slots` and `node.ota.archives`.

Power may fail at any operation. boot.py takes a slot for whole when the digest of its bundle is in
the envelope beside it, so the old bundle goes first and the new envelope comes last.
"""

import asyncio
import os

from micropython import const

from node.ota.component import PIECE_BYTES, Component, is_in
from node.ota.errors import UpdateError
from nodelink.firmware_update import RESULT_INTEGRITY, RESULT_NO_FLASH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.ota.archives import Archives
    from node.ota.release import Part

_BUNDLE = "/bundle"
_MARK = "/release.cbor"
# LittleFS keeps pointers in each block of a file, two words of them on average.
_POINTERS_BYTES = const(8)
# For directories, the envelope and what else changes meanwhile.
_SPARE_BLOCKS = const(8)


async def download(part: "Part", archives: "Archives", slot: str, running: str) -> None:
    """Have a bundle in an archive that was checked, unless it is in the slot already.

    Args:
        part: what the envelope says of it.
        archives: where to.
        slot: directory of the slot that it is for.
        running: directory of the slot that runs, whose bundle patches are of.

    Raises:
        UpdateError: it is not what the release names.
    """
    if await _is_in(slot, part):
        archives.keep([])
        return
    whole, patch = archives.path(part), archives.patch_path(part)
    # A whole that was begun is finished: why the patch was no use has not changed.
    if archives.has(whole) or not await archives.fetch_patch(
        part, lambda: _pour(patch, part, running, None)
    ):
        await archives.fetch_whole(part, lambda: _pour(whole, part, "", None))


async def install(
    part: "Part", envelope: bytes, archives: "Archives", slot: str, running: str
) -> None:
    """Write a downloaded bundle into a slot and prove that it is there.

    Args:
        part: what the envelope says of it.
        envelope: kept in the slot as its mark.
        archives: where `download` had it.
        slot: directory of the slot; what was in it is lost.
        running: directory of the slot that runs.

    Raises:
        UpdateError: the slot is not whole now.
    """
    try:
        if archives.has(archives.patch_path(part)):
            await _write(archives.patch_path(part), part, slot, running)
        elif archives.has(archives.path(part)):
            await _write(archives.path(part), part, slot, "")
        if not await _is_in(slot, part):
            raise UpdateError(RESULT_INTEGRITY, "flash did not keep what was written")
        unmarked = slot + "/release.new"
        with open(unmarked, "wb") as file:
            file.write(envelope)
        os.rename(unmarked, slot + _MARK)
    except OSError as error:
        if error.args and error.args[0] == 28:  # ENOSPC
            raise UpdateError(RESULT_NO_FLASH, "flash is full")
        raise UpdateError(RESULT_INTEGRITY, "flash: %s" % error)


def check_room(root: str, size_bytes: int, slot: str) -> None:
    """Check that an archive of at most `size_bytes` and, the slot cleared, the bundle will fit.

    Raises:
        UpdateError: with the numbers.
    """
    status = os.statvfs(root or ".")
    block_bytes, free = status[1], status[3]
    needed = _blocks(size_bytes, block_bytes)
    try:
        old = _blocks(os.stat(slot + _BUNDLE)[6], block_bytes)
    except OSError:
        old = 0
    needed += max(0, needed - old) + _SPARE_BLOCKS
    if free < needed:
        raise UpdateError(RESULT_NO_FLASH, "flash has %d of %d blocks" % (free, needed))


async def _is_in(slot: str, part: "Part") -> bool:
    try:
        with open(slot + _BUNDLE, "rb") as file:
            return await is_in(file, part)
    except OSError:
        return False


async def _write(archive: str, part: "Part", slot: str, running: str) -> None:
    """Write a bundle into a slot, in place of what is there.

    What is there goes first: as long as it lasts, what replaces it takes other blocks.
    """
    try:
        os.mkdir(slot)
    except OSError:
        for name in os.listdir(slot):
            os.remove(slot + "/" + name)
    with open(slot + _BUNDLE, "wb") as file:
        await _pour(archive, part, running, file)


async def _pour(archive: str, part: "Part", running: str, file: "Any") -> None:
    """Write a bundle to a file, or nowhere, and check it; it is a patch where a slot runs."""
    source = open(running + _BUNDLE, "rb") if running else None
    with Component(archive, part, source) as bundle:
        while bundle.left_bytes:
            piece = bundle.read(min(PIECE_BYTES, bundle.left_bytes))
            if file is not None and file.write(piece) != len(piece):
                raise OSError(28)
            await asyncio.sleep(0)
        bundle.check_whole()


def _blocks(size_bytes: int, block_bytes: int) -> int:
    return size_bytes // (block_bytes - _POINTERS_BYTES) + 1
