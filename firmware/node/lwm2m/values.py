"""Values of LwM2M resources on the wire: SenML-CBOR both ways, TLV and text as others write them.

Not the objects: a value's kind comes from the object's TABLE.

A TABLE maps a resource id to its operations and the letter of its kind: "i" Integer, "t" Time,
"f" Float, "b" Boolean, "s" String, "o" Opaque, "l" Objlnk, "n" none. A Float is an integer of
thousandths everywhere but here.
"""

from node.codec import senml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.codec.cbor import Writer

FORMAT_TEXT = 0  # RFC 7252, 12.3
FORMAT_LINK = 40
FORMAT_OPAQUE = 42
FORMAT_SENML_CBOR = 112  # RFC 8428, 12.3
FORMAT_TLV = 11542  # OMA LwM2M TS Core 1.1, 7.4.3


class BadValueError(Exception):
    """A payload that cannot be a value of its resource; `args[0]` says why."""


def add_record(
    writer: "senml.PackWriter", base: bytes, rest: bytes, kind: str, value: "Any"
) -> None:
    """Add a record with a value of the kind to a pack.

    Raises:
        CborError: It does not fit the writer's buffer.
    """
    if kind == "f":
        writer.scaled(base, rest, value, 1000)
    elif kind == "i" or kind == "t":
        writer.integer(base, rest, value)
    elif kind == "b":
        writer.boolean(base, rest, value)
    elif kind == "s":
        writer.text(base, rest, value)
    elif kind == "l":
        writer.link(base, rest, value)
    else:
        writer.opaque(base, rest, value)


def add_item(writer: "Writer", kind: str, value: "Any") -> None:
    """Write a value of a numeric kind as one CBOR item, null where there is none.

    Raises:
        CborError: It does not fit the writer's buffer.
    """
    if value is None:
        writer.null()
    elif kind == "f":
        writer.scaled(value, 1000)
    elif kind == "b":
        writer.boolean(value)
    else:
        writer.integer(value)


def to_text(kind: str, value: "Any") -> bytes:
    """Write a value as plain text (OMA LwM2M TS Core 1.1, 7.4.1)."""
    if kind == "f":
        return str(value / 1000).encode()
    if kind == "b":
        return b"1" if value else b"0"
    return str(value).encode()


