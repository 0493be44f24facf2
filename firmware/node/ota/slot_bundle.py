"""The bundle that a slot was unpacked from, read in place: the source of a patch.

Not a proof that the slot holds what it should: the digest of what is built from it is.
"""

import gc
import os
from array import array

from micropython import const

from node.codec import cbor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

_MARK = "release.cbor"
# Heads and path of one file: paths have at most 64 bytes.
_HEAD_MAX_BYTES = const(80)


class SlotBundle:
    """A slot as the CBOR sequence of paths and contents (docs/ota.md).

    Names and places are kept in three flat arrays: 75 files take 3 KB of heap.

    Args:
        slot: directory of the slot.
    """

    def __init__(self, slot: str) -> None:
        self._slot = slot
        self._number = -1
        self._start = 0
        self._head: Any = b""
        self._file: Any = None
        count = names_bytes = 0
        for path in _paths(slot, ""):
            count += 1
            names_bytes += len(path)
        # Made at once, and where the first walk's garbage was: all else would leave holes of many
        # sizes in the heap, and none for the window of 4 KiB that inflating takes.
        gc.collect()
        self._names = bytearray(names_bytes)
        self._name_ends = array("H", bytes(2 * count))
        self._ends = array("I", bytes(4 * count))
        name_end = end = 0
        for number, path in enumerate(_paths(slot, "")):
            size_bytes = os.stat(slot + "/" + path)[6]
            self._names[name_end : name_end + len(path)] = path.encode()
            name_end += len(path)
            end += len(_head(path, size_bytes)) + size_bytes
            self._name_ends[number] = name_end
            self._ends[number] = end

    def readinto(self, at: int, view: memoryview) -> None:
        """Fill a view with the bytes from `at` on.

        Raises:
            OSError: there are not so many.
        """
        filled = 0
        while filled < len(view):
            self._turn_to(at + filled)
            inside = at + filled - self._start
            if inside < len(self._head):
                piece = self._head[inside : inside + len(view) - filled]
                view[filled : filled + len(piece)] = piece
                filled += len(piece)
                continue
            self._file.seek(inside - len(self._head))
            count = self._file.readinto(view[filled:])
            if not count:
                raise OSError(22)  # EINVAL: a file became shorter
            filled += count

    def close(self) -> None:
        """Close the file read last."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _turn_to(self, at: int) -> None:
        """Open the file that the byte at `at` belongs to."""
        ends = self._ends
        if not 0 <= at < (ends[-1] if len(ends) else 0):
            raise OSError(22)
        if self._number >= 0 and self._start <= at < ends[self._number]:
            return
        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high) // 2
            if at < ends[middle]:
                high = middle
            else:
                low = middle + 1
        self.close()
        self._number = low
        self._start = ends[low - 1] if low else 0
        name_start = self._name_ends[low - 1] if low else 0
        path = str(self._names[name_start : self._name_ends[low]], "utf-8")
        self._head = _head(path, os.stat(self._slot + "/" + path)[6])
        self._file = open(self._slot + "/" + path, "rb")


def _paths(slot: str, below: str) -> "Iterator[str]":
    """List the files of a slot, without its mark, in the order of their paths."""
    names = []
    for name in os.listdir((slot + "/" + below)[:-1]):
        is_directory = os.stat(slot + "/" + below + name)[0] & 0x4000
        names.append(name + "/" if is_directory else name)
    names.sort()
    for name in names:
        if name[-1] == "/":
            yield from _paths(slot, below + name)
        elif below + name != _MARK:
            yield below + name


def _head(path: str, size_bytes: int) -> "bytes | bytearray":
    """Encode what stands before a file's contents: its path and their length."""
    writer = cbor.Writer(bytearray(_HEAD_MAX_BYTES))
    writer.text(path.encode())
    writer.blob_head(size_bytes)
    return writer.buffer[: writer.length]
