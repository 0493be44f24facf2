"""Signed releases: verified before they are listed, trusted keys.

Not their content's transfer (adapters/artifacts) nor their way to nodes (services/rollouts.py).
"""

import hashlib

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import InvalidError, NotFoundError, ReleaseRefusedError
from poleward_fleet.domain.releases import KEY_BYTES, Release, ReleaseKey
from poleward_fleet.ports.audit import AuditStore
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.releases import ArtifactStore, EnvelopeReader, ReleaseStore
from poleward_fleet.services.gateways import GatewayLinks


class ReleaseService:
    """Use cases around releases.

    Args:
        store: Where releases and keys are listed.
        artifacts: Envelopes and bundles by digest.
        reader: Verifies envelopes.
        audit: Where refused releases are recorded.
        links: Gateways are told of new keys.
        clock: Wall time.
    """

    def __init__(
        self,
        store: ReleaseStore,
        artifacts: ArtifactStore,
        reader: EnvelopeReader,
        audit: AuditStore,
        links: GatewayLinks,
        clock: Clock,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._reader = reader
        self._audit = audit
        self._links = links
        self._clock = clock

    async def publish(self, principal: Principal, envelope: bytes, notes: str) -> Release:
        """Verify an envelope whose bundle is uploaded, and list it.

        Raises:
            ReleaseRefusedError: The signature or the content does not verify; says which.
            ConflictError: Another release has its sequence number.
        """
        principal.require(Permission.PUBLISH)
        digest = hashlib.sha256(envelope).digest()
        try:
            release = await self._verified(digest, envelope, notes)
        except ReleaseRefusedError as refusal:
            reason = (("reason", str(refusal)),)
            await self._audit.append(
                AuditEntry(principal.name, "release.refused", digest.hex(), reason)
            )
            raise
        await self._artifacts.put(envelope)
        await self._store.put(
            release,
            AuditEntry(
                principal.name,
                "release.publish",
                digest.hex(),
                (("sequence", str(release.sequence)), ("version", release.version)),
            ),
        )
        return await self._store.get(digest) or release

    async def _verified(self, digest: bytes, envelope: bytes, notes: str) -> Release:
        keys = [key.public_key for key in await self._store.keys()]
        if not keys:
            raise ReleaseRefusedError("no release key is trusted yet; trust one first")
        content = self._reader.read(envelope, keys)
        size = await self._artifacts.size(content.bundle_digest)
        if size is None:
            raise ReleaseRefusedError(
                f"bundle {content.bundle_digest.hex()[:16]}… is not uploaded; upload it first"
            )
        if size != content.bundle_bytes:
            raise ReleaseRefusedError(
                f"the bundle has {size} bytes, the envelope says {content.bundle_bytes}"
            )
        return Release(
            digest=digest,
            version=content.version,
            sequence=content.sequence,
            board_profile=content.board_profile,
            published_at_ms=self._clock.now_ms(),
            notes=notes,
            bundle_digest=content.bundle_digest,
            bundle_bytes=content.bundle_bytes,
        )

    async def releases(self, principal: Principal) -> list[Release]:
        """Return the releases, newest first."""
        principal.require(Permission.SEE)
        return await self._store.releases()

    async def release(self, digest: bytes) -> Release:
        """Return one release.

        Raises:
            NotFoundError: There is none.
        """
        release = await self._store.get(digest)
        if release is None:
            raise NotFoundError(f"release {digest.hex()[:16]}… is not published")
        return release

    async def trust_key(self, principal: Principal, public_key: bytes, name: str) -> None:
        """Trust a public key: from now on its signature makes a release valid."""
        principal.require(Permission.TRUST_KEYS)
        if len(public_key) not in KEY_BYTES:
            raise InvalidError(
                "a release key has 32 bytes (Ed25519) or 60 (HSS-LMS), this one has "
                f"{len(public_key)}"
            )
        told = await self._store.put_key(
            ReleaseKey(public_key, name),
            self._clock.now_ms(),
            AuditEntry(principal.name, "release_key.trust", name, (("key", public_key.hex()),)),
        )
        self._links.desired_changed(told)
