"""Release content on disk, one file per digest, resumable in both directions.

Not a cache: nothing is removed by itself. A file has its digest's name only when it is complete.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from poleward_fleet.domain.errors import ConflictError, InvalidError, NotFoundError

PIECE_BYTES = 64 * 1024
MAX_BYTES = 64 * 1024 * 1024
_DIGEST_BYTES = 32


class FileArtifactStore:
    """ArtifactStore in a folder.

    Args:
        folder: Where files are kept; `<digest>` when complete, `<digest>.part` while uploading.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uploading: set[bytes] = set()

    async def put(self, content: bytes) -> bytes:
        """Store content as a whole and durably; return its digest."""
        digest = hashlib.sha256(content).digest()
        await asyncio.to_thread(self._put, digest, content)
        return digest

    def _put(self, digest: bytes, content: bytes) -> None:
        if self._is_whole(digest):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        whole = self._folder / f"{digest.hex()}.whole"
        with whole.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._complete(whole, digest)

    async def stored_bytes(self, digest: bytes) -> tuple[int, bool]:
        """Return how many bytes are there for an upload to go on from, and whether that is all.

        A copy that was altered since is none: uploading it again puts it right.
        """
        if await asyncio.to_thread(self._is_whole, digest):
            return self._path(digest).stat().st_size, True
        part = self._part(digest)
        return (part.stat().st_size if part.exists() else 0), False

    async def size(self, digest: bytes) -> int | None:
        """Return the size of complete content, None when it is not there."""
        path = self._path(digest)
        return path.stat().st_size if path.exists() else None

    async def read(self, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        """Yield complete content from an offset in pieces of at most 64 KiB."""
        path = self._path(digest)
        if not path.exists():
            raise NotFoundError(f"artifact {digest.hex()} is not here")
        with path.open("rb") as file:
            file.seek(offset)
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                yield piece

    async def write(
        self, digest: bytes, total_bytes: int, offset: int, pieces: AsyncIterator[bytes]
    ) -> tuple[int, bool]:
        """Append an upload; return stored bytes and whether the digest matched at the end.

        What arrived before an upload breaks off is kept, so that the next one goes on there.
        """
        if not 0 < total_bytes <= MAX_BYTES:
            raise InvalidError(f"an artifact has 1 to {MAX_BYTES} bytes, not {total_bytes}")
        stored, complete = await self.stored_bytes(digest)
        if complete:
            return stored, True
        if offset != stored:
            raise InvalidError(f"{stored} bytes are stored; go on there, not at {offset}")
        if digest in self._uploading:
            raise ConflictError("this artifact is being uploaded already; wait for that to end")
        self._uploading.add(digest)
        try:
            return await self._append(digest, total_bytes, stored, pieces)
        finally:
            self._uploading.discard(digest)

    async def _append(
        self, digest: bytes, total_bytes: int, stored: int, pieces: AsyncIterator[bytes]
    ) -> tuple[int, bool]:
        part = self._part(digest)
        self._folder.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as file:
            async for piece in pieces:
                if stored + len(piece) > total_bytes:
                    raise InvalidError(f"more than the announced {total_bytes} bytes came")
                await asyncio.to_thread(file.write, piece)
                stored += len(piece)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        if stored < total_bytes:
            return stored, False
        found = await asyncio.to_thread(_digest_of, part)
        if found != digest:
            part.unlink()
            raise InvalidError(
                f"the upload has digest {found.hex()}, not {digest.hex()}; it starts over"
            )
        await asyncio.to_thread(self._complete, part, digest)
        return stored, True

    def _complete(self, path: Path, digest: bytes) -> None:
        path.replace(self._path(digest))
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _is_whole(self, digest: bytes) -> bool:
        path = self._path(digest)
        return path.exists() and _digest_of(path) == digest

    def _path(self, digest: bytes) -> Path:
        if len(digest) != _DIGEST_BYTES:
            raise InvalidError(f"a digest has 32 bytes, this one {len(digest)}")
        return self._folder / digest.hex()

    def _part(self, digest: bytes) -> Path:
        return self._path(digest).with_suffix(".part")


def _digest_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
