"""Disk space that is held while there is plenty, and given up when the disk is full.

Not a quota: spool.py has one. Without it a full disk could not even take the deletion of old
reports, which has to be written before it makes room.
"""

import contextlib
import os
from pathlib import Path

BALLAST_BYTES = 32 * 1024 * 1024
"""The write-ahead log grows to half of this (schema.py)."""


class Ballast:
    """A file that is only there to be removed.

    Args:
        path: The file, on the database's file system.
        size_bytes: How much it holds.
    """

    def __init__(self, path: Path, size_bytes: int = BALLAST_BYTES) -> None:
        self._path = path
        self._size_bytes = size_bytes

    @property
    def is_held(self) -> bool:
        """Say whether the space is there to be given up."""
        return self._path.exists()

    def hold(self) -> None:
        """Take the space, unless it is held or the disk has little left."""
        if self.is_held or free_bytes(self._path.parent) < 2 * self._size_bytes:
            return
        unfinished = self._path.with_suffix(".new")
        try:
            with unfinished.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size_bytes)
            unfinished.replace(self._path)
        except OSError:
            # Somebody else took it meanwhile; the next call tries again.
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def give_up(self) -> None:
        """Free the space."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def free_bytes(folder: Path) -> int:
    """Say how much a file system has left for this account."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
