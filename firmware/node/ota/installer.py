"""Checking a downloaded bundle and writing it into a slot, piece by piece.

Not the choice of the slot and not the download: see `node.ota.slots` and `node.ota.updater`.

Power may fail at any operation. A slot counts as whole only while it holds `release.cbor`, so that
file goes first when a slot is cleared and comes last when one is written; boot.py looks for it.
"""

import asyncio
import os

from micropython import const

from node.ota.component import PIECE_BYTES, Component
from node.ota.errors import UpdateError
from nodelink.firmware_update import RESULT_INTEGRITY, RESULT_NO_FLASH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.ota.release import Part

MARK = "release.cbor"
_PATH_MAX_BYTES = const(64)
_PATH_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789_"
# Major types in the bundle's CBOR sequence, RFC 8949, 3.1.
_BYTES = const(2)
_TEXT = const(3)
# What a file may take beyond its contents: the rest of its last block and its directory entry.
_OVERHEAD_BYTES = const(4096 + 256)


async def check(archive: str, part: "Part", source: "Any" = None) -> None:
    """Inflate an archive and compare size, digest and paths with the signed ones; writes nothing.

    Args:
        archive: path of the compressed bundle, or patch of one.
        part: what the envelope says of it.
        source: the bundle that the archive is a patch of, a `node.ota.slot_bundle.SlotBundle`.

    Raises:
        UpdateError: the archive is not the bundle.
    """
    await _walk(archive, part, _Reader(), source)


async def install(
    archive: str, part: "Part", envelope: bytes, slot: str, source: "Any" = None
) -> None:
    """Write the bundle in an archive into a slot and prove that it is there.

    Args:
        archive: path of the compressed bundle, or patch of one.
        part: what the envelope says of it.
        envelope: kept in the slot as its mark.
        slot: directory of the slot; everything in it is removed first.
        source: as for `check`; it is of another slot.

    Raises:
        UpdateError: the slot is not whole now, and marked so.
    """
    try:
        invalidate(slot)
        _remove_tree(slot)
        await _walk(archive, part, _Writer(slot), source)
        await _walk(archive, part, _Comparer(slot), source)
        unmarked = slot + "/release.new"
        with open(unmarked, "wb") as file:
            file.write(envelope)
        os.rename(unmarked, slot + "/" + MARK)
    except OSError as error:
        if error.args and error.args[0] == 28:  # ENOSPC
            raise UpdateError(RESULT_NO_FLASH, "flash is full")
        raise UpdateError(RESULT_INTEGRITY, "flash: %s" % error)


def invalidate(slot: str) -> None:
    """Take the mark off a slot."""
    try:
        os.remove(slot + "/" + MARK)
    except OSError:
        if _exists(slot + "/" + MARK):
            raise


def check_room(root: str, size_bytes: int, slot: str) -> None:
    """Check that an archive of at most `size_bytes` and, the slot cleared, the bundle will fit.

    Raises:
        UpdateError: with the numbers.
    """
    status = os.statvfs(root or ".")
    free_bytes = status[0] * status[4]
    needed_bytes = 2 * size_bytes - _tree_bytes(slot) + _OVERHEAD_BYTES
    if free_bytes < max(size_bytes, needed_bytes):
        raise UpdateError(
            RESULT_NO_FLASH,
            "flash has %d of %d bytes" % (free_bytes, max(size_bytes, needed_bytes)),
        )


class _Reader:
    """Takes the files of a bundle and does nothing with them."""

    def open(self, path: str) -> None:
        pass

    def take(self, view: memoryview) -> None:
        pass

    def close(self) -> None:
        pass


class _Writer(_Reader):
    """Writes the files of a bundle below a directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._made = ""
        self._file: Any = None
        _make_directory(directory)

    def open(self, path: str) -> None:
        parent = path[: path.rfind("/")]
        if parent != self._made:
            for at in range(len(parent)):
                if parent[at] == "/":
                    _make_directory(self._directory + "/" + parent[:at])
            _make_directory(self._directory + "/" + parent)
            self._made = parent
        self._file = open(self._directory + "/" + path, "wb")

    def take(self, view: memoryview) -> None:
        if self._file.write(view) != len(view):
            raise OSError(28)

    def close(self) -> None:
        # LittleFS writes out what is left here; an error must not pass for success.
        self._file.close()


class _Comparer(_Reader):
    """Compares the files of a bundle with those below a directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._file: Any = None

    def open(self, path: str) -> None:
        self._file = open(self._directory + "/" + path, "rb")

    def take(self, view: memoryview) -> None:
        if self._file.read(len(view)) != view:
            raise UpdateError(RESULT_INTEGRITY, "flash did not keep what was written")

    def close(self) -> None:
        trailing = self._file.read(1)
        self._file.close()
        if trailing:
            raise UpdateError(RESULT_INTEGRITY, "flash did not keep what was written")


def _head(bundle: Component, major: int) -> int:
    """Read the head of a string and give its length (RFC 8949, 3)."""
    initial = bundle.read(1)[0]
    info = initial & 31
    if initial >> 5 != major or info > 26:
        raise UpdateError(RESULT_INTEGRITY, "bundle is malformed")
    if info < 24:
        return info
    return int.from_bytes(bytes(bundle.read(1 << (info - 24))), "big")


async def _walk(archive: str, part: "Part", visitor: "_Reader", source: "Any") -> None:
    """Show every file of an archive to a visitor, then check the whole."""
    with Component(archive, part, source) as bundle:
        while bundle.left_bytes:
            path = bytes(bundle.read(_bounded(_head(bundle, _TEXT))))
            _check_path(path)
            length = _head(bundle, _BYTES)
            visitor.open(str(path, "utf-8"))
            while length:
                count = min(length, PIECE_BYTES)
                visitor.take(bundle.read(count))
                length -= count
                await asyncio.sleep(0)
            visitor.close()
        bundle.check_whole()


def _bounded(length: int) -> int:
    if length > _PATH_MAX_BYTES:
        raise UpdateError(RESULT_INTEGRITY, "path is too long")
    return length


def _check_path(path: bytes) -> None:
    """Refuse everything but .mpy files below node/ and nodelink/."""
    parts = path.split(b"/")
    parts[-1], suffix = parts[-1][:-4], parts[-1][-4:]
    good = len(parts) > 1 and parts[0] in (b"node", b"nodelink") and suffix == b".mpy"
    for part in parts:
        good = good and bool(part) and all(letter in _PATH_LETTERS for letter in part)
    if not good:
        raise UpdateError(RESULT_INTEGRITY, "bundle has a path that is not allowed")


def _make_directory(path: str) -> None:
    try:
        os.mkdir(path)
    except OSError:
        if not _exists(path):
            raise


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def _is_directory(path: str) -> bool:
    return os.stat(path)[0] & 0x4000 != 0


def _remove_tree(path: str) -> None:
    if not _exists(path):
        return
    for name in os.listdir(path):
        child = path + "/" + name
        if _is_directory(child):
            _remove_tree(child)
        else:
            os.remove(child)
    os.rmdir(path)


def _tree_bytes(path: str) -> int:
    total = 0
    if _exists(path):
        for name in os.listdir(path):
            child = path + "/" + name
            total += _tree_bytes(child) if _is_directory(child) else os.stat(child)[6]
    return total
