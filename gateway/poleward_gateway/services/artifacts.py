"""Release content: fetched once per gateway, verified before anybody is served.

Not who gets it when: services/updates.py.
"""

import asyncio
import hashlib
from collections.abc import Callable

import structlog

from poleward_gateway.domain.errors import ArtifactRejectedError, ArtifactUnavailableError
from poleward_gateway.ports import ArtifactSource, ArtifactStore, ReleaseVerifier, VerifiedRelease

_log = structlog.get_logger(__name__)

CONTENT_MAX_BYTES = 8 * 1024 * 1024
"""More than any release has; a source that sends more is not believed."""
FETCHES_MAX = 3
"""Whole fetches that do not hash to the digest, after which the source's copy counts as altered."""


class Artifacts:
    """Verified releases by the digest of their envelope.

    Args:
        release_keys: Returns the public keys that may sign now.
    """

    def __init__(
        self,
        store: ArtifactStore,
        source: ArtifactSource,
        verifier: ReleaseVerifier,
        release_keys: Callable[[], tuple[bytes, ...]],
    ) -> None:
        self._store = store
        self._source = source
        self._verifier = verifier
        self._release_keys = release_keys
        self._ready: dict[bytes, tuple[VerifiedRelease, tuple[bytes, ...]]] = {}
        self._locks: dict[bytes, asyncio.Lock] = {}
        self._transfers: dict[bytes, bytes] = {}
        self._mismatches: dict[bytes, int] = {}

    async def release(self, digest: bytes) -> VerifiedRelease:
        """Return a release that is ready to be served, fetching and verifying it first.

        Raises:
            ArtifactUnavailableError: It cannot be had now; try again later.
            ArtifactRejectedError: It must not be served, with the reason.
        """
        keys = self._release_keys()
        known = self._ready.get(digest)
        if known is not None and known[1] == keys:
            return known[0]
        async with self._locks.setdefault(digest, asyncio.Lock()):
            release = await self._prepare(digest, keys)
            self._ready[digest] = (release, keys)
            return release

    def envelope(self, digest: bytes) -> bytes | None:
        """Return the envelope of a release that is ready; None for anything else."""
        if digest not in self._ready:
            return None
        return self._store.read("envelope", digest)

    def transfer(self, component_digest: bytes) -> bytes | None:
        """Return a component as nodes download it; None when no release that is ready has it."""
        if all(r.component_digest != component_digest for r, _ in self._ready.values()):
            return None
        content = self._transfers.get(component_digest)
        if content is None:
            content = self._store.read("transfer", component_digest)
            if content is not None:
                # Nodes fetch it block by block: one file read for each would be slow.
                self._transfers = {component_digest: content}
        return content

    async def _prepare(self, digest: bytes, keys: tuple[bytes, ...]) -> VerifiedRelease:
        """Fetch what is missing and verify everything."""
        envelope = self._store.read("envelope", digest)
        if envelope is None:
            envelope = await self._fetch(digest)
        release = self._verifier.verify(envelope, keys)
        self._store.write("envelope", digest, envelope)
        if self._store.read("transfer", release.component_digest) is None:
            component = await self._fetch(release.component_digest)
            encoded = await asyncio.to_thread(self._verifier.encode_for_transfer, component)
            self._store.write("transfer", release.component_digest, encoded)
        _log.info("release_ready", version=release.version, sequence=release.sequence)
        return release

    async def _fetch(self, digest: bytes) -> bytes:
        """Download content by its digest, going on where an earlier attempt stopped."""
        content = bytearray(self._store.partial(digest))
        async for piece in self._source.download(digest, len(content)):
            self._store.append_partial(digest, len(content), piece)
            content += piece
            if len(content) > CONTENT_MAX_BYTES:
                break
        self._store.drop_partial(digest)
        if hashlib.sha256(content).digest() == digest:
            self._mismatches.pop(digest, None)
            return bytes(content)
        came = f"{len(content)} bytes came for {digest.hex()[:16]}… and do not hash to it"
        # A torn partial heals with the next fetch; an altered copy in the fleet does not.
        self._mismatches[digest] = self._mismatches.get(digest, 0) + 1
        if self._mismatches[digest] < FETCHES_MAX:
            raise ArtifactUnavailableError(f"{came}; they are fetched again from the start")
        del self._mismatches[digest]
        raise ArtifactRejectedError(
            f"{came}, {FETCHES_MAX} times; publish the release again, its copy in the fleet is "
            "altered"
        )
