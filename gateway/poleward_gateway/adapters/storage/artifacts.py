"""Release content on disk, by digest.

Not its verification: services/artifacts.py decides what may be written here.
"""

import os
from pathlib import Path


class DiskArtifactStore:
    """Implements the port ArtifactStore with one file for each content."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, kind: str, digest: bytes) -> bytes | None:
        """Return whole content; None when it is not there."""
        try:
            return self._path(kind, digest).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, kind: str, digest: bytes, content: bytes) -> None:
        """Store whole content; a crash leaves all of it or nothing."""
        path = self._path(kind, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)

    def partial(self, digest: bytes) -> bytes:
        """Return what an interrupted download left."""
        return self.read("partial", digest) or b""

    def append_partial(self, digest: bytes, offset: int, content: bytes) -> None:
        """Keep a piece of a download at its offset."""
        path = self._path("partial", digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.truncate(offset)
            file.seek(offset)
            file.write(content)

    def drop_partial(self, digest: bytes) -> None:
        """Forget a download."""
        self._path("partial", digest).unlink(missing_ok=True)

    def _path(self, kind: str, digest: bytes) -> Path:
        return self._folder / kind / digest.hex()
