"""Verifies release envelopes with the release reader.

Not the format (poleward_manifest, docs/ota.md).
"""

from collections.abc import Sequence

from poleward_fleet.domain.errors import ReleaseRefusedError
from poleward_fleet.ports.releases import ReadEnvelope
from poleward_manifest.envelope import verify
from poleward_manifest.errors import EnvelopeError


class SuitEnvelopeReader:
    """EnvelopeReader for SUIT envelopes signed by one trusted key."""

    def read(self, envelope: bytes, trusted_keys: Sequence[bytes]) -> ReadEnvelope:
        """Verify signature and form."""
        try:
            manifest = verify(envelope, trusted_keys)
        except EnvelopeError as error:
            raise ReleaseRefusedError(str(error)) from error
        return ReadEnvelope(
            version=manifest.version,
            sequence=manifest.sequence,
            board_profile=manifest.board_profile,
            bundle_digest=manifest.bundle.digest,
            bundle_bytes=manifest.bundle.size_bytes,
        )
