"""TLV of LwM2M (OMA LwM2M TS Core 1.1, 7.4.3), and values without a type, as older clients answer.

Reading only: what the gateway writes is SenML or text. TLV and text carry no types; those come from
the table of objects, and a resource that is not in it stays bytes.
"""

import struct
from collections.abc import Iterator

from nodelink.objects import BOOLEAN, FLOAT, INTEGER, OBJECTS, OBJLNK, STRING, TIME
from poleward_gateway.adapters.node_link.senml import ObjectLink, Value

TLV = 11542
"""Content format application/vnd.oma.lwm2m+tlv."""
TEXT = 0
"""Content format text/plain."""

_INSTANCE, _RESOURCE_INSTANCE, _MULTIPLE, _RESOURCE = 0, 1, 2, 3
_DEPTH_MAX = 3


class TlvError(ValueError):
    """The payload is not what its content format says; the sender must correct it."""


def decode(payload: bytes, path: str) -> dict[str, Value]:
    """Decode the answer to a read of an object, an instance or a resource.

    Args:
        payload: As received.
        path: What was read, e.g. "/3/0".

    Raises:
        TlvError: It is malformed.
    """
    # Peers answer the read of a resource with the resource alone, or within its instance.
    segments = path.strip("/").split("/")[:2]
    return dict(_values(payload, segments, 0))


def from_text(payload: bytes, path: str) -> Value:
    """Read a value in plain text (OMA LwM2M TS Core 1.1, 7.4.2 and Appendix C).

    Raises:
        TlvError: It is no value of the resource's type.
    """
    try:
        text = payload.decode()
        kind = _type_of(path)
        if kind in (INTEGER, TIME):
            return int(text)
        if kind == FLOAT:
            return float(text)
    except ValueError as error:
        raise TlvError(f"{payload!r} is no value of {path}: {error}") from error
    if kind == BOOLEAN:
        return text == "1"
    return ObjectLink(text) if kind == OBJLNK else text


def to_text(value: Value) -> bytes:
    """Write a value in plain text."""
    if isinstance(value, bytes):
        return value
    return str(int(value) if isinstance(value, bool) else value).encode()


def _values(payload: bytes, segments: list[str], depth: int) -> Iterator[tuple[str, Value]]:
    """List values with their paths."""
    if depth > _DEPTH_MAX:
        raise TlvError("nested too deep")
    for kind, identifier, value in _items(payload):
        if kind == _INSTANCE:
            yield from _values(value, [segments[0], str(identifier)], depth + 1)
        elif kind == _MULTIPLE:
            yield from _values(value, [*segments, str(identifier)], depth + 1)
        else:
            path = "/" + "/".join([*segments, str(identifier)])
            resource = "/" + "/".join(segments) if kind == _RESOURCE_INSTANCE else path
            yield path, _typed(value, resource)


def _items(payload: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Cut a payload into kind, identifier and value."""
    at = 0
    while at < len(payload):
        head = payload[at]
        id_bytes = 2 if head & 0x20 else 1
        length_bytes = head >> 3 & 3
        value_at = at + 1 + id_bytes + length_bytes
        if value_at > len(payload):
            raise TlvError("a header is cut off")
        identifier = int.from_bytes(payload[at + 1 : at + 1 + id_bytes], "big")
        length = head & 7
        if length_bytes:
            length = int.from_bytes(payload[at + 1 + id_bytes : value_at], "big")
        at = value_at + length
        if at > len(payload):
            raise TlvError("a value is cut off")
        yield head >> 6, identifier, payload[value_at:at]


def _typed(value: bytes, path: str) -> Value:
    """Give a value the type of its resource."""
    kind = _type_of(path)
    if kind in (INTEGER, TIME):
        return int.from_bytes(value, "big", signed=True)
    if kind == FLOAT:
        if len(value) not in (4, 8):
            raise TlvError(f"a float of {len(value)} bytes for {path}")
        (number,) = struct.unpack(">f" if len(value) == 4 else ">d", value)
        return float(number)
    if kind == BOOLEAN:
        return value != b"\0"
    if kind == STRING:
        return value.decode("utf-8", "replace")
    if kind == OBJLNK and len(value) == 4:
        return ObjectLink("{}:{}".format(*struct.unpack(">HH", value)))
    return value


def _type_of(path: str) -> str:
    """Return the type of a resource; none for one that we do not know."""
    parts = path.strip("/").split("/")
    if len(parts) < 3 or not all(part.isdecimal() for part in parts):
        return ""
    entry = OBJECTS.get(int(parts[0]), ("", {}))[1].get(int(parts[2]))
    return "" if entry is None else entry[1]
