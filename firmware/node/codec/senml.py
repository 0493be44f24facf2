"""SenML-CBOR packs (RFC 8428, 6; content format 112): written to a buffer, read into tuples.

Not the meaning of the paths: objects and their types are `node.lwm2m`'s.
"""

from micropython import const

from node.codec.cbor import CborError, Reader, Writer

CONTENT_FORMAT = 112  # application/senml+cbor, RFC 8428, 12.3

# RFC 8428, 6, table 4.
_BASE_VERSION = const(-1)
_BASE_NAME = const(-2)
_BASE_TIME = const(-3)
_BASE_VALUE = const(-5)
_NAME = const(0)
_VALUE = const(2)
_STRING_VALUE = const(3)
_BOOLEAN_VALUE = const(4)
_TIME = const(6)
_DATA_VALUE = const(8)
_VERSION = const(10)

_MAX_SHORT_COUNT = const(23)


class SenmlError(Exception):
    """A pack that is not SenML we accept; `args[0]` says what is wrong with it."""


class PackWriter:
    """Writes one pack into `buffer`: `begin`, one call per record, `end`.

    - A name comes in two parts: a base, which is written only when it differs from the record
      before, and the rest. Records of one object instance in a row share `b"/3418/0/"`; a lone
      record is shortest with its whole path as base and an empty rest.
    - `integer`, `scaled`, `boolean` and `open_opaque` do not allocate heap.

    Raises:
        CborError: NO_ROOM when the record does not fit; the pack is then unusable.
    """

    def __init__(self, buffer: bytearray) -> None:
        self.items = Writer(buffer)
        self._base = b""
        self._count = 0
        self._base_time_s = 0

    def begin(self, base_time_s: int = 0) -> None:
        """Start a pack; 0 leaves the base time out, which means "now" (RFC 8428, 4.5.3)."""
        cbor = self.items
        cbor.length = 0
        cbor.array(0)  # the count is put in by `end`
        self._base = b""
        self._count = 0
        self._base_time_s = base_time_s

    def _record(self, base: bytes, rest: bytes, pairs: int) -> None:
        if self._count == _MAX_SHORT_COUNT:
            # The array's head grows to two bytes.
            cbor = self.items
            cbor.integer(0)
            buffer = cbor.buffer
            for at in range(cbor.length - 1, 1, -1):
                buffer[at] = buffer[at - 1]
        cbor = self.items
        has_new_base = base != self._base
        has_time = self._count == 0 and self._base_time_s != 0
        self._count += 1
        cbor.map(pairs + (1 if has_new_base else 0) + (1 if has_time else 0) + (1 if rest else 0))
        if has_new_base:
            cbor.integer(_BASE_NAME)
            cbor.text(base)
            self._base = base
        if has_time:
            cbor.integer(_BASE_TIME)
            cbor.integer(self._base_time_s)
        if rest:
            cbor.integer(_NAME)
            cbor.text(rest)

    def integer(self, base: bytes, rest: bytes, value: int) -> None:
        """Add an integer."""
        self._record(base, rest, 1)
        self.items.integer(_VALUE)
        self.items.integer(value)

    def scaled(self, base: bytes, rest: bytes, value: int, divisor: int) -> None:
        """Add `value / divisor` as a float; for instance millivolts and 1000."""
        self._record(base, rest, 1)
        self.items.integer(_VALUE)
        self.items.scaled(value, divisor)

    def number(self, base: bytes, rest: bytes, value: float) -> None:
        """Add a float in single precision."""
        self._record(base, rest, 1)
        self.items.integer(_VALUE)
        self.items.float32(value)

    def boolean(self, base: bytes, rest: bytes, value: bool) -> None:
        """Add true or false."""
        self._record(base, rest, 1)
        self.items.integer(_BOOLEAN_VALUE)
        self.items.boolean(value)

    def text(self, base: bytes, rest: bytes, value: str) -> None:
        """Add a string."""
        self._record(base, rest, 1)
        self.items.integer(_STRING_VALUE)
        self.items.text(value.encode())

    def opaque(self, base: bytes, rest: bytes, value: "bytes | bytearray | memoryview") -> None:
        """Add bytes."""
        self._record(base, rest, 1)
        self.items.integer(_DATA_VALUE)
        self.items.blob(value)

    def open_opaque(self, base: bytes, rest: bytes) -> int:
        """Add bytes that the caller writes to `items`; give what its `close_blob` wants."""
        self._record(base, rest, 1)
        self.items.integer(_DATA_VALUE)
        return self.items.open_blob()

    def link(self, base: bytes, rest: bytes, value: str) -> None:
        """Add an object link such as "21:0" (OMA LwM2M TS Core 1.1, 7.4.5: label "vlo")."""
        self._record(base, rest, 1)
        self.items.text(b"vlo")
        self.items.text(value.encode())

    def end(self) -> int:
        """Finish the pack and return its length in the buffer."""
        buffer = self.items.buffer
        if self._count <= _MAX_SHORT_COUNT:
            buffer[0] = 0x80 | self._count
        else:
            buffer[0] = 0x98
            buffer[1] = self._count
        return self.items.length


def read_pack(
    data: "bytes | bytearray | memoryview", max_records: int = 32
) -> "list[tuple[str, object, float | int]]":
    """Read a pack as (path, value, time) with base name, base time and base value applied.

    The value is int, float, str, bytes, bool, or None for a record that only names a path, as in
    the payload of a composite read (OMA LwM2M TS Core 1.1, 6.4.6).

    Raises:
        SenmlError: not a pack, too many records, or one that asks for what we do not know.
    """
    try:
        reader = Reader(data, 0, None, 2)
        pack = reader.item()
    except CborError as error:
        raise SenmlError("not CBOR: code %d at byte %d" % error.args)
    if not isinstance(pack, list) or reader.position != len(data):
        raise SenmlError("not one array")
    if len(pack) > max_records:
        raise SenmlError("more than %d records" % max_records)
    base_name = ""
    base_time: float | int = 0
    base_value: float | int = 0
    found: list[tuple[str, object, float | int]] = []
    for record in pack:
        if not isinstance(record, dict):
            raise SenmlError("a record is not a map")
        for label in record:
            # RFC 8428, 4.4: a label ending in "_" must be understood.
            if isinstance(label, str) and label.endswith("_"):
                raise SenmlError("unknown label " + label)
        if _number(record, _BASE_VERSION, _VERSION) > _VERSION:
            raise SenmlError("unknown version")
        base_name = _name(record, _BASE_NAME, base_name)
        base_time = _number(record, _BASE_TIME, base_time)
        base_value = _number(record, _BASE_VALUE, base_value)
        path = base_name + _name(record, _NAME, "")
        if not path:
            raise SenmlError("a record without a name")
        value = record.get(_VALUE)
        if value is not None:
            value = _number(record, _VALUE, 0) + base_value
        for label, kind in (
            (_STRING_VALUE, str),
            (_BOOLEAN_VALUE, bool),
            (_DATA_VALUE, bytes),
            ("vlo", str),
        ):
            other = record.get(label)
            if other is None:
                continue
            if value is not None or not isinstance(other, kind):
                raise SenmlError("bad value of " + path)
            value = other
        found.append((path, value, base_time + _number(record, _TIME, 0)))
    return found


def _number(record: dict, label: int, default: "float | int") -> "float | int":
    value = record.get(label, default)
    # bool is an int on CPython and not on MicroPython.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SenmlError("label %d is not a number" % label)
    return value


def _name(record: dict, label: int, default: str) -> str:
    value = record.get(label, default)
    if not isinstance(value, str):
        raise SenmlError("label %d is not text" % label)
    return value
