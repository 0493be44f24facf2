"""Verifies release envelopes and trust documents with the release reader.

Not the format (poleward_manifest, docs/ota.md).
"""

from collections.abc import Sequence

from poleward_fleet.domain.errors import ReleaseRefusedError
from poleward_fleet.domain.trust import KeyRole, TrustDocument
from poleward_fleet.ports.releases import ReadEnvelope
from poleward_manifest import contents, trust
from poleward_manifest.envelope import read, signers, verify
from poleward_manifest.errors import EnvelopeError


class SuitEnvelopeReader:
    """EnvelopeReader for SUIT envelopes."""

    def read(self, envelope: bytes, trusted_keys: Sequence[bytes], threshold: int) -> ReadEnvelope:
        """Verify that enough different trusted keys signed, and the form."""
        try:
            manifest = verify(envelope, trusted_keys, threshold)
        except EnvelopeError as error:
            raise ReleaseRefusedError(str(error)) from error
        return ReadEnvelope(
            version=manifest.version,
            sequence=manifest.sequence,
            board_profile=manifest.board_profile,
            bundle_digest=manifest.bundle.digest,
            bundle_bytes=manifest.bundle.size_bytes,
            image_digest=manifest.image.digest if manifest.image else None,
            image_bytes=manifest.image.size_bytes if manifest.image else 0,
            downgrade=manifest.downgrade,
            signers=signers(envelope),
        )

    def check_contents(self, envelope: bytes, bundle: bytes, image: bytes | None) -> None:
        """Check that the components are those of the envelope, and of a form that can run."""
        try:
            contents.check(read(envelope), bundle, image)
        except EnvelopeError as error:
            raise ReleaseRefusedError(str(error)) from error


class SignedDocumentReader:
    """DocumentReader for trust documents."""

    def read_next(
        self, signed: bytes, previous: bytes | None, factory_keys: Sequence[bytes]
    ) -> TrustDocument:
        """Verify that a document follows the previous one."""
        try:
            before = trust.read(previous) if previous else trust.of_factory(factory_keys)
            document = trust.verify_next(signed, before)
        except EnvelopeError as error:
            raise ReleaseRefusedError(str(error)) from error
        return TrustDocument(
            version=document.version,
            digest=trust.digest(signed),
            signed=signed,
            root=_role(document.root),
            release=_role(document.release),
            directive=_role(document.directive),
            expires_at_ms=document.expires_at_s * 1000,
        )


def _role(role: trust.Role) -> KeyRole:
    return KeyRole(role.keys, role.threshold)
