"""A slot's bundle as a read-only file system: modules are imported from where it lies in flash.

Not a general one: import is its only user. Like boot.py it is never replaced over the air.
"""

from array import array
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Major types in the bundle's CBOR sequence, RFC 8949, 3.1.
_BYTES, _TEXT = 2, 3
# A path of at most 64 bytes and both heads.
_HEADS_MAX_BYTES = 80


class SlotFiles:
    """The files of a bundle, for `vfs.mount`.

    Instead of paths it keeps their CRC-32, and where their contents lie: no lookup reads flash, and
    86 files take 1 KB of heap. Two paths with the same one would show in a release's trial.

    Args:
        bundle: path of the file.

    Raises:
        OSError, ValueError, IndexError: it is not there, or not a bundle.
    """

    def __init__(self, bundle: str) -> None:
        self._bundle = bundle
        self._names = b""
        self._places = array("I")
        directories: list[str] = []
        with open(bundle, "rb") as file:
            size_bytes = file.seek(0, 2)
            at = 0
            while at < size_bytes:
                file.seek(at)
                heads = file.read(_HEADS_MAX_BYTES)
                length, path_at = _head(heads, 0, _TEXT)
                path = "/" + str(heads[path_at : path_at + length], "utf-8")
                length, contents_at = _head(heads, path_at + length, _BYTES)
                self._add(path, at + contents_at)
                at += contents_at + length
                above = path[: path.rfind("/")]
                while above and above not in directories:
                    directories.append(above)
                    self._add(above, 0)
                    above = above[: above.rfind("/")]
        if at != size_bytes:
            raise ValueError("bundle is cut")

    def mount(self, readonly: bool, mkfs: bool) -> None:
        """Be mounted; there is nothing to do."""

    def stat(self, path: str) -> "tuple[int, ...]":
        """Tell a directory from a file.

        Raises:
            OSError: there is neither.
        """
        return (0x8000 if self._place(path) else 0x4000, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    def open(self, path: str, mode: str) -> "Any":
        """Open a file to read it, whatever the mode.

        It does not end where its contents do; what loads an .mpy knows by itself how long that is.

        Raises:
            OSError: there is no such file.
        """
        place = self._place(path)
        file = open(self._bundle, "rb")
        file.seek(place)
        return file

    def _add(self, path: str, place: int) -> None:
        self._names += _name(path)
        self._places.append(place)

    def _place(self, path: str) -> int:
        """Give where a file's contents begin, 0 for a directory."""
        name = _name(path)
        at = self._names.find(name)
        while at > 0 and at & 3:
            at = self._names.find(name, at + 1)
        if at < 0:
            raise OSError(2)  # ENOENT
        return self._places[at >> 2]


def _name(path: str) -> bytes:
    return bytes(crc32(path.encode()).to_bytes(4, "little"))


def _head(heads: bytes, at: int, major: int) -> "tuple[int, int]":
    """Read the head of a string: its length, and where it begins (RFC 8949, 3)."""
    info = heads[at] & 31
    if heads[at] >> 5 != major or info > 26:
        raise ValueError("bundle is malformed")
    at += 1
    if info < 24:
        return info, at
    start = at + (1 << info - 24)
    return int.from_bytes(heads[at:start], "big"), start
