"""Patches between releases: made once for each pair that is in the field, when first asked for.

Not their format (poleward_manifest.patch), and not a promise: a node takes the whole component
when there is no patch.
"""

import asyncio
import hashlib

import structlog

from poleward_fleet.domain.errors import FleetError, NotFoundError, UnavailableError
from poleward_fleet.domain.releases import Patch, PatchState, Release
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.releases import ArtifactStore, PatchMaker, PatchStore, ReleaseStore

_log = structlog.get_logger(__name__)

WAITING_MAX = 64
"""Pairs that wait to be made. More are not noted: whoever asked asks again."""

_Pair = tuple[bytes, bytes]


class PatchService:
    """Use cases around patches, and the loop that makes them.

    Args:
        store: Which patches there are.
        releases: Published releases.
        artifacts: Components, and where patches are kept.
        maker: Makes them.
        clock: Wall time.
    """

    def __init__(
        self,
        store: PatchStore,
        releases: ReleaseStore,
        artifacts: ArtifactStore,
        maker: PatchMaker,
        clock: Clock,
    ) -> None:
        self._store = store
        self._releases = releases
        self._artifacts = artifacts
        self._maker = maker
        self._clock = clock
        self._waiting: dict[_Pair, bytes] = {}
        self._failed: set[_Pair] = set()
        self._woken = asyncio.Event()

    async def patch(
        self, release_digest: bytes, component_digest: bytes, source_sequence: int
    ) -> Patch:
        """Return the patch to a component of a release from what a node runs; begin one if needed.

        The image that a node runs is taken to be that of the newest release it can have had.

        Raises:
            NotFoundError: The release is not published, or has no such component.
        """
        release = await self._releases.get(release_digest)
        if release is None:
            raise NotFoundError(f"release {release_digest.hex()[:16]}… is not published")
        source = await self._source(release, component_digest, source_sequence)
        if source is None:
            return Patch(PatchState.NONE)
        pair = source, component_digest
        found = await self._store.get(*pair)
        if found is not None:
            return found
        if pair in self._failed:
            return Patch(PatchState.NONE)
        if len(self._waiting) < WAITING_MAX:
            self._waiting[pair] = release_digest
            self._woken.set()
        return Patch(PatchState.MAKING)

    def in_work(self, release_digest: bytes) -> int:
        """Count the patches to a release that are still made."""
        return sum(wanted == release_digest for wanted in self._waiting.values())

    async def _source(
        self, release: Release, component_digest: bytes, sequence: int
    ) -> bytes | None:
        """Return the digest of what a node runs in the place of a component."""
        if component_digest == release.image_digest:
            return await self._releases.image_at(release.board_profile, sequence)
        if component_digest != release.bundle_digest:
            raise NotFoundError(
                f"release {release.digest.hex()[:16]}… has no component {component_digest.hex()}"
            )
        source = await self._releases.with_sequence(release.board_profile, sequence)
        return None if source is None else source.bundle_digest

    async def run(self) -> None:
        """Make what is waited for, for ever; cancelled by its owner."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                pair = next(iter(self._waiting))
                try:
                    await self._make(pair)
                except FleetError as error:
                    # Nodes wait for the answer: they get the whole component now.
                    self._failed.add(pair)
                    _log.warning("patch_not_made", target=pair[1].hex(), reason=str(error))
                finally:
                    del self._waiting[pair]

    async def _make(self, pair: _Pair) -> None:
        source, target = [await self._content(digest) for digest in pair]
        made = await self._maker.make(source, target)
        patch = Patch(PatchState.NONE)
        if made is not None:
            patch = Patch(PatchState.READY, await self._artifacts.put(made), len(made))
        await self._store.put(*pair, patch, self._clock.now_ms())
        _log.info(
            "patch_made", target=pair[1].hex(), whole_bytes=len(target), bytes=patch.size_bytes
        )

    async def _content(self, digest: bytes) -> bytes:
        content = b"".join([piece async for piece in self._artifacts.read(digest, 0)])
        if hashlib.sha256(content).digest() != digest:
            raise UnavailableError(
                f"the stored copy of {digest.hex()} is altered; publish its release again"
            )
        return content
