"""Columns of numbers as few bytes, and back.

Not which columns: report_packing.py. Whole numbers become differences, the bytes of a column stand
plane by plane, and zlib does the rest. Values that a sensor gave with a few decimals become whole
numbers first; that is undone exactly, or not done.
"""

import math
import struct
import zlib
from array import array
from collections.abc import Sequence
from itertools import accumulate
from operator import sub

_LENGTH = struct.Struct("<I")
# Kinds of a column: differences of whole numbers after multiplication, or float32 as they are.
_FLOATS = 255
_SCALES = (1, 10, 100, 1000)
_TYPES = {1: "b", 2: "h", 4: "i", 8: "q"}
_INT64_MAX = 2**63 - 1


class DamagedColumnsError(Exception):
    """The bytes are not what `pack` made; restore the database from a backup."""


def pack(integers: Sequence[Sequence[int]], floats: Sequence[Sequence[float]]) -> bytes:
    """Pack columns of whole numbers, then columns of float32 values."""
    columns = [_pack_integers(column, 0) for column in integers]
    columns += [_pack_floats(column) for column in floats]
    return zlib.compress(b"".join(_LENGTH.pack(len(c)) + c for c in columns), 6)


def unpack(packed: bytes, integer_columns: int) -> tuple[list[list[int]], list[list[float]]]:
    """Return the columns again.

    Raises:
        DamagedColumnsError: The bytes are not whole.
    """
    try:
        content = memoryview(zlib.decompress(packed))
        columns = []
        offset = 0
        while offset < len(content):
            (length,) = _LENGTH.unpack_from(content, offset)
            offset += _LENGTH.size
            columns.append(bytes(content[offset : offset + length]))
            offset += length
        return (
            [_unpack_integers(column) for column in columns[:integer_columns]],
            [_unpack_floats(column) for column in columns[integer_columns:]],
        )
    except (zlib.error, struct.error, ValueError, KeyError, IndexError) as error:
        raise DamagedColumnsError(f"packed columns are damaged: {error}") from error


def _pack_integers(values: Sequence[int], scale_index: int) -> bytes:
    """Write differences in the narrowest width that holds them all; the first is the first value.

    Width and scale are in the first byte.
    """
    differences = [*values[:1], *map(sub, values[1:], values)]
    bound = max(max(differences, default=0), -1 - min(differences, default=0))
    width = next(width for width in _TYPES if bound < 1 << (8 * width - 1))
    return bytes([scale_index * 16 + width]) + _planes(array(_TYPES[width], differences))


def _unpack_integers(packed: bytes) -> list[int]:
    return list(accumulate(_joined(_TYPES[packed[0] % 16], packed[1:])))


def _pack_floats(values: Sequence[float]) -> bytes:
    exact = array("f", values)
    if all(map(math.isfinite, exact)):
        for index, scale in enumerate(_SCALES):
            whole = [round(value * scale) for value in exact]
            if max(map(abs, whole), default=0) > _INT64_MAX // 2:
                break
            if array("f", [number / scale for number in whole]).tobytes() == exact.tobytes():
                return _pack_integers(whole, index)
    return bytes([_FLOATS]) + _planes(exact)


def _unpack_floats(packed: bytes) -> list[float]:
    if packed[0] == _FLOATS:
        return list(_joined("f", packed[1:]))
    scale = _SCALES[packed[0] // 16]
    return list(array("f", [number / scale for number in _unpack_integers(packed)]))


def _planes(numbers: "array[int] | array[float]") -> bytes:
    """Put the first bytes of all numbers first, then the second bytes, and so on."""
    raw, width = numbers.tobytes(), numbers.itemsize
    return b"".join(raw[plane::width] for plane in range(width))


def _joined(typecode: str, planes: bytes) -> "array[int]":
    numbers = array(typecode)
    width = numbers.itemsize
    count, rest = divmod(len(planes), width)
    if rest:
        raise ValueError(f"{len(planes)} bytes are no column of width {width}")
    raw = bytearray(len(planes))
    for plane in range(width):
        raw[plane::width] = planes[plane * count : (plane + 1) * count]
    numbers.frombytes(bytes(raw))
    return numbers
