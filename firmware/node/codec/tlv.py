"""OMA TLV (OMA LwM2M TS Core 1.1, 7.4.3; content format 11542): reading what other servers write.

Not a writer: the node answers in SenML-CBOR.
"""

import struct

from micropython import const

CONTENT_FORMAT = 11542

OBJECT_INSTANCE = 0
RESOURCE_INSTANCE = 1
MULTIPLE_RESOURCE = 2
RESOURCE = 3

_MAX_DEPTH = const(3)  # object instance, multiple resource, resource instance


class TlvError(Exception):
    """Bytes that are not TLV; `args[0]` is the offset in the innermost value."""


def read(data: "bytes | bytearray | memoryview") -> "list[tuple[int, int, object]]":
    """Read all entries as (kind, identifier, value).

    The value of an object instance and of a multiple resource is a list of the same kind, that of
    a resource or a resource instance is a view into `data`.

    Raises:
        TlvError: truncated, or nested deeper than objects go.
    """
    return _read(memoryview(data), _MAX_DEPTH)


def _read(data: memoryview, depth_left: int) -> "list[tuple[int, int, object]]":
    if depth_left == 0:
        raise TlvError(0)
    found: list = []
    at = 0
    end = len(data)
    while at < end:
        kind = data[at] >> 6
        identifier_size = 2 if data[at] & 0x20 else 1
        length_size = data[at] >> 3 & 3
        length = data[at] & 7
        body = at + 1 + identifier_size + length_size
        if body > end:
            raise TlvError(at)
        identifier = int.from_bytes(data[at + 1 : at + 1 + identifier_size], "big")
        if length_size:
            length = int.from_bytes(data[at + 1 + identifier_size : body], "big")
        if body + length > end:
            raise TlvError(at)
        value = data[body : body + length]
        if kind in (OBJECT_INSTANCE, MULTIPLE_RESOURCE):
            found.append((kind, identifier, _read(value, depth_left - 1)))
        else:
            found.append((kind, identifier, value))
        at = body + length
    return found


def integer(value: memoryview) -> int:
    """Read an Integer or Time of 1, 2, 4 or 8 bytes, two's complement."""
    size = len(value)
    if size not in (1, 2, 4, 8):
        raise TlvError(0)
    number = int.from_bytes(value, "big")
    return number - (1 << 8 * size) if value[0] & 0x80 else number


def number(value: memoryview) -> float:
    """Read a Float of 4 or 8 bytes."""
    if len(value) == 4:
        found: float = struct.unpack(">f", value)[0]
    elif len(value) == 8:
        found = struct.unpack(">d", value)[0]
    else:
        raise TlvError(0)
    return found


def boolean(value: memoryview) -> bool:
    """Read a Boolean: one byte, 0 or 1."""
    if len(value) != 1 or value[0] > 1:
        raise TlvError(0)
    return value[0] == 1
