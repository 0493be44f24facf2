"""Checks releases, directives and trust documents, encodes content for nodes; ports of that name.

Not the envelope's format: poleward_manifest, which every program shares.
"""

import hashlib

from poleward_gateway.domain.errors import ArtifactRejectedError
from poleward_gateway.domain.trust import Directive, Signers, TrustDocument
from poleward_gateway.ports.releases import VerifiedRelease
from poleward_manifest import bundle, directive, downgrade, envelope, image, trust, wheel_set
from poleward_manifest.errors import EnvelopeError


class ManifestVerifier:
    """Implements the port ReleaseVerifier."""

    def verify(self, encoded: bytes, signers: Signers) -> VerifiedRelease:
        """Check an envelope against who may sign."""
        digest = hashlib.sha256(encoded).digest()
        try:
            manifest = envelope.verify(encoded, signers.keys, signers.threshold)
        except EnvelopeError as error:
            raise ArtifactRejectedError(
                f"release {digest.hex()[:16]}… is refused: {error}"
            ) from error
        return VerifiedRelease(
            digest=digest,
            sequence=manifest.sequence,
            version=manifest.version,
            bundle_digest=manifest.bundle.digest,
            image_digest=manifest.image.digest if manifest.image else None,
            bundle_bytes=manifest.bundle.size_bytes,
            is_for_gateways=manifest.board_profile == wheel_set.PROFILE,
            downgrade=manifest.downgrade,
        )

    def covers(self, permission: str, subject: str, rollout: str) -> bool:
        """Tell whether a downgrade permission is for somebody in a rollout."""
        return downgrade.covers(permission, subject, rollout)

    def encode_bundle(self, plain: bytes) -> bytes:
        """Compress a bundle the way nodes inflate it."""
        return bundle.deflate(plain)

    def encode_image(self, plain: bytes) -> bytes:
        """Compress an image the way nodes inflate it, all pieces together."""
        return image.encode(plain)

    def piece_of_image(self, encoded: bytes, number: int) -> bytes | None:
        """Return one piece of an encoded image."""
        return image.piece(encoded, number)


class ChainVerifier:
    """Implements the port DocumentVerifier."""

    def verify_next(self, signed: bytes, previous: TrustDocument | None) -> TrustDocument:
        """Check a document that follows another one; the first one follows none."""
        try:
            if previous is None:
                document = trust.verify_first(signed)
            else:
                document = trust.verify_next(signed, trust.read(previous.signed))
        except EnvelopeError as error:
            raise ArtifactRejectedError(f"the trust document is refused: {error}") from error
        signers, directive_signers = (
            Signers(role.keys, role.threshold) for role in (document.release, document.directive)
        )
        return TrustDocument(
            document.version, signed, signers, directive_signers, document.expires_at_s
        )


class DirectiveVerifier:
    """Implements the port of that name."""

    def verify(self, signed: bytes, signers: Signers, *, release: bytes, subject: str) -> Directive:
        """Check who signed a directive and what it is about."""
        try:
            found = directive.verify(
                signed, signers.keys, signers.threshold, release=release, subject=subject
            )
        except EnvelopeError as error:
            raise ArtifactRejectedError(f"the directive is refused: {error}") from error
        return Directive(found.rollout, found.not_before_s, found.not_after_s)
