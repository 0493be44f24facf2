"""CBOR (RFC 8949): a writer into a caller's buffer and a bounded reader.

Not a schema layer: what the items mean is for SenML, SUIT and the bundle to say.
"""

import struct

from micropython import const

_UNSIGNED = const(0)
_NEGATIVE = const(1)
_BYTES = const(2)
_TEXT = const(3)
_ARRAY = const(4)
_MAP = const(5)
_TAG = const(6)
_SIMPLE = const(7)
_INDEFINITE = const(-1)
_BREAK = const(-2)

TRUNCATED = 1
MALFORMED = 2
TOO_DEEP = 3
NO_ROOM = 4
TRAILING = 5


class CborError(Exception):
    """Bytes that are not CBOR we accept, or a buffer too small to write to.

    `args[0]` is TRUNCATED, MALFORMED, TOO_DEEP, NO_ROOM or TRAILING; `args[1]` the offset.
    """


class Tagged:
    """A tag and the item it applies to (RFC 8949, 3.4)."""

    def __init__(self, tag: int, value: object) -> None:
        self.tag = tag
        self.value = value


class Simple:
    """A simple value without a Python equal: undefined (23) and the unassigned ones (3.3)."""

    def __init__(self, number: int) -> None:
        self.number = number


class Writer:
    """Writes items one after the other into `buffer`, counting in `length`.

    - Numbers, booleans, raw bytes and containers' heads do not allocate heap (tested under
      `micropython.heap_lock()`); numbers beyond the platform's small integers do.
    - Whoever calls keeps the counts of arrays and maps true.

    Raises:
        CborError: NO_ROOM, with `length` unchanged by the item that did not fit.
    """

    def __init__(self, buffer: bytearray) -> None:
        self.buffer = buffer
        self.length = 0

    def _room(self, count: int) -> int:
        start = self.length
        if start + count > len(self.buffer):
            raise CborError(NO_ROOM, start)
        self.length = start + count
        return start

    def _head(self, major: int, argument: int, extra: int = 0) -> int:
        """Write a head, reserve `extra` bytes behind it and return where they start."""
        buffer = self.buffer
        if argument < 24:
            at = self._room(1 + extra)
            buffer[at] = major << 5 | argument
            return at + 1
        if argument < 0x100:
            at = self._room(2 + extra)
            buffer[at] = major << 5 | 24
            buffer[at + 1] = argument
            return at + 2
        if argument < 0x10000:
            size = 2
        elif argument >> 16 < 0x10000:
            size = 4
        else:
            size = 8
            if argument >> 48 > 0xFFFF:
                raise CborError(MALFORMED, self.length)
        at = self._room(1 + size + extra)
        buffer[at] = major << 5 | (25 if size == 2 else 26 if size == 4 else 27)
        end = at + 1 + size
        for position in range(end - 1, at, -1):
            buffer[position] = argument & 0xFF
            argument >>= 8
        return end

    def integer(self, value: int) -> None:
        """Write an integer of at most 64 bits."""
        if value >= 0:
            self._head(_UNSIGNED, value)
        else:
            self._head(_NEGATIVE, -1 - value)

    def blob(self, value: "bytes | bytearray | memoryview") -> None:
        """Write a byte string."""
        self._string(_BYTES, value)

    def text(self, value: "bytes | bytearray | memoryview") -> None:
        """Write a text string given as its UTF-8 bytes."""
        self._string(_TEXT, value)

    def _string(self, major: int, value: "bytes | bytearray | memoryview") -> None:
        count = len(value)
        at = self._head(major, count, count)
        self._copy(value, at)

    def blob_head(self, count: int) -> None:
        """Write the head of a byte string whose contents come from elsewhere."""
        self._head(_BYTES, count)

    def raw(self, value: "bytes | bytearray | memoryview") -> None:
        """Write bytes that are encoded CBOR already."""
        self._copy(value, self._room(len(value)))

    def open_blob(self) -> int:
        """Begin a byte string of items written next; give what `close_blob` wants.

        Its length takes two bytes even where one would do (RFC 8949, 4.1 only prefers that).
        """
        return self._room(2) + 2

    def close_blob(self, start: int) -> None:
        """End the byte string that begins at `start`.

        Raises:
            CborError: NO_ROOM when it became longer than 255 bytes.
        """
        count = self.length - start
        if count > 0xFF:
            raise CborError(NO_ROOM, start)
        self.buffer[start - 2] = _BYTES << 5 | 24
        self.buffer[start - 1] = count

    def _copy(self, value: "bytes | bytearray | memoryview", at: int) -> None:
        buffer = self.buffer
        if len(value) > 48:
            buffer[at : at + len(value)] = value
            return
        # Byte by byte: the slice above is an object on the heap.
        for octet in value:
            buffer[at] = octet
            at += 1

    def array(self, count: int) -> None:
        """Write the head of an array of `count` items."""
        self._head(_ARRAY, count)

    def map(self, count: int) -> None:
        """Write the head of a map of `count` pairs."""
        self._head(_MAP, count)

    def tag(self, number: int) -> None:
        """Write a tag; the tagged item follows."""
        self._head(_TAG, number)

    def boolean(self, value: bool) -> None:
        """Write true or false."""
        self._head(_SIMPLE, 21 if value else 20)

    def null(self) -> None:
        """Write null."""
        self._head(_SIMPLE, 22)

    def float32(self, value: float) -> None:
        """Write a float in single precision; allocates, unlike `scaled`."""
        at = self._room(5)
        self.buffer[at] = 0xFA
        struct.pack_into(">f", self.buffer, at + 1, value)

    def scaled(self, value: int, divisor: int) -> None:
        """Write `value / divisor` as the nearest single-precision float, with integers only.

        Args:
            value: within ±2**30, so that nothing leaves the chip's small integers.
            divisor: 1 to 2**29, for instance 1000 for millivolts to volts.
        """
        sign = 0
        if value < 0:
            sign = 0x80
            value = -value
        at = self._room(5)
        buffer = self.buffer
        buffer[at] = 0xFA
        # IEEE 754 binary32: 24 significant bits, of which the first is implied. One guard bit more
        # and "anything left" decide the rounding to nearest, ties to even.
        mantissa = value // divisor
        remainder = value % divisor
        exponent = 127 + 24
        if mantissa == 0 and remainder == 0:
            exponent = 0
        else:
            left = 0
            while mantissa >= 0x2000000:
                left |= mantissa & 1
                mantissa >>= 1
                exponent += 1
            while mantissa < 0x1000000:
                mantissa <<= 1
                remainder <<= 1
                if remainder >= divisor:
                    remainder -= divisor
                    mantissa |= 1
                exponent -= 1
            guard = mantissa & 1
            mantissa >>= 1
            if guard and (left or remainder or mantissa & 1):
                mantissa += 1
                if mantissa == 0x1000000:
                    mantissa >>= 1
                    exponent += 1
        buffer[at + 1] = sign | exponent >> 1
        buffer[at + 2] = (exponent & 1) << 7 | mantissa >> 16 & 0x7F
        buffer[at + 3] = mantissa >> 8 & 0xFF
        buffer[at + 4] = mantissa & 0xFF


