"""CoAP options (RFC 7252, 3.1): the encoding that CoAP messages and OSCORE plaintexts share.

Not their meaning: which are critical, inner or outer is for `node.coap` and `node.oscore`.
"""

from micropython import const

_MAX_OPTIONS = const(24)
_PAYLOAD_MARKER = const(0xFF)

IF_MATCH = 1
URI_HOST = 3
ETAG = 4
OBSERVE = 6
URI_PORT = 7
LOCATION_PATH = 8
OSCORE = 9
URI_PATH = 11
CONTENT_FORMAT = 12
MAX_AGE = 14
URI_QUERY = 15
ACCEPT = 17
BLOCK2 = 23
BLOCK1 = 27
ECHO = 252  # RFC 9175, 2.2
REQUEST_TAG = 292  # RFC 9175, 3.2


class OptionsError(Exception):
    """Options that are malformed, too many, or do not fit; `args[0]` is the offset."""


def uint(value: int) -> bytes:
    """Encode an option value of format uint: no leading zeros, empty for 0 (RFC 7252, 3.2)."""
    size = 0
    while value >> (8 * size):
        size += 1
    return value.to_bytes(size, "big")


def find(options: "list[tuple[int, bytes]]", number: int) -> "bytes | None":
    """Return the first value of option `number`, None when it is absent."""
    for found, value in options:
        if found == number:
            return value
    return None


def find_uint(options: "list[tuple[int, bytes]]", number: int) -> "int | None":
    """Return the value of an option of format uint, None when it is absent."""
    value = find(options, number)
    return None if value is None else int.from_bytes(value, "big")


def write_body(
    buffer: "bytearray | memoryview",
    at: int,
    options: "list[tuple[int, bytes]]",
    payload: "bytes | bytearray | memoryview",
) -> int:
    """Write options, marker and payload from `at`; return where they end.

    Options are put in order of number; those of one number keep theirs.

    Raises:
        OptionsError: no room.
    """
    last = 0
    room = len(buffer)
    for number, value in _ordered(options):
        size = len(value)
        if at + 5 + size > room:
            raise OptionsError(at)
        first = at
        at += 1
        delta, at = _write_extended(buffer, at, number - last)
        length, at = _write_extended(buffer, at, size)
        buffer[first] = delta << 4 | length
        buffer[at : at + size] = value
        at += size
        last = number
    size = len(payload)
    if size:
        if at + 1 + size > room:
            raise OptionsError(at)
        buffer[at] = _PAYLOAD_MARKER
        buffer[at + 1 : at + 1 + size] = payload
        at += 1 + size
    return at


def _ordered(options: "list[tuple[int, bytes]]") -> "list[tuple[int, bytes]]":
    # MicroPython's sort is not stable, and path segments must stay in their order.
    ordered: list[tuple[int, bytes]] = []
    for option in options:
        at = len(ordered)
        while at and ordered[at - 1][0] > option[0]:
            at -= 1
        ordered.insert(at, option)
    return ordered


def _write_extended(buffer: "bytearray | memoryview", at: int, value: int) -> "tuple[int, int]":
    if value < 13:
        return value, at
    if value < 269:
        buffer[at] = value - 13
        return 13, at + 1
    value -= 269
    buffer[at] = value >> 8
    buffer[at + 1] = value & 0xFF
    return 14, at + 2


def read_body(data: memoryview, at: int) -> "tuple[list[tuple[int, bytes]], memoryview]":
    """Read options and payload from `at` to the end of `data`.

    Returns:
        The options in order, each (number, value), and the payload as a view into `data`.

    Raises:
        OptionsError: truncated, a reserved nibble, a marker without payload, or over 24 options.
    """
    options: list[tuple[int, bytes]] = []
    number = 0
    end = len(data)
    while at < end:
        first = data[at]
        at += 1
        if first == _PAYLOAD_MARKER:
            if at == end:
                raise OptionsError(at)
            return options, data[at:]
        delta, at = _read_extended(data, at, first >> 4)
        length, at = _read_extended(data, at, first & 15)
        number += delta
        if at + length > end or number > 0xFFFF or len(options) == _MAX_OPTIONS:
            raise OptionsError(at)
        options.append((number, bytes(data[at : at + length])))
        at += length
    return options, data[end:]


def _read_extended(data: memoryview, at: int, nibble: int) -> "tuple[int, int]":
    if nibble < 13:
        return nibble, at
    size = nibble - 12
    if size == 3 or at + size > len(data):
        raise OptionsError(at)
    if size == 1:
        return data[at] + 13, at + 1
    return (data[at] << 8 | data[at + 1]) + 269, at + 2
