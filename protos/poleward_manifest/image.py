"""How an image travels to a node: in pieces, each compressed by itself.

Not signed: the envelope names digest and size of the plain image. Of the image's own format
(ESP-IDF's) only what tells one from anything else. A whole image would not fit beside what a node
keeps; of a piece the node keeps the archive until it is written.
"""

import hashlib
import struct

from nodelink.release_format import IMAGE_PIECE_BYTES
from poleward_manifest.bundle import deflate
from poleward_manifest.errors import MalformedError, TooBigError

IMAGE_MAX_BYTES = 0x180000
"""What a partition for an application holds (the node's flash has 4 MiB)."""
_LENGTH = struct.Struct(">I")
# ESP-IDF, "App Image Format": the first byte, how many segments follow, and the last byte of the
# extended header, which says that the image ends with its SHA-256.
_MAGIC = 0xE9
_SEGMENTS_MAX = 16
_HEADERS_BYTES = 24
_DIGEST_BYTES = 32


def check(image: bytes) -> None:
    """Insist on one application image, whole and alone.

    Raises:
        MalformedError: it is something else.
        TooBigError: no partition holds it.
    """
    if len(image) > IMAGE_MAX_BYTES:
        raise TooBigError(
            f"the image has {len(image)} bytes, a node's partition holds {IMAGE_MAX_BYTES}"
        )
    head = image[:_HEADERS_BYTES]
    if len(head) < _HEADERS_BYTES or head[0] != _MAGIC or not 1 <= head[1] <= _SEGMENTS_MAX:
        raise MalformedError(
            "the image does not begin as an application of an ESP32 does; take micropython.bin"
        )
    body, digest = image[:-_DIGEST_BYTES], image[-_DIGEST_BYTES:]
    if head[-1] != 1 or hashlib.sha256(body).digest() != digest:
        raise MalformedError(
            "the image does not end with its SHA-256: it is cut, altered, or not the application "
            "alone"
        )


def encode(image: bytes) -> bytes:
    """Compress an image into its pieces, each behind its length."""
    parts = []
    for at in range(0, len(image), IMAGE_PIECE_BYTES):
        piece = deflate(image[at : at + IMAGE_PIECE_BYTES])
        parts += [_LENGTH.pack(len(piece)), piece]
    return b"".join(parts)


def piece(encoded: bytes, number: int) -> bytes | None:
    """Give the piece with a number, from 0; None when there are not so many."""
    at = 0
    while at < len(encoded):
        (size_bytes,) = _LENGTH.unpack_from(encoded, at)
        at += _LENGTH.size
        if number == 0:
            return encoded[at : at + size_bytes]
        at += size_bytes
        number -= 1
    return None
