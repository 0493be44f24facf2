"""How an image travels to a node: in pieces, each compressed by itself.

Not the image's own format (ESP-IDF's), which the node's bootloader checks, and not signed: the
envelope names digest and size of the plain image. A whole image would not fit beside what a node
keeps; of a piece the node keeps the archive until it is written.
"""

import struct

from nodelink.release_format import IMAGE_PIECE_BYTES
from poleward_manifest.bundle import deflate

IMAGE_MAX_BYTES = 0x180000
"""What a partition for an application holds (the node's flash has 4 MiB)."""
_LENGTH = struct.Struct(">I")


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
