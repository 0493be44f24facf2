"""Signing and verifying with release keys: Ed25519, or HSS-LMS where quantum computers are feared.

Not the envelope around a signature. A public key's length tells its kind: 32 or 60 bytes.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

import pyhsslms
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALG_ED25519 = -19  # RFC 9864, 2.2
ALG_HSS_LMS = -46  # RFC 8778, 6
ED25519_BYTES = 32
HSS_LMS_BYTES = 60
_SIGNATURE_BYTES = {ALG_ED25519: (64, 64), ALG_HSS_LMS: (1300, 3200)}


class HssLmsKey:
    """A private HSS-LMS key: one level, 1,024 signatures of 2,512 bytes (SHA-256, H10, W4).

    It changes with each signature. One state used twice lets anybody forge signatures, so a
    signature is given out only after `save` has made the next state durable.

    Args:
        state: as `encode` gave it.
        save: keeps a state; raises what it likes, then nothing is signed.
    """

    def __init__(self, state: bytes, save: Callable[[bytes], None]) -> None:
        self._key: Any = pyhsslms.HssPrivateKey.deserialize(state)
        self._save = save

    @staticmethod
    def generate() -> bytes:
        """Make the first state of a key; takes about a second."""
        return bytes(
            pyhsslms.HssPrivateKey(
                levels=1,
                lms_type=pyhsslms.lms_sha256_m32_h10,
                lmots_type=pyhsslms.lmots_sha256_n32_w4,
            ).serialize()
        )

    @property
    def signatures_left(self) -> int:
        """How often it can still sign."""
        return int(self._key.remaining())

    def public_key(self) -> bytes:
        """Give the public half, 60 bytes."""
        return bytes(self._key.publicKey().serialize())

    def sign(self, message: bytes) -> bytes:
        """Use up one of its signatures.

        Raises:
            ValueError: there is none left; make a new key and have it trusted.
        """
        if self.signatures_left < 1:
            raise ValueError("this HSS-LMS key has no signature left; make a new one")
        signature = bytes(self._key.sign(message))
        self._save(bytes(self._key.serialize()))
        return signature


class KeptKey(Protocol):
    """A private key that somebody keeps and only signs with; of either kind."""

    def public_key(self) -> bytes:
        """Give the public half as it is trusted."""

    def sign(self, message: bytes) -> bytes:
        """Sign a message; whoever keeps the key says what it raises."""


SigningKey = Ed25519PrivateKey | KeptKey


def public_bytes(key: SigningKey) -> bytes:
    """Give the public half of a key."""
    if isinstance(key, Ed25519PrivateKey):
        return key.public_key().public_bytes_raw()
    return key.public_key()


def key_id(public_key: bytes) -> bytes:
    """Give the short name of a key: the first 8 bytes of SHA-256 of its public half."""
    return hashlib.sha256(public_key).digest()[:8]


def algorithm_of(public_key: bytes) -> int:
    """Tell the COSE algorithm of a public key.

    Raises:
        ValueError: it is of neither kind.
    """
    if len(public_key) == ED25519_BYTES:
        return ALG_ED25519
    if len(public_key) == HSS_LMS_BYTES:
        return ALG_HSS_LMS
    raise ValueError(f"a release key has 32 bytes (Ed25519) or 60 (HSS-LMS), not {len(public_key)}")


def is_possible(algorithm: object, signature: bytes) -> bool:
    """Tell whether a signature may be of an algorithm, by its size."""
    least, most = _SIGNATURE_BYTES.get(algorithm, (1, 0)) if isinstance(algorithm, int) else (1, 0)
    return least <= len(signature) <= most


def is_valid(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a signature of a message is by the key."""
    if algorithm_of(public_key) == ALG_ED25519:
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        except InvalidSignature:
            return False
        return True
    try:
        if pyhsslms.HssSignature.deserialize(signature).serialize() != signature:
            return False
        return bool(pyhsslms.HssPublicKey.deserialize(public_key).verify(message, signature))
    except (ValueError, IndexError, TypeError):
        return False  # what the library says of bytes that are no signature at all
