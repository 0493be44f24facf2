"""Releases: fetched, verified, kept; and who may sign them.

Not how the gateway installs its own: `software`.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from poleward_gateway.domain.trust import Directive, Signers, TrustDocument


@dataclass(frozen=True, slots=True)
class VerifiedRelease:
    """A release whose signature and content were checked.

    Args:
        digest: SHA-256 of the envelope.
        sequence: Monotonic sequence number.
        version: For people.
        bundle_digest: SHA-256 of the bundle, or of the gateway's set of wheels.
        bundle_bytes: Its size.
        is_for_gateways: It is not for nodes.
        image_digest: SHA-256 of the image; None for a release without one.
        downgrade: Who may go back to it from a newer release; empty for nobody.
    """

    digest: bytes
    sequence: int
    version: str
    bundle_digest: bytes
    bundle_bytes: int
    is_for_gateways: bool
    image_digest: bytes | None = None
    downgrade: str = ""

    @property
    def components(self) -> tuple[bytes, ...]:
        """Digests of all that nodes download."""
        bundle = self.bundle_digest
        return (bundle,) if self.image_digest is None else (bundle, self.image_digest)


class PatchState(Enum):
    """How far the fleet is with a patch."""

    NONE = "none"
    MAKING = "making"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class FoundPatch:
    """What the fleet says about a patch; the digest is set when it is ready."""

    state: PatchState
    digest: bytes = b""


class ReleaseVerifier(Protocol):
    """Checks signed releases."""

    def verify(self, envelope: bytes, signers: Signers) -> VerifiedRelease:
        """Check an envelope.

        Raises:
            ArtifactRejectedError: The signature or the content is not acceptable; never serve it.
        """

    def covers(self, permission: str, subject: str, rollout: str) -> bool:
        """Tell whether a downgrade permission is for somebody in a rollout; empty for none."""

    def encode_bundle(self, plain: bytes) -> bytes:
        """Compress a bundle the way nodes expect it."""

    def encode_image(self, plain: bytes) -> bytes:
        """Compress an image the way nodes expect it, all pieces together."""

    def piece_of_image(self, encoded: bytes, number: int) -> bytes | None:
        """Return one piece of an encoded image; None when there are not so many."""


class DocumentVerifier(Protocol):
    """Checks trust documents."""

    def verify_next(self, signed: bytes, previous: TrustDocument | None) -> TrustDocument:
        """Check a document that follows another one; the first one follows none.

        Raises:
            ArtifactRejectedError: It does not follow; never give it to a node.
        """


class DirectiveVerifier(Protocol):
    """Checks directives."""

    def verify(self, signed: bytes, signers: Signers, *, release: bytes, subject: str) -> Directive:
        """Check who signed a directive and what it is about; not whether it holds now.

        Raises:
            ArtifactRejectedError: It is forged, or about somebody or something else.
        """


class TrustStore(Protocol):
    """Trust documents; survive restarts."""

    def documents(self) -> Iterable[bytes]:
        """Return the documents, number 1 first."""

    def write(self, version: int, signed: bytes) -> None:
        """Store a document; either all of it is there afterwards or nothing."""


class ArtifactStore(Protocol):
    """Release content on disk, by digest."""

    def read(self, kind: str, digest: bytes) -> bytes | None:
        """Return content; None when it is not there. `kind` is a short name."""

    def write(self, kind: str, digest: bytes, content: bytes) -> None:
        """Store content; either all of it is there afterwards or nothing.

        What was not read for longest may be removed to make room.
        """

    def partial(self, digest: bytes) -> bytes:
        """Return what an interrupted download left."""

    def append_partial(self, digest: bytes, offset: int, content: bytes) -> None:
        """Keep a piece of a download."""

    def drop_partial(self, digest: bytes) -> None:
        """Forget a download."""


class ArtifactSource(Protocol):
    """Where release content comes from."""

    def download(self, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        """Stream content from an offset.

        Raises:
            ArtifactUnavailableError: It cannot be had now; try again later.
            ArtifactDamagedError: The source has none.
        """

    async def find_patch(
        self, release_digest: bytes, component_digest: bytes, source_sequence: int
    ) -> FoundPatch:
        """Ask for the patch to a component from that of the release with a sequence number.

        Raises:
            ArtifactUnavailableError: The fleet does not answer; try again later.
        """