class Reader:
    """Reads items one after the other from `data`, between `position` and `end`.

    - Nesting is bounded by `max_depth`, counts by the bytes that are left, so that a short
      message cannot make a large structure.
    - Indefinite lengths are accepted (RFC 8949, 3.2); duplicate keys keep the last value.
    - Byte strings come out as bytes, text as str; numbers beyond 64 bits as `Tagged`.

    Raises:
        CborError: TRUNCATED, MALFORMED or TOO_DEEP; drop the message.
    """

    def __init__(
        self,
        data: "bytes | bytearray | memoryview",
        start: int = 0,
        end: "int | None" = None,
        max_depth: int = 8,
    ) -> None:
        self._data = memoryview(data)
        self.position = start
        self.end = len(data) if end is None else end
        self._depth_left = max_depth

    def head(self) -> "tuple[int, int]":
        """Read the head of one item: its major type (0 to 7) and its argument.

        The argument of an indefinite length is -1, that of a break -2. For major type 7 it is the
        simple value, or the bits of the float; use `item` for those.
        """
        at = self.position
        if at >= self.end:
            raise CborError(TRUNCATED, at)
        initial = self._data[at]
        major = initial >> 5
        info = initial & 31
        at += 1
        if info < 24:
            argument = info
        elif info < 28:
            size = 1 << (info - 24)
            if at + size > self.end:
                raise CborError(TRUNCATED, at)
            argument = int.from_bytes(self._data[at : at + size], "big")
            at += size
        elif info == 31 and major == _SIMPLE:
            argument = _BREAK
        elif info == 31 and _BYTES <= major <= _MAP:
            argument = _INDEFINITE
        else:
            raise CborError(MALFORMED, at - 1)
        self.position = at
        return major, argument

    def take(self, count: int) -> memoryview:
        """Take the next `count` bytes as a view."""
        start = self.position
        if count < 0 or start + count > self.end:
            raise CborError(TRUNCATED, start)
        self.position = start + count
        return self._data[start : start + count]

    def item(self) -> object:
        """Read one whole item."""
        start = self.position
        value = self._item()
        if value is _STOP:
            raise CborError(MALFORMED, start)
        return value

    def _item(self) -> object:
        start = self.position
        major, argument = self.head()
        if major == _UNSIGNED:
            return argument
        if major == _NEGATIVE:
            return -1 - argument
        if major == _SIMPLE:
            return self._simple(start, argument)
        if major == _BYTES:
            return bytes(self._chunks(major, argument))
        if major == _TEXT:
            try:
                return str(bytes(self._chunks(major, argument)), "utf-8")
            except UnicodeError:
                raise CborError(MALFORMED, start)
        if self._depth_left == 0:
            raise CborError(TOO_DEEP, start)
        self._depth_left -= 1
        value = self._container(major, argument)
        self._depth_left += 1
        return value

    def _chunks(self, major: int, length: int) -> "memoryview | bytearray":
        if length != _INDEFINITE:
            return self.take(length)
        joined = bytearray()
        while True:
            start = self.position
            chunk_major, chunk_length = self.head()
            if chunk_length == _BREAK:
                return joined
            if chunk_major != major or chunk_length < 0:
                raise CborError(MALFORMED, start)
            joined.extend(self.take(chunk_length))

    def _container(self, major: int, count: int) -> object:
        if major == _TAG:
            return Tagged(count, self.item())
        # Each item takes at least one byte.
        if count > self.end - self.position:
            raise CborError(TRUNCATED, self.position)
        items: list = []
        pairs: dict = {}
        while count != 0:
            count -= 1
            start = self.position
            value = self._item()
            if value is _STOP:
                if count < 0:
                    break
                raise CborError(MALFORMED, start)
            if major == _ARRAY:
                items.append(value)
                continue
            try:
                pairs[value] = self.item()
            except TypeError:
                # An array or a map as a key: legal CBOR, but nothing we speak has it.
                raise CborError(MALFORMED, start)
        return items if major == _ARRAY else pairs

    def _simple(self, start: int, argument: int) -> object:
        if argument == _BREAK:
            return _STOP
        info = self._data[start] & 31
        if info == 25:
            return half_to_float(argument)
        if info == 26:
            return struct.unpack_from(">f", self._data, start + 1)[0]
        if info == 27:
            return struct.unpack_from(">d", self._data, start + 1)[0]
        if info == 24 and argument < 32:
            raise CborError(MALFORMED, start)  # RFC 8949, 3.3: not well-formed
        if argument == 20 or argument == 21:
            return argument == 21
        return None if argument == 22 else Simple(argument)


# What `_item` gives for a break; no item of a message is this object.
_STOP = Simple(31)


def half_to_float(bits: int) -> float:
    """Convert the bits of a half-precision float (RFC 8949, Appendix D)."""
    exponent = bits >> 10 & 31
    mantissa = bits & 0x3FF
    if exponent == 31:
        value = float("nan") if mantissa else float("inf")
    elif exponent == 0:
        value = mantissa / 16777216  # 2 ** -24
    else:
        value = (mantissa + 1024) * 2.0 ** (exponent - 25)
    return -value if bits & 0x8000 else value


def loads(data: "bytes | bytearray | memoryview", max_depth: int = 8) -> object:
    """Read `data` as exactly one item.

    Raises:
        CborError: as `Reader`, and TRAILING when bytes follow the item.
    """
    reader = Reader(data, 0, None, max_depth)
    value = reader.item()
    if reader.position != len(data):
        raise CborError(TRAILING, reader.position)
    return value
