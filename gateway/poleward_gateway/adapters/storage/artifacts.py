"""Release content on disk, by digest, within a limit.

Not its verification: services/artifacts.py decides what may be written here.
"""

import os
from pathlib import Path

LIMIT_BYTES = 64 * 1024 * 1024


class DiskArtifactStore:
    """Implements the port ArtifactStore with one file for each content.

    Overflow: what was not read for longest is removed, never what was written last.

    Args:
        folder: Where the files are.
        limit_bytes: All of them together take no more.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes

    def read(self, kind: str, digest: bytes) -> bytes | None:
        """Return whole content; None when it is not there."""
        path = self._path(kind, digest)
        try:
            content = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            return None
        return content

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
        self._make_room(path)

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

    def _make_room(self, written: Path) -> None:
        """Remove what was not read for longest until the rest is within the limit."""
        found = [(path, path.stat()) for path in self._folder.glob("*/*") if path != written]
        found.sort(key=lambda entry: entry[1].st_mtime_ns)
        excess = written.stat().st_size - self._limit_bytes
        excess += sum(about.st_size for _, about in found)
        for path, about in found:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= about.st_size

    def _path(self, kind: str, digest: bytes) -> Path:
        return self._folder / kind / digest.hex()
