"""A component made from a patch and the component that runs, as a stream of its bytes.

Not a check of anything: whoever reads the stream compares it with the signed digest. The format is
described in docs/ota.md.
"""

from micropython import const

from node.ota.errors import UpdateError
from nodelink.firmware_update import RESULT_INTEGRITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Added in one piece as one big integer: a few temporaries of this size are all the heap it takes.
_PIECE_BYTES = const(96)


class Patched:
    """Reads like a file that holds the new component.

    Args:
        patch: the inflated patch, a stream with `readinto`.
        source: the component that runs, a file with `seek` and `readinto`.
    """

    def __init__(self, patch: "Any", source: "Any") -> None:
        self._patch = patch
        self._source = source
        self._at = 0
        self._copy_left = 0
        self._new_left = 0
        self._move = 0
        self._byte = bytearray(1)
        self._piece = bytearray(_PIECE_BYTES)
        self._zeros = bytes(_PIECE_BYTES)
        self._low_bits = int.from_bytes(b"\x7f" * _PIECE_BYTES, "little")
        self._high_bits = int.from_bytes(b"\x80" * _PIECE_BYTES, "little")

    def readinto(self, view: memoryview) -> int:
        """Make the next bytes; give how many, 0 at the end.

        Raises:
            UpdateError: the patch does not fit this source, or breaks off.
        """
        while not self._copy_left and not self._new_left:
            if not self._begin_record():
                return 0
        count = min(len(view), self._copy_left or self._new_left)
        if not self._copy_left:
            count = int(self._patch.readinto(view[:count]))
            self._new_left -= count
            if not count:
                raise _malformed()
            return count
        count = min(count, _PIECE_BYTES)
        view = view[:count]
        added = memoryview(self._piece)[:count]
        self._fill(added)
        if self._source.readinto(view) != count:
            raise _malformed()  # beyond its end
        if added != self._zeros[:count]:
            one = int.from_bytes(view, "little")
            other = int.from_bytes(added, "little")
            # All bytes at once, without a carry from one into the next.
            low = (one & self._low_bits) + (other & self._low_bits)
            view[:] = (low ^ (one ^ other) & self._high_bits).to_bytes(count, "little")
        self._at += count
        self._copy_left -= count
        return count

    def _begin_record(self) -> bool:
        self._at += self._move
        if not self._patch.readinto(self._byte):
            return False
        self._copy_left = self._varint(self._byte[0])
        self._new_left = self._varint(self._next_byte())
        move = self._varint(self._next_byte())
        self._move = -(move + 1 >> 1) if move & 1 else move >> 1
        if self._at < 0:
            raise _malformed()
        self._source.seek(self._at)
        return True

    def _varint(self, byte: int) -> int:
        """Read a number of at most 28 bits, the lowest 7 in `byte`."""
        number = byte & 127
        shift = 7
        while byte > 127:
            byte = self._next_byte()
            if shift > 21:
                raise _malformed()
            number |= (byte & 127) << shift
            shift += 7
        return number

    def _next_byte(self) -> int:
        self._fill(memoryview(self._byte))
        return self._byte[0]

    def _fill(self, view: memoryview) -> None:
        filled = 0
        while filled < len(view):
            count = self._patch.readinto(view[filled:])
            if not count:
                raise _malformed()
            filled += count


def _malformed() -> UpdateError:
    return UpdateError(RESULT_INTEGRITY, "patch does not fit")
