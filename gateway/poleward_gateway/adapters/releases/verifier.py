"""Checks signed releases and encodes their content for nodes; port ReleaseVerifier.

Not the envelope's format: poleward_manifest, which every program shares.
"""

import hashlib
from collections.abc import Iterable

from poleward_gateway.domain.errors import ArtifactRejectedError
from poleward_gateway.ports import VerifiedRelease
from poleward_manifest import bundle, envelope
from poleward_manifest.errors import EnvelopeError


class ManifestVerifier:
    """Implements the port ReleaseVerifier."""

    def verify(self, encoded: bytes, trusted_keys: Iterable[bytes]) -> VerifiedRelease:
        """Check an envelope against the keys that may sign."""
        digest = hashlib.sha256(encoded).digest()
        try:
            manifest = envelope.verify(encoded, trusted_keys)
        except EnvelopeError as error:
            raise ArtifactRejectedError(
                f"release {digest.hex()[:16]}… is refused: {error}"
            ) from error
        return VerifiedRelease(
            digest=digest,
            sequence=manifest.sequence,
            version=manifest.version,
            component_digest=manifest.bundle.digest,
        )

    def encode_for_transfer(self, component: bytes) -> bytes:
        """Compress a bundle the way nodes inflate it."""
        return bundle.deflate(component)
