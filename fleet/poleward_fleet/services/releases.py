"""Signed releases: verified before they are listed.

Not who may sign them (services/trust.py), their content's transfer (adapters/artifacts) nor their
way to nodes (services/rollouts.py).
"""

import asyncio
import hashlib

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import NotFoundError, ReleaseRefusedError
from poleward_fleet.domain.releases import Release, ReleaseDetail
from poleward_fleet.domain.sbom import Affected, read_sbom, version_order
from poleward_fleet.ports.audit import AuditStore
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.components import ComponentStore
from poleward_fleet.ports.releases import ArtifactStore, EnvelopeReader, ReleaseStore
from poleward_fleet.ports.trust import TrustStore
from poleward_fleet.services.permissions import AreaTree

LISTED_MAX = 1000
"""Affected nodes that are named; the others are counted."""


class ReleaseService:
    """Use cases around releases.

    Args:
        store: Where releases are listed.
        components: What releases are made of.
        trust: Who may sign.
        artifacts: Envelopes and bundles by digest.
        reader: Verifies envelopes.
        audit: Where refused releases are recorded.
        areas: Tree for rights.
        clock: Wall time.
    """

    def __init__(
        self,
        store: ReleaseStore,
        components: ComponentStore,
        trust: TrustStore,
        artifacts: ArtifactStore,
        reader: EnvelopeReader,
        audit: AuditStore,
        areas: AreaTree,
        clock: Clock,
    ) -> None:
        self._store = store
        self._components = components
        self._trust = trust
        self._artifacts = artifacts
        self._reader = reader
        self._audit = audit
        self._areas = areas
        self._clock = clock

    async def publish(
        self, principal: Principal, envelope: bytes, notes: str, sbom: bytes = b""
    ) -> Release:
        """Verify an envelope whose components are uploaded, and list it.

        Raises:
            ReleaseRefusedError: The signature or the content does not verify; says which.
            InvalidError: The bill of materials is not that of its bundle.
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
        components = read_sbom(sbom, release.bundle_digest) if sbom else ()
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
        await self._components.put(digest, components)
        return await self._store.get(digest) or release

    async def affected(self, principal: Principal, component: str, below: str) -> Affected:
        """Find the nodes that run a component in a version below another one.

        Raises:
            InvalidError: That is no version.
        """
        areas = await self._areas.allowed(principal, Permission.SEE)
        return await self._components.affected(component, version_order(below), areas, LISTED_MAX)

    async def _verified(self, digest: bytes, envelope: bytes, notes: str) -> Release:
        trust = await self._trust.trust()
        if not trust.signers:
            raise ReleaseRefusedError("no release key is trusted; trust one first")
        now_ms = self._clock.now_ms()
        if trust.newest and trust.newest.has_expired(now_ms):
            raise ReleaseRefusedError(
                f"trust document {trust.newest.version} has expired; publish the next one first"
            )
        content = self._reader.read(envelope, trust.signers, trust.threshold)
        bundle = await self._uploaded("bundle", content.bundle_digest, content.bundle_bytes)
        image = None
        if content.image_digest is not None:
            image = await self._uploaded("image", content.image_digest, content.image_bytes)
        await asyncio.to_thread(self._reader.check_contents, envelope, bundle, image)
        return Release(
            digest=digest,
            version=content.version,
            sequence=content.sequence,
            board_profile=content.board_profile,
            published_at_ms=now_ms,
            notes=notes,
            bundle_digest=content.bundle_digest,
            bundle_bytes=content.bundle_bytes,
            image_digest=content.image_digest,
            image_bytes=content.image_bytes,
            downgrade=content.downgrade,
            signers=content.signers,
        )

    async def _uploaded(self, name: str, digest: bytes, size_bytes: int) -> bytes:
        found_bytes = await self._artifacts.size(digest)
        if found_bytes is None:
            raise ReleaseRefusedError(
                f"{name} {digest.hex()[:16]}… is not uploaded; upload it first"
            )
        if found_bytes != size_bytes:
            raise ReleaseRefusedError(
                f"the {name} has {found_bytes} bytes, the envelope says {size_bytes}"
            )
        return b"".join([piece async for piece in self._artifacts.read(digest, 0)])

    async def releases(self, principal: Principal) -> list[Release]:
        """Return the releases, newest first."""
        principal.require(Permission.SEE)
        return await self._store.releases()

    async def detail(self, principal: Principal, digest: bytes) -> ReleaseDetail:
        """Return a release with who signed it and what it is made of.

        Raises:
            NotFoundError: There is none.
        """
        principal.require(Permission.SEE)
        release = await self.release(digest)
        keys = {key.key_id: key for key in (await self._trust.trust()).keys}
        signers = tuple((key_id, keys.get(key_id)) for key_id in release.signers)
        return ReleaseDetail(release, signers, await self._components.of_release(digest))

    async def release(self, digest: bytes) -> Release:
        """Return one release.

        Raises:
            NotFoundError: There is none.
        """
        release = await self._store.get(digest)
        if release is None:
            raise NotFoundError.of("no_release", digest=digest.hex()[:16])
        return release
