"""Encrypts the columns that hold secrets, with a key that is not in the database.

Not a vault: whoever has both the database and the key file can read them.
"""

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from poleward_fleet.domain.errors import ConfigurationError

_NONCE_BYTES = 12


class SecretBox:
    """AES-256-GCM with a random nonce before the ciphertext; bound to what the secret is for."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return "SecretBox()"

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Encrypt; `purpose` must be the same to open it, so that rows cannot be swapped."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt.

        Raises:
            ConfigurationError: Wrong key file for this database, or the row was altered.
        """
        try:
            return self._cipher.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode()
            )
        except InvalidTag as error:
            raise ConfigurationError(
                f"the secret of {purpose} cannot be decrypted: the key file does not belong to "
                "this database, or the row was altered"
            ) from error


def load_or_make_key(path: Path) -> bytes:
    """Read the key file, or make one (mode 0600) at the first start.

    Raises:
        ConfigurationError: The file does not hold 32 bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes()
    else:
        key = AESGCM.generate_key(256)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
    if len(key) != 32:
        raise ConfigurationError(f"{path} must hold a key of 32 bytes, it has {len(key)}")
    return key
