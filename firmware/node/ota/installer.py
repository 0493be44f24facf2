"""Checking a downloaded bundle and writing it into a slot, piece by piece.

Not the choice of the slot and not the download: see `node.ota.slots` and `node.ota.updater`.

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

    from node.ota.release import Part

BUNDLE = "/bundle"
_MARK = "/release.cbor"
# LittleFS keeps pointers in each block of a file, two words of them on average.
_POINTERS_BYTES = const(8)
# For directories, the envelope and what else changes meanwhile.
_SPARE_BLOCKS = const(8)


async def check(archive: str, part: "Part", source: "Any" = None) -> None:
    """Inflate an archive and compare size and digest with the signed ones; writes nothing.

    Args:
        archive: path of the compressed bundle, or patch of one.
        part: what the envelope says of it.
        source: the file of the bundle that the archive is a patch of.

    Raises:
        UpdateError: the archive is not the bundle.
    """
    await _pour(archive, part, source, None)


async def install(
    archive: str, part: "Part", envelope: bytes, slot: str, source: "Any" = None
) -> None:
    """Write the bundle in an archive into a slot and prove that it is there.

    Args:
        archive: path of the compressed bundle, or patch of one.
        part: what the envelope says of it.
        envelope: kept in the slot as its mark.
        slot: directory of the slot; what was in it is lost.
        source: as for `check`; it is of another slot.

    Raises:
        UpdateError: the slot is not whole now.
    """
    try:
        _clear(slot)
        with open(slot + BUNDLE, "wb") as file:
            await _pour(archive, part, source, file)
        with open(slot + BUNDLE, "rb") as file:
            if not await is_in(file, part):
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
        old = _blocks(os.stat(slot + BUNDLE)[6], block_bytes)
    except OSError:
        old = 0
    needed += max(0, needed - old) + _SPARE_BLOCKS
    if free < needed:
        raise UpdateError(RESULT_NO_FLASH, "flash has %d of %d blocks" % (free, needed))


async def _pour(archive: str, part: "Part", source: "Any", file: "Any") -> None:
    """Write a bundle to a file, or nowhere, and check it."""
    with Component(archive, part, source) as bundle:
        while bundle.left_bytes:
            piece = bundle.read(min(PIECE_BYTES, bundle.left_bytes))
            if file is not None and file.write(piece) != len(piece):
                raise OSError(28)
            await asyncio.sleep(0)
        bundle.check_whole()


def _clear(slot: str) -> None:
    """Free the blocks of a slot's bundle: as long as it is there, what replaces it takes others."""
    try:
        os.mkdir(slot)
    except OSError:
        for name in os.listdir(slot):
            os.remove(slot + "/" + name)


def _blocks(size_bytes: int, block_bytes: int) -> int:
    return size_bytes // (block_bytes - _POINTERS_BYTES) + 1
