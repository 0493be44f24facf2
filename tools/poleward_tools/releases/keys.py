"""Keys in files, the private half in PEM readable by its owner only.

Ed25519 keys sign releases, permits and batches; the X25519 key of a fleet opens batches. HSS-LMS
keys sign releases too; their file is a state that every signature replaces.

It asks nobody anything: the command line asks before a key is written.
"""

import base64
import os
import textwrap
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

from poleward_manifest.signatures import (
    HssLmsKey,
    SigningKey,
    algorithm_of,
    public_bytes,
)

_KEY_FILE_MODE = 0o600
_HSS_LMS_HEAD = "-----BEGIN POLEWARD HSS-LMS PRIVATE KEY-----"
_HSS_LMS_TAIL = "-----END POLEWARD HSS-LMS PRIVATE KEY-----"


class ReleaseKeyError(Exception):
    """A key file cannot be written or used; the message says which and what to do."""


def create_key(path: Path) -> Ed25519PrivateKey:
    """Make a key pair: the private half in `path`, the public half, hexadecimal, in `path`.pub.

    Raises:
        ReleaseKeyError: a file is there already, which is never overwritten, or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    _write_pair(path, _pem(key), key.public_key().public_bytes_raw())
    return key


def create_import_key(path: Path) -> X25519PrivateKey:
    """Make the key pair for which stations seal their batches, in files as `create_key` does.

    Raises:
        ReleaseKeyError: as there.
    """
    key = X25519PrivateKey.generate()
    _write_pair(path, _pem(key), key.public_key().public_bytes_raw())
    return key


def create_hss_lms_key(path: Path) -> HssLmsKey:
    """Make an HSS-LMS pair, in files as `create_key` does.

    Raises:
        ReleaseKeyError: as `create_key`.
    """
    state = HssLmsKey.generate()
    key = _hss_lms_key(path, state)
    _write_pair(path, _hss_lms_pem(state), public_bytes(key))
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """Load a private release key.

    Raises:
        ReleaseKeyError: not there, readable by others, or not an Ed25519 key in PEM.
    """
    key = _load_private(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise ReleaseKeyError(f"{path} is not an Ed25519 key; make one with `poleward release key`")
    return key


def load_signing_key(path: Path) -> SigningKey:
    """Load a private key of either kind.

    An HSS-LMS key writes its file anew with each signature: there must be one copy of it only.

    Raises:
        ReleaseKeyError: as `load_key`.
    """
    pem = _read_private(path)
    if not pem.startswith(_HSS_LMS_HEAD.encode()):
        return load_key(path)
    try:
        return _hss_lms_key(path, base64.b64decode(b"".join(pem.splitlines()[1:-1]), validate=True))
    except (ValueError, IndexError) as error:
        raise ReleaseKeyError(f"{path} is a damaged HSS-LMS key; never use a backup") from error


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


def load_public_key(path: Path) -> bytes:
    """Load a public release key from what `create_key` wrote.

    Raises:
        ReleaseKeyError: not there or not 64 or 120 hexadecimal digits.
    """
    try:
        public_key = bytes.fromhex(path.read_text().strip())
        algorithm_of(public_key)
    except OSError as error:
        raise ReleaseKeyError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ReleaseKeyError(
            f"{path} does not hold a public key of 64 hexadecimal digits, or 120 for HSS-LMS"
        ) from error
    return public_key


def save_public_key(path: Path, public_key: bytes) -> None:
    """Write a public release key as `load_public_key` reads it.

    Raises:
        ReleaseKeyError: a file is there already, which may be a private key, or cannot be written.
    """
    try:
        with path.open("x") as file:
            file.write(public_key.hex() + "\n")
    except FileExistsError as error:
        raise ReleaseKeyError(f"{path} is there already; choose another name") from error
    except OSError as error:
        raise ReleaseKeyError(f"{path} cannot be written: {error.strerror}") from error


def public_path(path: Path) -> Path:
    """Name the file of the public half."""
    return path.with_name(path.name + ".pub")


def _load_private(path: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(_read_private(path), password=None)
    except (ValueError, TypeError) as error:
        raise ReleaseKeyError(f"{path} is not a private key in PEM without a password") from error


def _read_private(path: Path) -> bytes:
    try:
        if path.stat().st_mode & 0o077:
            raise ReleaseKeyError(f"{path} can be read by others; run `chmod 600 {path}`")
        return path.read_bytes()
    except OSError as error:
        raise ReleaseKeyError(f"{path} cannot be read: {error.strerror}") from error


def _pem(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write_pair(path: Path, pem: bytes, public_key: bytes) -> None:
    try:
        _write_new(path, pem)
        public_path(path).write_text(public_key.hex() + "\n")
    except FileExistsError as error:
        raise ReleaseKeyError(f"{path} is there already; choose another name") from error
    except OSError as error:
        raise ReleaseKeyError(f"{path} cannot be written: {error.strerror}") from error


def _hss_lms_key(path: Path, state: bytes) -> HssLmsKey:
    def save(state: bytes) -> None:
        newer = path.with_name(path.name + ".new")
        newer.unlink(missing_ok=True)
        _write_new(newer, _hss_lms_pem(state))
        newer.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    return HssLmsKey(state, save)


def _hss_lms_pem(state: bytes) -> bytes:
    lines = textwrap.wrap(base64.b64encode(state).decode(), 64)
    return "\n".join((_HSS_LMS_HEAD, *lines, _HSS_LMS_TAIL, "")).encode()


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that must not be there yet, durably and with its mode from the beginning."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _KEY_FILE_MODE)
    with os.fdopen(file, "wb") as private:
        private.write(content)
        private.flush()
        os.fsync(private.fileno())
