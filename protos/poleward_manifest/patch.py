"""Patches: a component as its difference to the one that a node runs.

Not signed and not trusted: what a node builds from a patch must have the digest that is signed.

Format: records one after the other until the component is complete, then raw DEFLATE like every
transfer. A record is three varints (7 bits a byte, lowest first): how many bytes to copy from the
source, how many are new, and how far to move in the source afterwards (the sign in the lowest bit).
Then come the bytes to add to the copied ones, modulo 256, and the new ones. So the source is read
where it lies, the component is made from front to end, and a reader needs memory for one piece.
"""

import zlib
from collections.abc import Iterator

import bsdiff4.core

from nodelink.release_format import DEFLATE_WBITS
from poleward_manifest.bundle import deflate
from poleward_manifest.errors import MalformedError

_CONTROL_BYTES = 24


def make(source: bytes, target: bytes) -> bytes:
    """Make the patch that turns source into target, compressed for the way to a node.

    Takes a second and about 20 bytes of memory per byte for an image of 1.5 MB: not for an event
    loop.
    """
    control, differences, news = bsdiff4.core.diff(source, target)
    parts = []
    copied = added = 0
    for copy, new, move in _control(control):
        sign_last = move * 2 if move >= 0 else -move * 2 - 1
        parts += [_varint(copy), _varint(new), _varint(sign_last)]
        parts += [differences[copied : copied + copy], news[added : added + new]]
        copied += copy
        added += new
    return deflate(b"".join(parts))


def apply(source: bytes, patch: bytes) -> bytes:
    """Build the component that a patch describes, as a node does.

    Raises:
        MalformedError: the bytes are no patch, or not one for this source; make it again.
    """
    try:
        plain = zlib.decompress(patch, -DEFLATE_WBITS)
    except zlib.error as error:
        raise MalformedError("the patch is cut or not DEFLATE") from error
    built = bytearray()
    at = source_at = 0
    while at < len(plain):
        copy, at = _read_varint(plain, at)
        new, at = _read_varint(plain, at)
        sign_last, at = _read_varint(plain, at)
        old = source[source_at : source_at + copy] if source_at >= 0 else b""
        if len(old) != copy or at + copy + new > len(plain):
            raise MalformedError("the patch copies or adds what is not there")
        added = plain[at : at + copy]
        built += bytes((one + other) & 255 for one, other in zip(old, added, strict=True))
        built += plain[at + copy : at + copy + new]
        at += copy + new
        source_at += copy + (-(sign_last + 1) // 2 if sign_last & 1 else sign_last // 2)
    return bytes(built)


def _control(encoded: bytes) -> Iterator[tuple[int, int, int]]:
    """Take bsdiff's control block apart."""
    decode = bsdiff4.core.decode_int64
    for at in range(0, len(encoded), _CONTROL_BYTES):
        yield (
            decode(encoded[at : at + 8]),
            decode(encoded[at + 8 : at + 16]),
            decode(encoded[at + 16 : at + 24]),
        )


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _read_varint(plain: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(plain) or shift > 28:
            raise MalformedError("the patch is cut in the middle of a record")
        number |= (plain[at] & 127) << shift
        shift += 7
        at += 1
        if plain[at - 1] < 128:
            return number, at
