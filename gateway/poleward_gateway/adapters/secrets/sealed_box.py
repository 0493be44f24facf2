"""Seals secrets at rest with AES-256-GCM; implements the port SecretBox.

Not a vault: whoever has the disk and the key can read them.
"""

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from poleward_gateway.adapters.secrets.key_sources import read_key
from poleward_gateway.domain.errors import ConfigurationError

_NONCE_BYTES = 12


class SealedBox:
    """A random nonce before each ciphertext; each is bound to what the secret is for."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return "<sealed box>"

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Encrypt a secret."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt a secret.

        Raises:
            ConfigurationError: The key is another one, or the data was altered.
        """
        try:
            return self._cipher.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode()
            )
        except (InvalidTag, ValueError) as error:
            raise ConfigurationError(
                f"the secret of {purpose} cannot be opened: the key is not the one that sealed "
                "it. Give the right key, or remove the gateway's data and enrol it again"
            ) from error


def open_box(source: str, default_file: Path) -> SealedBox:
    """Make a box with the key of a source.

    Raises:
        ConfigurationError: As `read_key`.
    """
    return SealedBox(read_key(source, default_file))
