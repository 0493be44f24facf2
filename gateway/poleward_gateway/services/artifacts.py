"""Release content: fetched once per gateway, verified before anybody is served.

Not who gets it when: services/updates.py.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable

import structlog

from poleward_gateway.domain.errors import (
    ArtifactDamagedError,
    ArtifactRejectedError,
    ArtifactUnavailableError,
)
from poleward_gateway.domain.trust import Signers
from poleward_gateway.ports.clock import Tally
from poleward_gateway.ports.releases import (
    ArtifactSource,
    ArtifactStore,
    PatchState,
    ReleaseVerifier,
    VerifiedRelease,
)

_log = structlog.get_logger(__name__)

CONTENT_MAX_BYTES = 8 * 1024 * 1024
"""More than any release for nodes has; a source that sends more is not believed."""
HELD_MAX = 4
"""Transfers kept in memory: nodes fetch block by block, and one file read for each is slow."""


class Artifacts:
    """Verified releases by the digest of their envelope, and what nodes download for them.

    A patch cannot be verified here, because the gateway does not have what it patches: it is what
    the fleet says it is, and what a node builds from it must have the digest that was signed.

    Args:
        signers: Returns who may sign now.
    """

    def __init__(
        self,
        store: ArtifactStore,
        source: ArtifactSource,
        verifier: ReleaseVerifier,
        signers: Callable[[], Signers],
        tally: Tally,
    ) -> None:
        self._store = store
        self._source = source
        self._verifier = verifier
        self._signers = signers
        self._tally = tally
        self._ready: dict[bytes, tuple[VerifiedRelease, Signers]] = {}
        self._locks: dict[bytes, asyncio.Lock] = {}
        self._held: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._without_patch: set[tuple[bytes, int]] = set()

    async def release(self, digest: bytes) -> VerifiedRelease:
        """Return a release whose envelope is here and verified, fetching it first.

        Raises:
            ArtifactUnavailableError: It cannot be had now; try again later.
            ArtifactDamagedError: The fleet's copy is not what it should be.
            ArtifactRejectedError: It must not be served, with the reason.
        """
        signers = self._signers()
        if signers.expired_document:
            raise ArtifactRejectedError(
                f"trust document {signers.expired_document} has expired; publish the next one"
            )
        known = self._ready.get(digest)
        if known is not None and self.envelope(digest) is not None:
            return known[0]
        async with self._lock(digest):
            envelope = self._store.read("envelope", digest)
            if envelope is None:
                envelope = await self.fetch(digest)
            release = self._verifier.verify(envelope, signers)
            self._store.write("envelope", digest, envelope)
            self._ready[digest] = (release, signers)
        _log.info("release_verified", version=release.version, sequence=release.sequence)
        return release

    async def prepare(self, release: VerifiedRelease, source_sequence: int) -> bool:
        """Have here what a node needs that runs the release with a sequence number.

        That is a patch of each component, or the whole where there is no patch or it has to come
        anyway.

        Returns:
            False while the fleet makes the patch: ask again soon.

        Raises:
            ArtifactUnavailableError: It cannot be had now; try again later.
            ArtifactDamagedError: The fleet's copy of a component is not what it should be.
        """
        states = []
        for component in release.components:
            async with self._lock(component):
                states.append(await self._prepare_patch(release, component, source_sequence))
                if states[-1] is PatchState.NONE:
                    await self._prepare_whole(component)
        return PatchState.MAKING not in states

    async def prepare_whole(self, component_digest: bytes) -> None:
        """Have the whole component here, for a node that has no use for the patch.

        Raises:
            ArtifactUnavailableError, ArtifactDamagedError: As `prepare`.
        """
        async with self._lock(component_digest):
            await self._prepare_whole(component_digest)

    async def component(self, release: VerifiedRelease) -> bytes:
        """Return the component of a release for the gateway itself, fetched and verified.

        Raises:
            ArtifactUnavailableError, ArtifactDamagedError: As `prepare`.
        """
        async with self._lock(release.bundle_digest):
            return await self.fetch(release.bundle_digest, release.bundle_bytes)

    def envelope(self, digest: bytes) -> bytes | None:
        """Return the envelope of a release that is ready; None for anything else.

        Whoever may not sign any more makes a release unready: it is verified again.
        """
        if digest not in self._ready or self._ready[digest][1] != self._signers():
            return None
        return self._store.read("envelope", digest)

    def whole(self, component_digest: bytes, piece: int | None = None) -> bytes | None:
        """Return a bundle, or a piece of an image, as nodes download it; None for none here."""
        content = self._transfer("whole", component_digest)
        if content is None or self._is_image(component_digest) is (piece is None):
            return None
        return content if piece is None else self._verifier.piece_of_image(content, piece)

    def patch(self, component_digest: bytes, source_sequence: int) -> bytes | None:
        """Return the patch to a component from that of another release; None for none."""
        return self._transfer(_patch_kind(source_sequence), component_digest)

    def awaits(self, component_digest: bytes) -> bool:
        """Tell whether a component is of a release that is ready, and not here itself."""
        return self._serves(component_digest) and (
            self._store.read("whole", component_digest) is None
        )

    def _serves(self, component_digest: bytes) -> bool:
        now = self._signers()
        return any(
            component_digest in release.components and signers == now
            for release, signers in self._ready.values()
        )

    def _is_image(self, component_digest: bytes) -> bool:
        return any(release.image_digest == component_digest for release, _ in self._ready.values())

    def _lock(self, digest: bytes) -> asyncio.Lock:
        return self._locks.setdefault(digest, asyncio.Lock())

    def _transfer(self, kind: str, component_digest: bytes) -> bytes | None:
        if not self._serves(component_digest):
            return None
        content = self._held.get((kind, component_digest))
        if content is None:
            content = self._store.read(kind, component_digest)
            if content is None:
                return None
            self._held[(kind, component_digest)] = content
            if len(self._held) > HELD_MAX:
                self._held.popitem(last=False)
        self._held.move_to_end((kind, component_digest))
        return content

    async def _prepare_patch(
        self, release: VerifiedRelease, component: bytes, source_sequence: int
    ) -> PatchState:
        """Have a patch here if the fleet has one."""
        if self._store.read(_patch_kind(source_sequence), component) is not None:
            return PatchState.READY
        if (component, source_sequence) in self._without_patch:
            return PatchState.NONE
        try:
            patch = await self._source.find_patch(release.digest, component, source_sequence)
        except ArtifactUnavailableError:
            if self._store.read("whole", component) is None:
                raise
            return PatchState.NONE  # the fleet is away and the whole is here
        if patch.state is PatchState.READY:
            try:
                content = await self.fetch(patch.digest)
            except ArtifactDamagedError as error:
                _log.warning("patch_damaged", version=release.version, error=str(error))
                return PatchState.NONE  # the whole does as well
            self._store.write(_patch_kind(source_sequence), component, content)
            _log.info("patch_ready", version=release.version, bytes=len(content))
        elif patch.state is PatchState.NONE:
            self._without_patch.add((component, source_sequence))
        return patch.state

    async def _prepare_whole(self, component_digest: bytes) -> None:
        if self._store.read("whole", component_digest) is not None:
            return
        component = await self.fetch(component_digest)
        is_image = self._is_image(component_digest)
        encode = self._verifier.encode_image if is_image else self._verifier.encode_bundle
        encoded = await asyncio.to_thread(encode, component)
        self._store.write("whole", component_digest, encoded)

    async def fetch(self, digest: bytes, limit_bytes: int = CONTENT_MAX_BYTES) -> bytes:
        """Download content by its digest, going on where an earlier attempt stopped.

        Raises:
            ArtifactUnavailableError, ArtifactDamagedError: As `prepare`.
        """
        begun = self._store.partial(digest)
        content = await self._download(digest, begun, limit_bytes)
        if begun and hashlib.sha256(content).digest() != digest:
            # What was here may have been torn.
            content = await self._download(digest, b"", limit_bytes)
        if hashlib.sha256(content).digest() != digest:
            raise ArtifactDamagedError(
                f"{len(content)} bytes came for {digest.hex()[:16]}… and do not hash to it; "
                "publish the release again, its copy in the fleet is altered"
            )
        return content

    async def _download(self, digest: bytes, begun: bytes, limit_bytes: int) -> bytes:
        content = bytearray(begun)
        async for piece in self._source.download(digest, len(content)):
            self._store.append_partial(digest, len(content), piece)
            content += piece
            self._tally.count("release_bytes_fetched", len(piece))
            if len(content) > limit_bytes:
                break
        self._store.drop_partial(digest)
        return bytes(content)


def _patch_kind(source_sequence: int) -> str:
    return f"patch-{source_sequence}"
