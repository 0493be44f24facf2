"""A downloaded component as a stream: inflated, patched when it is a patch, counted and hashed.

Not where it goes: see `node.ota.installer` and `node.ota.image`.
"""

import asyncio
import hashlib

import deflate

from node.ota.errors import UpdateError
from nodelink.firmware_update import RESULT_INTEGRITY
from nodelink.release_format import DEFLATE_WBITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.ota.release import Part

PIECE_BYTES = 512


class Component:
    """The plain component, piece by piece; a context manager.

    Args:
        archive: path of what was downloaded.
        part: what the envelope says of it.
        source: a file of the component that runs when the archive is a patch of it, else None.
    """

    def __init__(self, archive: str, part: "Part", source: "Any") -> None:
        self._file: Any = open(archive, "rb")
        self._stream: Any = deflate.DeflateIO(self._file, deflate.RAW, DEFLATE_WBITS)
        self._source = source
        if source is not None:
            from node.ota.patch import Patched

            self._stream = Patched(self._stream, source)
        self._expected = part.digest
        self._digest = hashlib.sha256()
        self._buffer = bytearray(PIECE_BYTES)
        self.left_bytes = part.size_bytes

    def __enter__(self) -> "Component":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._source is not None:
            self._source.close()

    def read(self, count: int) -> memoryview:
        """Give the next `count` bytes, at most PIECE_BYTES; valid until the next call.

        Raises:
            UpdateError: there are not so many, or the archive is damaged.
        """
        if count > self.left_bytes:
            raise UpdateError(RESULT_INTEGRITY, "component is malformed")
        view = memoryview(self._buffer)[:count]
        filled = 0
        while filled < count:
            got = self._read_into(view[filled:])
            if not got:
                raise UpdateError(RESULT_INTEGRITY, "archive is too short")
            filled += got
        self._digest.update(view)
        self.left_bytes -= count
        return view

    def check_whole(self) -> None:
        """Check, after the last byte, that this was what the release names.

        Raises:
            UpdateError: it was something else.
        """
        if self._read_into(memoryview(bytearray(1))) or self._digest.digest() != self._expected:
            raise UpdateError(RESULT_INTEGRITY, "component does not have the signed digest")

    def _read_into(self, view: memoryview) -> int:
        try:
            return int(self._stream.readinto(view))
        except (OSError, EOFError):
            raise UpdateError(RESULT_INTEGRITY, "archive is cut or not DEFLATE")


async def is_in(file: "Any", part: "Part") -> bool:
    """Tell whether a component is in a file, from what is read there."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(PIECE_BYTES))
    for at in range(0, part.size_bytes, PIECE_BYTES):
        view = buffer[: part.size_bytes - at]
        if file.readinto(view) != len(view):
            return False
        digest.update(view)
        await asyncio.sleep(0)
    return bool(digest.digest() == part.digest)
