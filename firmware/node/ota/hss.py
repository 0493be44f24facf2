"""Verifying HSS-LMS signatures with one level (RFC 8554): hashes only, for the time after Ed25519.

Not for signing. Imported for one update and dropped after.
"""

import asyncio
import hashlib

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# RFC 8554, 4.1 and 5.1: for an LM-OTS type its w, p and ls; for an LMS type its height.
_OTS = {1: (1, 265, 7), 2: (2, 133, 6), 3: (4, 67, 4), 4: (8, 34, 0)}
_HEIGHTS = {5: 5, 6: 10, 7: 15, 8: 20, 9: 25}
_HASH_BYTES = const(32)
_CHAINS_PER_TURN = const(8)


async def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether the signature of the message is by the key; gives other tasks their turns."""
    # RFC 8554, 6.1 and 6.2: levels, then an LMS public key; signed public keys 0, LMS signature.
    if len(public_key) != 60 or _u32(public_key, 0) != 1 or _u32(signature, 0) != 0:
        return False
    lms_type = _u32(public_key, 4)
    ots_type = _u32(public_key, 8)
    if ots_type not in _OTS or lms_type not in _HEIGHTS:
        return False
    identifier = public_key[12:28]
    height = _HEIGHTS[lms_type]
    w, chains, shift = _OTS[ots_type]
    path_at = 12 + _HASH_BYTES * (1 + chains) + 4
    leaf = _u32(signature, 4)
    if (
        len(signature) != path_at + _HASH_BYTES * height
        or _u32(signature, 8) != ots_type
        or _u32(signature, path_at - 4) != lms_type
        or leaf >> height
    ):
        return False
    start = identifier + signature[4:8]
    # RFC 8554, 4.6, algorithm 4b.
    digest = _hash(start + b"\x81\x81" + signature[12:44] + message)
    digest += _checksum(digest, w, shift)
    ends = hashlib.sha256(start + b"\x80\x80")
    for chain in range(chains):
        at = 44 + _HASH_BYTES * chain
        link = signature[at : at + _HASH_BYTES]
        head = start + chain.to_bytes(2, "big")
        for step in range(_coefficient(digest, chain, w), (1 << w) - 1):
            link = _hash(head + bytes((step,)) + link)
        ends.update(link)
        if chain % _CHAINS_PER_TURN == 0:
            await asyncio.sleep(0)
    # RFC 8554, 5.4.2, algorithm 6a.
    node = (1 << height) + leaf
    found = _hash(identifier + node.to_bytes(4, "big") + b"\x82\x82" + ends.digest())
    for level in range(height):
        at = path_at + _HASH_BYTES * level
        other = signature[at : at + _HASH_BYTES]
        both = other + found if node & 1 else found + other
        node >>= 1
        found = _hash(identifier + node.to_bytes(4, "big") + b"\x83\x83" + both)
    return bool(found == public_key[28:])


def _checksum(digest: bytes, w: int, shift: int) -> bytes:
    """RFC 8554, 4.4, algorithm 2."""
    total = 0
    for number in range(len(digest) * 8 // w):
        total += (1 << w) - 1 - _coefficient(digest, number, w)
    return (total << shift).to_bytes(2, "big")


def _coefficient(digest: bytes, number: int, w: int) -> int:
    """RFC 8554, 3.1.3."""
    per_byte = 8 // w
    return digest[number // per_byte] >> w * (per_byte - 1 - number % per_byte) & (1 << w) - 1


def _hash(message: bytes) -> bytes:
    digest: bytes = hashlib.sha256(message).digest()
    return digest


def _u32(encoded: "Any", at: int) -> int:
    return int.from_bytes(encoded[at : at + 4], "big")
