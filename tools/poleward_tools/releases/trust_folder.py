"""Trust documents and the keys that they name as files: `trust-1.cbor`, `root-1.pem` and so on.

Not their form (poleward_manifest.trust), and nothing is published here.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from poleward_manifest import trust
from poleward_manifest.signatures import SigningKey, key_id, public_bytes
from poleward_manifest.trust import Role, TrustDocument
from poleward_tools.releases import keys

DAY_S = 24 * 3600


class TrustFileError(Exception):
    """A trust document cannot be written or read; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Template:
    """How many keys a role has and how many of them sign."""

    root_keys: int
    root_threshold: int
    release_keys: int
    release_threshold: int


TEMPLATES = {
    "demo": Template(1, 1, 1, 1),
    "production": Template(3, 2, 3, 2),
}


def create(
    folder: Path,
    template: Template,
    *,
    directive_keys: Sequence[bytes],
    factory_keys: Sequence[SigningKey],
    expires_at_s: int,
) -> Path:
    """Make the keys of a template and document number 1, signed by all root and factory keys.

    Args:
        folder: for the files; made when absent.
        template: how many keys.
        directive_keys: public keys of whoever tells nodes what to run.
        factory_keys: release keys that fleet and nodes trust already.
        expires_at_s: Unix seconds.

    Raises:
        ReleaseKeyError, TrustFileError: a file is there already or cannot be written.
        EnvelopeError: the document is not possible.
    """
    path = document_path(folder, 1)
    if path.exists():
        raise TrustFileError(f"{path} is there already; `poleward keys rotate` makes the next one")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise TrustFileError(f"{folder} cannot be made: {error.strerror}") from error
    root, release = (
        [keys.create_key(folder / f"{name}-{number}.pem") for number in range(1, count + 1)]
        for name, count in (("root", template.root_keys), ("release", template.release_keys))
    )
    document = TrustDocument(
        1,
        expires_at_s,
        Role(tuple(map(public_bytes, root)), template.root_threshold),
        Role(tuple(map(public_bytes, release)), template.release_threshold),
        Role(tuple(directive_keys), 1),
    )
    save(path, trust.sign(document, [*root, *factory_keys]))
    return path


def changed(
    role: Role, *, add: Sequence[bytes], drop: Sequence[str], threshold: int | None
) -> Role:
    """Give a role with keys added and others, named by the start of their ids, left out.

    Raises:
        TrustFileError: an id names no key or several.
    """
    left = list(role.keys)
    for name in drop:
        found = [key for key in left if key_id(key).hex().startswith(name.lower())]
        if len(found) != 1 or not name:
            raise TrustFileError(
                f"{name!r} names {len(found)} keys of the role; give a whole key id of "
                "`poleward keys list`"
            )
        left.remove(found[0])
    left += [key for key in add if key not in left]
    return Role(tuple(left), role.threshold if threshold is None else threshold)


def document_path(folder: Path, version: int) -> Path:
    """Name the file of a document."""
    return folder / f"trust-{version}.cbor"


def newest(place: Path) -> Path:
    """Find the newest document of a folder; a file is itself.

    Raises:
        TrustFileError: there is none.
    """
    if place.is_file():
        return place
    found = list(place.glob("trust-*.cbor"))
    if not found:
        raise TrustFileError(
            f"{place} holds no trust document; make one with `poleward keys create`"
        )
    return max(found, key=lambda path: (len(path.name), path.name))


def store_chain(folder: Path, documents: Sequence[bytes]) -> Path:
    """Write a chain of documents, from number 1 on, beside those that are there; return the newest.

    Raises:
        TrustFileError: there is none, or a file holds another document of the same number.
        EnvelopeError: one does not follow the one before; nothing was written.
    """
    if not documents:
        raise TrustFileError(
            "the fleet has no trust document; `poleward keys publish` gives it one"
        )
    previous = trust.verify_first(documents[0])
    for signed in documents[1:]:
        previous = trust.verify_next(signed, previous)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrustFileError(f"{folder} cannot be made: {error.strerror}") from error
    for version, signed in enumerate(documents, start=1):
        path = document_path(folder, version)
        if path.exists() and trust.read(load(path)) != trust.read(signed):
            raise TrustFileError(f"{path} is another document than the fleet's; move it away")
        save(path, signed)
    return document_path(folder, len(documents))


def load(path: Path) -> bytes:
    """Read a document's file.

    Raises:
        TrustFileError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrustFileError(f"{path} cannot be read: {error.strerror}") from error


def save(path: Path, signed: bytes) -> None:
    """Write a document's file.

    Raises:
        TrustFileError: it cannot be written.
    """
    try:
        path.write_bytes(signed)
    except OSError as error:
        raise TrustFileError(f"{path} cannot be written: {error.strerror}") from error


def in_days(days: int) -> int:
    """Give the Unix second so many days from now."""
    return int(time.time()) + days * DAY_S
