"""SenML packs in CBOR (RFC 8428) as LwM2M uses them (OMA LwM2M TS Core 1.1, 7.4.5).

Not what the paths mean. Peers split names differently between base name and name: they are
concatenated here, and every path starts with a slash.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import cbor2

SENML_CBOR = 112
"""Content format application/senml+cbor (RFC 8428, 12.3.3)."""

# RFC 8428, 6, table 4.
_BASE_NAME = -2
_BASE_TIME = -3
_BASE_VALUE = -5
_NAME = 0
_VALUE = 2
_STRING = 3
_BOOLEAN = 4
_TIME = 6
_DATA = 8
_OBJECT_LINK = "vlo"  # OMA LwM2M TS Core 1.1, 7.4.4

_RECORDS_MAX = 256
_INTEGER_MAX = (1 << 64) - 1

Value = int | float | str | bool | bytes | None


class SenmlError(ValueError):
    """The payload is not a SenML pack; the sender must correct it."""


class ObjectLink(str):
    """An object link such as "21:1"."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One record, resolved.

    Args:
        path: LwM2M path, e.g. "/3/0/13".
        value: None where the record has none, as in the answer to a composite read.
        time_s: As sent: Unix seconds, or relative to now below 2 ** 28 (RFC 8428, 4.5.3).
    """

    path: str
    value: Value
    time_s: float = 0


def decode(payload: bytes) -> list[Record]:
    """Decode and resolve a pack.

    Raises:
        SenmlError: It is malformed; answer 4.00.
    """
    stream = io.BytesIO(payload)
    try:
        pack = cbor2.load(stream)
    except (cbor2.CBORError, ValueError, OverflowError, RecursionError) as error:
        raise SenmlError(f"not CBOR: {error}") from error
    if stream.read(1):
        raise SenmlError("bytes follow the pack")
    if not isinstance(pack, list) or not pack or len(pack) > _RECORDS_MAX:
        raise SenmlError(f"not an array of 1 to {_RECORDS_MAX} records")
    records = []
    base_name: str = ""
    base_time: float = 0
    base_value: float = 0
    for fields in pack:
        if not isinstance(fields, dict):
            raise SenmlError("a record is not a map")
        base_name = _expect_text(fields.get(_BASE_NAME, base_name))
        base_time = _expect_number(fields.get(_BASE_TIME, base_time))
        base_value = _expect_number(fields.get(_BASE_VALUE, base_value))
        path = base_name + _expect_text(fields.get(_NAME, ""))
        if not path.startswith("/"):
            path = "/" + path
        time_s = base_time + _expect_number(fields.get(_TIME, 0))
        value = _value_of(fields, base_value)
        if value is None and path.endswith("/") and len(fields) and _NAME not in fields:
            # A record that only sets base values.
            continue
        records.append(Record(path, value, time_s))
    if not records:
        raise SenmlError("no record has a name")
    return records


def encode(records: Iterable[tuple[str, Value]], *, base_name: str = "") -> bytes:
    """Encode a pack; a value of None asks for a resource.

    Integers travel as integers.
    """
    pack: list[dict[int | str, Value]] = []
    for name, value in records:
        fields: dict[int | str, Value] = {}
        if base_name and not pack:
            fields[_BASE_NAME] = base_name
        if name:
            fields[_NAME] = name
        if isinstance(value, bool):
            fields[_BOOLEAN] = value
        elif isinstance(value, ObjectLink):
            fields[_OBJECT_LINK] = str(value)
        elif isinstance(value, str):
            fields[_STRING] = value
        elif isinstance(value, bytes):
            fields[_DATA] = value
        elif value is not None:
            fields[_VALUE] = value
        pack.append(fields)
    return cbor2.dumps(pack)


def _value_of(fields: dict[object, object], base_value: float) -> Value:
    """Return a record's value."""
    number = fields.get(_VALUE)
    if number is not None:
        return _expect_number(number) + base_value if base_value else _expect_number(number)
    for label, kind in ((_BOOLEAN, bool), (_STRING, str), (_DATA, bytes)):
        value = fields.get(label)
        if value is not None:
            if not isinstance(value, kind):
                raise SenmlError(f"label {label} does not hold a {kind.__name__}")
            return value
    link = fields.get(_OBJECT_LINK)
    return None if link is None else ObjectLink(_expect_text(link))


def _expect_text(value: object) -> str:
    if not isinstance(value, str):
        raise SenmlError("a name is not text")
    return value


def _expect_number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SenmlError("a number is not a number")
    if isinstance(value, int) and abs(value) > _INTEGER_MAX:
        raise SenmlError("a number has more than 64 bits")
    return value
