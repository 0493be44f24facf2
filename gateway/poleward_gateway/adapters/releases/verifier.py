"""Checks releases and trust documents, encodes content for nodes; ports of that name.

Not the envelope's format: poleward_manifest, which every program shares.
"""

import hashlib

from poleward_gateway.domain.errors import ArtifactRejectedError
from poleward_gateway.domain.trust import Signers, TrustDocument
from poleward_gateway.ports.releases import VerifiedRelease
from poleward_manifest import bundle, envelope, image, trust, wheel_set
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
        )

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
        role = document.release
        signers = Signers(role.keys, role.threshold)
        return TrustDocument(document.version, signed, signers, document.expires_at_s)
