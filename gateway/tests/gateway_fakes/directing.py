"""A trust document that asks for directives, and directives of its director."""

import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from poleward_manifest import directive, trust
from poleward_manifest.directive import Directive
from poleward_manifest.trust import Role, TrustDocument

DIRECTOR = Ed25519PrivateKey.generate()
DAY_S = 24 * 3600


def role(key: Ed25519PrivateKey) -> Role:
    return Role((key.public_key().public_bytes_raw(),), 1)


def document(release_key: Ed25519PrivateKey) -> bytes:
    """Make the first document, in which one key is root and signs releases."""
    roles = role(release_key), role(release_key), role(DIRECTOR)
    return trust.sign(TrustDocument(1, 2**31 - 2, *roles), [release_key])


def directed(
    release: bytes, subject: str, *, key: Ed25519PrivateKey = DIRECTOR, from_s: int = 0
) -> bytes:
    """Sign a directive of the rollout "back"; it holds for a day, from so many seconds from now."""
    begin_s = int(time.time()) + from_s - 60
    return directive.sign(Directive(release, subject, "back", begin_s, begin_s + DAY_S), [key])
