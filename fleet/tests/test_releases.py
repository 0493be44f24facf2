"""Releases are verified before they are listed."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from release_builders import BUNDLE, envelope, publish, upload

from fleet_rig import ADMIN
from poleward_fleet.adapters.artifacts.file_store import FileArtifactStore
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    ReleaseRefusedError,
)
from poleward_manifest import bundle


async def test_signed_release_is_listed_once(fleet: Fleet) -> None:
    release = await publish(fleet)
    again = await fleet.releases.publish(ADMIN, envelope(), "other notes")
    assert again == release
    assert (release.version, release.sequence, release.bundle_bytes) == ("1.2.0", 2, len(BUNDLE))
    assert await fleet.releases.releases(ADMIN) == [release]
    assert await fleet.artifacts.size(release.digest) == len(envelope())
    detail = await fleet.releases.detail(ADMIN, release.digest)
    ((kid, key),) = detail.signers
    assert key is not None
    assert (detail.release, kid, detail.components) == (release, key.key_id, ())
    with pytest.raises(NotFoundError):
        await fleet.releases.detail(ADMIN, bytes(32))


async def test_bad_releases_are_refused_with_the_reason_and_recorded(fleet: Fleet) -> None:
    with pytest.raises(ReleaseRefusedError, match="no release key is trusted"):
        await fleet.releases.publish(ADMIN, envelope(), "")
    await publish(fleet)
    altered = bytearray(envelope(3))
    altered[-1] ^= 1
    for bad, reason in (
        (bytes(altered), "altered|digest|fit"),
        (envelope(3, Ed25519PrivateKey.generate()), "trusted"),
        (envelope(3)[:-5], "."),
        (b"", "."),
        (b"garbage" * 99, "."),
        (envelope(3, bundle=b"never uploaded"), "not uploaded"),
    ):
        with pytest.raises(ReleaseRefusedError, match=reason):
            await fleet.releases.publish(ADMIN, bad, "")
    assert len(await fleet.releases.releases(ADMIN)) == 1
    actions = [record.entry.action for record in await fleet.audit.records(ADMIN)]
    assert actions.count("release.refused") == 7


async def test_sequence_number_belongs_to_one_release(fleet: Fleet) -> None:
    await publish(fleet)
    other = bundle.pack({"node/app.mpy": b"other"})
    await upload(fleet, other)
    with pytest.raises(ConflictError, match="higher"):
        await fleet.releases.publish(ADMIN, envelope(2, bundle=other), "")


async def test_a_release_that_cannot_run_is_refused_whoever_signed_it(fleet: Fleet) -> None:
    await publish(fleet)
    for content, reason in (
        (b"garbage", "cut or not CBOR"),
        (bundle.pack({"node/other.mpy": b"M"}), "has no node/app.mpy"),
    ):
        await upload(fleet, content)
        with pytest.raises(ReleaseRefusedError, match=reason):
            await fleet.releases.publish(ADMIN, envelope(3, bundle=content), "")


async def test_broken_upload_goes_on_where_it_stopped(fleet: Fleet) -> None:
    digest = hashlib.sha256(BUNDLE).digest()

    async def broken() -> AsyncIterator[bytes]:
        yield BUNDLE[:1000]
        raise ConnectionResetError

    async def rest() -> AsyncIterator[bytes]:
        yield BUNDLE[1000:]

    with pytest.raises(ConnectionResetError):
        await fleet.artifacts.write(digest, len(BUNDLE), 0, broken())
    assert await fleet.artifacts.stored_bytes(digest) == (1000, False)
    with pytest.raises(InvalidError, match="1000 bytes are stored"):
        await fleet.artifacts.write(digest, len(BUNDLE), 500, rest())
    assert await fleet.artifacts.write(digest, len(BUNDLE), 1000, rest()) == (len(BUNDLE), True)
    read = b"".join([piece async for piece in fleet.artifacts.read(digest, 10)])
    assert read == BUNDLE[10:]


async def test_upload_with_another_digest_starts_over(fleet: Fleet) -> None:
    digest = hashlib.sha256(BUNDLE).digest()

    async def wrong() -> AsyncIterator[bytes]:
        yield bytes(len(BUNDLE))

    with pytest.raises(InvalidError, match="starts over"):
        await fleet.artifacts.write(digest, len(BUNDLE), 0, wrong())
    assert await fleet.artifacts.stored_bytes(digest) == (0, False)


async def test_a_copy_that_was_altered_is_put_right_by_publishing_again(tmp_path: Path) -> None:
    store, digest = FileArtifactStore(tmp_path), hashlib.sha256(BUNDLE).digest()

    async def whole() -> AsyncIterator[bytes]:
        yield BUNDLE

    await store.put(BUNDLE)
    for put_again in (store.put(BUNDLE), store.write(digest, len(BUNDLE), 0, whole())):
        (tmp_path / digest.hex()).write_bytes(BUNDLE[:-1])
        assert await store.stored_bytes(digest) == (0, False)
        await put_again
        assert (tmp_path / digest.hex()).read_bytes() == BUNDLE