def from_senml(kind: str, value: "Any") -> "Any":
    """Check and convert a value that `senml.read_pack` gave.

    Raises:
        BadValueError: It is of another kind.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        if kind == "f" and is_number:
            return round(value * 1000)
        # Some peers write integers as floats.
        if kind in "it" and is_number and value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        raise BadValueError("not a finite number")
    wanted = {"b": bool, "s": str, "l": str, "o": bytes}.get(kind)
    if wanted is None or not isinstance(value, wanted):
        raise BadValueError("wrong type of value")
    return value


def from_tlv(kind: str, value: "memoryview") -> "Any":
    """Convert the value of a TLV entry.

    Raises:
        BadValueError: It is of another kind.
    """
    from node.codec import tlv

    try:
        if kind in "it":
            return tlv.integer(value)
        if kind == "f":
            return round(tlv.number(value) * 1000)
        if kind == "b":
            return tlv.boolean(value)
        if kind == "s":
            return str(value, "utf-8")
        if kind == "l":
            number = int.from_bytes(value, "big")
            return "%d:%d" % (number >> 16, number & 0xFFFF)
        return bytes(value)
    except (tlv.TlvError, ValueError, OverflowError):
        raise BadValueError("bad TLV value")


def from_text(kind: str, payload: bytes) -> "Any":
    """Convert a plain text payload.

    Raises:
        BadValueError: It is of another kind.
    """
    try:
        text = bytes(payload).decode()
        if kind in "it":
            return int(text)
        if kind == "f":
            return round(float(text) * 1000)
        if kind in "sl":
            return text
    except (ValueError, OverflowError):
        raise BadValueError("not a number or not UTF-8")
    if kind == "b" and text in ("0", "1"):
        return text == "1"
    raise BadValueError("wrong text for this resource")


def parse_path(path: str) -> "tuple[int, ...]":
    """Split "/3416/0/1" into its ids; "/" is the empty tuple.

    Raises:
        BadValueError: It has something else than up to four numbers.
    """
    segments = [segment for segment in path.split("/") if segment]
    return ids(segments)


def ids(segments: "list[str] | tuple[str, ...]") -> "tuple[int, ...]":
    """Read path segments as ids.

    Raises:
        BadValueError: More than four of them, or not a number of 16 bits.
    """
    if len(segments) > 4:
        raise BadValueError("path too long")
    found = []
    for segment in segments:
        if not segment.isdigit() or len(segment) > 5 or int(segment) > 65535:
            raise BadValueError("no such path")
        found.append(int(segment))
    return tuple(found)


def read_writes(
    path: "tuple[int, ...]", content_format: "int | None", payload: bytes
) -> "list[tuple[tuple[int, ...], str, Any]]":
    """Read the payload of a write as (path of the resource, encoding, raw value).

    Args:
        path: What the request addressed; ids of an object, an instance, or a resource.
        content_format: Of the payload.
        payload: As received.

    Returns:
        Encoding is the name of the function here that converts the raw value once its kind is
        known: "senml", "tlv" or "text".

    Raises:
        BadValueError: The payload is not of its format or leads out of the path; see args[0].
        UnsupportedFormatError: Ask again with SenML-CBOR.
    """
    if content_format == FORMAT_SENML_CBOR:
        try:
            pack = senml.read_pack(payload)
        except senml.SenmlError as error:
            raise BadValueError(error.args[0])
        found = [(parse_path(name), "senml", value) for name, value, _ in pack]
    elif content_format == FORMAT_TLV and path:
        found = _read_tlv(path, payload)
    elif content_format == FORMAT_TEXT and len(path) == 3:
        found = [(path, "text", payload)]
    elif content_format == FORMAT_OPAQUE and len(path) == 3:
        found = [(path, "senml", bytes(payload))]
    else:
        raise UnsupportedFormatError()
    for target, _, _ in found:
        if len(target) != 3 or target[: len(path)] != path:
            raise BadValueError("a record is not a resource under the request's path")
    return found


def read_names(payload: bytes) -> "list[tuple[int, ...]]":
    """Read the paths that a composite read asks for (OMA LwM2M TS Core 1.1, 6.3.8).

    Raises:
        BadValueError: The payload is not a SenML-CBOR pack of paths.
    """
    try:
        return [parse_path(name) for name, _, _ in senml.read_pack(payload)]
    except senml.SenmlError as error:
        raise BadValueError(error.args[0])


class UnsupportedFormatError(Exception):
    """The payload's content format is not one this node reads here."""


def convert(kind: str, encoding: str, raw: "Any") -> "Any":
    """Convert a raw value of `read_writes`.

    Raises:
        BadValueError: It is not of the kind.
    """
    if encoding == "senml":
        return from_senml(kind, raw)
    return from_tlv(kind, raw) if encoding == "tlv" else from_text(kind, raw)


def _read_tlv(path: "tuple[int, ...]", payload: bytes) -> "list[tuple[tuple[int, ...], str, Any]]":
    from node.codec import tlv

    try:
        entries = tlv.read(payload)
    except tlv.TlvError:
        raise BadValueError("truncated TLV")
    found: list[tuple[tuple[int, ...], str, Any]] = []
    for kind, identifier, value in entries:
        if kind == tlv.OBJECT_INSTANCE and len(path) == 1:
            for inner_kind, resource, inner in value:  # type: ignore[attr-defined]
                if inner_kind != tlv.RESOURCE:
                    raise BadValueError("no multiple resources here")
                found.append(((path[0], identifier, resource), "tlv", inner))
        elif kind == tlv.RESOURCE and len(path) > 1:
            found.append(((path[0], path[1], identifier), "tlv", value))
        else:
            raise BadValueError("TLV does not fit the path")
    return found


def parse_uri(uri: str) -> "tuple[str, int]":
    """Split a server URI such as "coap://[2001:db8::1]:5683" into host and port.

    Raises:
        ValueError: It is not a coap URI with a host.
    """
    if not uri.startswith("coap://"):
        raise ValueError("not a coap URI: " + uri)
    host = uri[7:].split("/")[0]
    port = "5683"  # RFC 7252, 6.1
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        if rest:
            port = rest[1:]
    elif ":" in host:
        host, _, port = host.partition(":")
    if not host or not port.isdigit():
        raise ValueError("no host or port in " + uri)
    return host, int(port)
