"""Seals what only the holder of a key may read: X25519, HKDF-SHA-256, AES-256-GCM.

The construction of RFC 9180's base mode with a single message, not its wire format. It signs
nothing; who sealed something is the caller's business.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES = 32
# A key is used once, so its nonce needs no chance.
_NONCE = bytes(12)
_PURPOSE = b"poleward sealed 1"


class SealError(Exception):
    """What was sealed cannot be opened with this key, or it was changed."""


def seal(content: bytes, public_key: bytes) -> bytes:
    """Return content that only the holder of the private key can read.

    Args:
        content: of any length.
        public_key: X25519, 32 bytes.
    """
    ephemeral = X25519PrivateKey.generate()
    public = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public_key))
    return public + _cipher(shared, public, public_key).encrypt(_NONCE, content, None)


def unseal(sealed: bytes, key: X25519PrivateKey) -> bytes:
    """Return what `seal` was given.

    Raises:
        SealError: it was sealed for another key, or it was changed.
    """
    public, encrypted = sealed[:_KEY_BYTES], sealed[_KEY_BYTES:]
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(public))
        cipher = _cipher(shared, public, key.public_key().public_bytes_raw())
        return cipher.decrypt(_NONCE, encrypted, None)
    except (InvalidTag, ValueError) as error:
        raise SealError("it is sealed for another key, or it was changed") from error


def _cipher(shared: bytes, ephemeral: bytes, recipient: bytes) -> AESGCM:
    # RFC 9180, 4.1: both public keys go into the context, so that neither can be exchanged.
    context = _PURPOSE + ephemeral + recipient
    return AESGCM(HKDF(SHA256(), _KEY_BYTES, salt=None, info=context).derive(shared))
