"""AES-CCM-16-64-128 (RFC 3610 with M = 8, L = 2; RFC 9053, 4.2) on a native AES in three calls.

Not nonces or keys: `node.oscore.context` makes them and keeps them from being used twice.
"""

from cryptolib import aes
from micropython import const

_ECB = const(1)
_CBC = const(2)
TAG_BYTES = 8


class TagError(Exception):
    """The tag does not fit the ciphertext, the nonce or the associated data: drop the message."""


def _tag(key: bytes, nonce: bytes, aad: bytes, plaintext: "bytes | memoryview") -> bytearray:
    """Compute the CBC-MAC before its encryption; `aad` is not empty and shorter than 65,280."""
    aad_end = 18 + len(aad)
    message_at = (aad_end + 15) & ~15
    size = len(plaintext)
    blocks = bytearray((message_at + size + 15) & ~15)
    # RFC 3610, 2.2: flags = Adata, (M - 2) / 2 = 3, L - 1 = 1.
    blocks[0] = 0x59
    blocks[1:14] = nonce
    blocks[14] = size >> 8
    blocks[15] = size & 0xFF
    blocks[16] = len(aad) >> 8
    blocks[17] = len(aad) & 0xFF
    blocks[18:aad_end] = aad
    blocks[message_at : message_at + size] = plaintext
    # The last block of one CBC encryption with a zero IV is the CBC-MAC.
    aes(key, _CBC, bytes(16)).encrypt(blocks, blocks)
    return blocks[-16:]


def _key_stream(key: bytes, nonce: bytes, size: int) -> bytearray:
    """Compute S_0 (which hides the tag) and as many blocks S_1… as `size` bytes need."""
    count = 1 + (size + 15) // 16
    blocks = bytearray(16 * count)
    for index in range(count):
        at = 16 * index
        blocks[at] = 0x01  # RFC 3610, 2.3: L - 1
        blocks[at + 1 : at + 14] = nonce
        blocks[at + 14] = index >> 8
        blocks[at + 15] = index & 0xFF
    aes(key, _ECB).encrypt(blocks, blocks)
    return blocks


def _xor(left: "bytes | bytearray | memoryview", right: "bytes | bytearray | memoryview") -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def encrypt(key: bytes, nonce: bytes, aad: bytes, plaintext: "bytes | memoryview") -> bytes:
    """Return ciphertext and tag, 8 bytes longer than `plaintext`."""
    size = len(plaintext)
    stream = memoryview(_key_stream(key, nonce, size))
    tag = _xor(memoryview(_tag(key, nonce, aad, plaintext))[:TAG_BYTES], stream[:TAG_BYTES])
    return _xor(plaintext, stream[16 : 16 + size]) + tag


def decrypt(
    key: bytes, nonce: bytes, aad: bytes, ciphertext: "bytes | bytearray | memoryview"
) -> bytes:
    """Return the plaintext.

    Raises:
        TagError: drop the message; nothing of it may be used.
    """
    size = len(ciphertext) - TAG_BYTES
    if size < 0:
        raise TagError
    data = memoryview(ciphertext)
    stream = memoryview(_key_stream(key, nonce, size))
    plaintext = _xor(data[:size], stream[16 : 16 + size])
    tag = _xor(memoryview(_tag(key, nonce, aad, plaintext))[:TAG_BYTES], stream[:TAG_BYTES])
    # All bits of the difference at once, so that timing does not tell where the first one is.
    if int.from_bytes(tag, "big") ^ int.from_bytes(data[size:], "big"):
        raise TagError
    return plaintext
