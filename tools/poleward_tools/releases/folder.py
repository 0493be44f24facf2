"""A release on disk between building and publishing: a folder with its contents and its envelope.

It neither builds nor signs nor uploads.
"""

from dataclasses import dataclass
from pathlib import Path

from poleward_manifest import contents
from poleward_manifest import envelope as envelopes

_BUNDLE = "bundle.cbor"
_IMAGE = "image.bin"
_ENVELOPE = "envelope.cbor"
_SBOM = "sbom.cdx.json"


class ReleaseFolderError(Exception):
    """A release folder cannot be written or read; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """What a release folder holds; whether it is trustworthy is not said."""

    bundle: bytes
    envelope: bytes
    image: bytes | None = None


def save(folder: Path, release: StoredRelease) -> None:
    """Write a release into a folder, replacing the one in it.

    Raises:
        ReleaseFolderError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _BUNDLE).write_bytes(release.bundle)
        (folder / _ENVELOPE).write_bytes(release.envelope)
        if release.image is None:
            (folder / _IMAGE).unlink(missing_ok=True)
        else:
            (folder / _IMAGE).write_bytes(release.image)
    except OSError as error:
        raise ReleaseFolderError(f"{folder} cannot be written: {error.strerror}") from error


def save_sbom(folder: Path, sbom: bytes) -> None:
    """Write a release's bill of materials beside it.

    Raises:
        ReleaseFolderError: it cannot be written.
    """
    try:
        (folder / _SBOM).write_bytes(sbom)
    except OSError as error:
        raise ReleaseFolderError(f"{folder} cannot be written: {error.strerror}") from error


def load_sbom(folder: Path) -> bytes:
    """Read a release's bill of materials; empty where there is none."""
    try:
        return (folder / _SBOM).read_bytes()
    except OSError:
        return b""


def load(folder: Path) -> StoredRelease:
    """Read a release and check that its contents are what its envelope names.

    Raises:
        ReleaseFolderError: there is none.
        EnvelopeError: the two do not fit, the envelope is not sound, or the contents cannot run.
    """
    try:
        image = folder / _IMAGE
        release = StoredRelease(
            bundle=(folder / _BUNDLE).read_bytes(),
            envelope=(folder / _ENVELOPE).read_bytes(),
            image=image.read_bytes() if image.is_file() else None,
        )
    except OSError as error:
        raise ReleaseFolderError(
            f"{folder} does not hold a release ({error.strerror}); "
            "make one with `poleward release build`"
        ) from error
    contents.check(envelopes.read(release.envelope), release.bundle, release.image)
    return release
