"""Keys in files, private half as PKCS #8 PEM readable by its owner only.

Ed25519 keys sign releases, permits and batches; the X25519 key of a fleet opens batches.

It asks nobody anything: the command line asks before a key is written.
"""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_KEY_FILE_MODE = 0o600


class ReleaseKeyError(Exception):
    """A key file cannot be written or used; the message says which and what to do."""


def create_key(path: Path) -> Ed25519PrivateKey:
    """Make a key pair: the private half in `path`, the public half, hexadecimal, in `path`.pub.

    Raises:
        ReleaseKeyError: a file is there already, which is never overwritten, or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    _write_pair(path, key, key.public_key().public_bytes_raw())
    return key


def create_import_key(path: Path) -> X25519PrivateKey:
    """Make the key pair for which stations seal their batches, in files as `create_key` does.

    Raises:
        ReleaseKeyError: as there.
    """
    key = X25519PrivateKey.generate()
    _write_pair(path, key, key.public_key().public_bytes_raw())
    return key


def _write_pair(path: Path, key: Ed25519PrivateKey | X25519PrivateKey, public_key: bytes) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        # Created with its mode, so that there is no moment in which others can read it.
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _KEY_FILE_MODE)
        with os.fdopen(file, "wb") as private:
            private.write(pem)
        public_path(path).write_text(public_key.hex() + "\n")
    except FileExistsError as error:
        raise ReleaseKeyError(f"{path} is there already; choose another name") from error
    except OSError as error:
        raise ReleaseKeyError(f"{path} cannot be written: {error.strerror}") from error


def load_key(path: Path) -> Ed25519PrivateKey:
    """Load a private release key.

    Raises:
        ReleaseKeyError: not there, readable by others, or not an Ed25519 key in PEM.
    """
    key = _load_private(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise ReleaseKeyError(f"{path} is not an Ed25519 key; make one with `poleward release key`")
    return key


def load_import_key(path: Path) -> X25519PrivateKey:
    """Load the private key that opens batches.

    Raises:
        ReleaseKeyError: not there, readable by others, or not an X25519 key in PEM.
    """
    key = _load_private(path)
    if not isinstance(key, X25519PrivateKey):
        raise ReleaseKeyError(
            f"{path} is not an X25519 key; make one with `poleward factory import-key`"
        )
    return key


def _load_private(path: Path) -> PrivateKeyTypes:
    try:
        if path.stat().st_mode & 0o077:
            raise ReleaseKeyError(f"{path} can be read by others; run `chmod 600 {path}`")
        return load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ReleaseKeyError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise ReleaseKeyError(f"{path} is not a private key in PEM without a password") from error


def load_public_key(path: Path) -> bytes:
    """Load the 32 bytes of a public release key from what `create_key` wrote.

    Raises:
        ReleaseKeyError: not there or not 64 hexadecimal digits.
    """
    try:
        public_key = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        raise ReleaseKeyError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:
        public_key = b""
    if len(public_key) != 32:
        raise ReleaseKeyError(f"{path} does not hold a public key of 64 hexadecimal digits")
    return public_key


def public_path(path: Path) -> Path:
    """Name the file of the public half."""
    return path.with_name(path.name + ".pub")
