"""Releases and trust documents for tests: keys, a bundle, envelopes, publishing.

Not fixtures (conftest.py).
"""

import hashlib
from collections.abc import AsyncIterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet_rig import ADMIN
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.releases import Release
from poleward_manifest import trust
from poleward_manifest.bundle import pack
from poleward_manifest.envelope import Component, Manifest, sign
from poleward_manifest.trust import Role, TrustDocument

KEY = Ed25519PrivateKey.generate()
ROOT = Ed25519PrivateKey.generate()
BUNDLE = pack({"node/app.mpy": b"bundle" * 1000})


async def upload(fleet: Fleet, content: bytes = BUNDLE) -> None:
    """Upload a bundle in pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1024):
            yield content[start : start + 1024]

    digest = hashlib.sha256(content).digest()
    assert await fleet.artifacts.write(digest, len(content), 0, pieces()) == (len(content), True)


def envelope(sequence: int = 2, key: Ed25519PrivateKey = KEY, bundle: bytes = BUNDLE) -> bytes:
    """Sign a release 1.<sequence>.0."""
    manifest = Manifest(sequence, f"1.{sequence}.0", "pole-basic", Component.of_bundle(bundle))
    return sign(manifest, [key])


async def publish(fleet: Fleet, sequence: int = 2) -> Release:
    """Publish a release signed by a trusted key."""
    await fleet.trust.trust_key(ADMIN, KEY.public_key().public_bytes_raw(), "test")
    digest = hashlib.sha256(BUNDLE).digest()
    if await fleet.artifacts.size(digest) is None:
        await upload(fleet)
    return await fleet.releases.publish(ADMIN, envelope(sequence), "notes")


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


async def publish_document(fleet: Fleet, version: int, *directors: bytes) -> None:
    """Publish a trust document that names KEY for releases and these for directives."""
    roots, signers = (public(ROOT),), (public(KEY),)
    document = TrustDocument(
        version, 2_000_000_000, Role(roots, 1), Role(signers, 1), Role(directors, 1)
    )
    await fleet.trust.publish(ADMIN, trust.sign(document, [ROOT, KEY]))


async def make_key(fleet: Fleet) -> bytes:
    """Have the fleet make a directive key."""
    return (await fleet.trust.make_directive_key(ADMIN)).public_key
