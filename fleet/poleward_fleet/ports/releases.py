"""What the services need to keep releases and their content.

Not an implementation (adapters).
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.releases import Patch, Release


class ReleaseStore(Protocol):
    """Published releases."""

    async def put(self, release: Release, audit: AuditEntry) -> None:
        """List a release; listing the same again is harmless.

        Raises:
            ConflictError: A release with other components has this sequence number, or one with
                the same downgrade permission.
        """

    async def get(self, digest: bytes) -> Release | None:
        """Return a release by the digest of its envelope."""

    async def with_sequence(self, board_profile: str, sequence: int) -> Release | None:
        """Return the release of a kind of board that has a sequence number."""

    async def image_at(self, board_profile: str, sequence: int) -> bytes | None:
        """Return the image of the newest release up to a sequence number that has one."""

    async def releases(self) -> list[Release]:
        """Return the releases, newest first."""


@dataclass(frozen=True, slots=True)
class ReadEnvelope:
    """What a verified envelope says."""

    version: str
    sequence: int
    board_profile: str
    bundle_digest: bytes
    bundle_bytes: int
    image_digest: bytes | None = None
    image_bytes: int = 0
    downgrade: str = ""
    signers: tuple[bytes, ...] = ()  # key ids that it names, in its order


class EnvelopeReader(Protocol):
    """Verifies release envelopes."""

    def read(self, envelope: bytes, trusted_keys: Sequence[bytes], threshold: int) -> ReadEnvelope:
        """Verify that enough different trusted keys signed, and the form.

        Raises:
            ReleaseRefusedError: Says which check failed.
        """

    def check_contents(self, envelope: bytes, bundle: bytes, image: bytes | None) -> None:
        """Check that the components are those of the envelope, and of a form that can run.

        Raises:
            ReleaseRefusedError: Says what is wrong.
        """


class ArtifactStore(Protocol):
    """Content by digest, on disk, resumable."""

    async def put(self, content: bytes) -> bytes:
        """Store content as a whole and durably; return its digest."""

    async def stored_bytes(self, digest: bytes) -> tuple[int, bool]:
        """Return how many bytes are there and whether that is all of it."""

    async def size(self, digest: bytes) -> int | None:
        """Return the size of complete content, None when it is not there."""

    def read(self, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        """Yield complete content from an offset in pieces of at most 64 KiB.

        Raises:
            NotFoundError: It is not there, or not complete.
        """

    async def write(
        self, digest: bytes, total_bytes: int, offset: int, pieces: AsyncIterator[bytes]
    ) -> tuple[int, bool]:
        """Append an upload; return stored bytes and whether the digest matched at the end.

        Raises:
            InvalidError: The offset is not where the upload stands, or the digest is wrong
                (then the upload starts over).
        """


class PatchStore(Protocol):
    """Which patches were made, by the digests of both components."""

    async def get(self, source_digest: bytes, target_digest: bytes) -> Patch | None:
        """Return what came of making a patch, None when nobody tried."""

    async def put(
        self, source_digest: bytes, target_digest: bytes, patch: Patch, now_ms: int
    ) -> None:
        """Keep what came of making a patch; a second time is harmless."""


class PatchMaker(Protocol):
    """Makes patches, away from the event loop."""

    async def make(self, source: bytes, target: bytes) -> bytes | None:
        """Make a patch and try it; None when the whole component is smaller.

        Raises:
            UnavailableError: It could not be made; says why.
        """
