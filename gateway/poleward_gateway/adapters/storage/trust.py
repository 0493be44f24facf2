"""Trust documents on disk, one file each; a restart without the fleet still knows who may sign.

Not their verification (services/trust.py).
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path


class FolderTrustStore:
    """Implements the port TrustStore."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def documents(self) -> Iterator[bytes]:
        """Yield the documents from number 1 to the first that is not there."""
        for version in itertools.count(1):
            try:
                yield self._path(version).read_bytes()
            except FileNotFoundError:
                return

    def write(self, version: int, signed: bytes) -> None:
        """Store a document; a crash leaves all of it or nothing."""
        path = self._path(version)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        with unfinished.open("wb") as file:
            file.write(signed)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)

    def _path(self, version: int) -> Path:
        return self._folder / f"{version}.cbor"
