"""Trust documents: who may sign releases and directives, and who may change that.

Not envelopes, and not the node's reader, which is `node.ota.trust_chain`.

Documents form a chain: number n + 1 counts where the root keys of n and its own root keys signed
it, each as many as their thresholds ask for (docs/ota.md).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cbor2

from nodelink.limits import TRUST_MAX_BYTES
from poleward_manifest import cose, signatures
from poleward_manifest.cose import SignatureBlock
from poleward_manifest.errors import MalformedError, StaleError, TooBigError, UntrustedKeyError
from poleward_manifest.signatures import SigningKey

_PARTS = 5  # number, expiry, root, release and directive role
_NUMBER_MAX = 2**31 - 1  # a node keeps it in a small integer
NEVER_S = _NUMBER_MAX
"""Expiry of what a factory wrote."""


@dataclass(frozen=True, slots=True)
class Role:
    """Keys for one purpose.

    Attributes:
        keys: public keys, Ed25519 (32 bytes) or HSS-LMS (60 bytes), each once.
        threshold: how many different ones have to sign.
    """

    keys: tuple[bytes, ...]
    threshold: int

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        """Short names of the keys."""
        return tuple(signatures.key_id(key) for key in self.keys)


@dataclass(frozen=True, slots=True)
class TrustDocument:
    """What a signed trust document says.

    Attributes:
        version: counts from 1 without gaps; 0 is what a factory wrote.
        expires_at_s: Unix seconds after which nodes take no release until they have a newer one.
        root: who signs the next document.
        release: who signs releases.
        directive: who tells a node which release it shall run.
    """

    version: int
    expires_at_s: int
    root: Role
    release: Role
    directive: Role


def of_factory(release_keys: Sequence[bytes], threshold: int = 1) -> TrustDocument:
    """Give what counts before the first document: the factory's keys sign that one."""
    role = Role(tuple(release_keys), threshold)
    return TrustDocument(0, NEVER_S, role, role, Role((), 1))


def encode(document: TrustDocument) -> bytes:
    """Encode the part that is signed.

    Raises:
        MalformedError: a number, a key or a threshold is not possible; says which.
        TooBigError: more than a node keeps.
    """
    if not 0 < document.version < _NUMBER_MAX or not 0 < document.expires_at_s <= _NUMBER_MAX:
        raise MalformedError("version and expiry of a trust document are between 1 and 2^31 - 1")
    for name, role in (("root", document.root), ("release", document.release)):
        if not role.keys:
            raise MalformedError(f"a trust document without {name} keys could never be followed")
    for name, role in _roles(document):
        if len(set(role.keys)) != len(role.keys):
            raise MalformedError(f"a {name} key stands twice in the trust document")
        for key in role.keys:
            _require_key(name, key)
        if not 1 <= role.threshold <= max(1, len(role.keys)):
            raise MalformedError(
                f"{role.threshold} of {len(role.keys)} {name} keys cannot sign; "
                "choose another threshold"
            )
    encoded = cbor2.dumps(
        [
            document.version,
            document.expires_at_s,
            *([role.threshold, *role.keys] for _, role in _roles(document)),
        ]
    )
    if len(encoded) > TRUST_MAX_BYTES:
        raise TooBigError(
            f"the trust document says {len(encoded)} bytes, a node keeps {TRUST_MAX_BYTES}; "
            "name fewer keys"
        )
    return encoded


def sign(document: TrustDocument, keys: Sequence[SigningKey]) -> bytes:
    """Make the file of a document, signed with every key given.

    Raises:
        EnvelopeError: see `encode` and `read`.
    """
    payload = encode(document)
    signed = cose.signed(payload, keys)
    read(signed)
    return signed


def add_signature(signed: bytes, key: SigningKey) -> bytes:
    """Add one more signature; a signature of the same key is replaced.

    Raises:
        EnvelopeError: the document is not sound, see `read`.
    """
    payload, blocks = _parse(signed)
    more = cbor2.dumps([payload, *cose.with_signature(payload, blocks, key)])
    read(more)
    return more


def read(signed: bytes) -> TrustDocument:
    """Read a document WITHOUT checking who signed it: for showing, never for deciding.

    Raises:
        MalformedError: not a trust document of our form.
        TooBigError: more than a node takes.
    """
    payload, _ = _parse(signed)
    parts = cose.load(payload, "the trust document")
    if not isinstance(parts, list) or len(parts) != _PARTS:
        raise MalformedError("the trust document does not have the parts that a node understands")
    version, expires_at_s, *roles = parts
    if not isinstance(version, int) or not isinstance(expires_at_s, int):
        raise MalformedError("version and expiry of a trust document are numbers")
    document = TrustDocument(version, expires_at_s, *map(_read_role, roles))
    # One form only: whatever reads the same must also be written the same.
    if encode(document) != payload:
        raise MalformedError("the trust document says something a node does not understand")
    return document


def signers(signed: bytes) -> tuple[bytes, ...]:
    """List the key ids that a document claims, unchecked.

    Raises:
        MalformedError: not a trust document.
    """
    return tuple(block.kid for block in _parse(signed)[1])


def verify_first(signed: bytes) -> TrustDocument:
    """Read number 1 after checking that its own root keys signed it.

    Its reader believes whoever gave it: nothing before it says who its root keys may be.

    Raises:
        StaleError: it is not number 1.
        EnvelopeError: it is not sound, or not signed by enough of its own root keys.
    """
    return _verified(signed, 1)


def verify_alone(signed: bytes) -> TrustDocument:
    """Read any document after checking that its own root keys signed it.

    Its reader believes whoever gave it, as a node believes its factory.

    Raises:
        EnvelopeError: it is not sound, or not signed by enough of its own root keys.
    """
    return _verified(signed, read(signed).version)


def verify_next(signed: bytes, previous: TrustDocument) -> TrustDocument:
    """Read a document after checking that it follows another one.

    Raises:
        StaleError: it is not number n + 1.
        EnvelopeError: it is not sound, or not signed by enough root keys of both documents.
    """
    document = _verified(signed, previous.version + 1)
    _require(signed, previous.root, "the previous")
    return document


def digest(signed: bytes) -> bytes:
    """Name a document: the SHA-256 under which it is published and fetched."""
    return hashlib.sha256(signed).digest()


def following(
    document: TrustDocument,
    *,
    expires_at_s: int,
    root: Role | None = None,
    release: Role | None = None,
    directive: Role | None = None,
) -> TrustDocument:
    """Draw up the document after this one; what is not given stays."""
    return replace(
        document,
        version=document.version + 1,
        expires_at_s=expires_at_s,
        root=root or document.root,
        release=release or document.release,
        directive=directive or document.directive,
    )


def _verified(signed: bytes, version: int) -> TrustDocument:
    document = read(signed)
    if document.version != version:
        raise StaleError(
            f"trust document {document.version} does not follow number {version - 1}; "
            f"number {version} does"
        )
    _require(signed, document.root, "its own")
    return document


def _roles(document: TrustDocument) -> tuple[tuple[str, Role], ...]:
    return (
        ("root", document.root),
        ("release", document.release),
        ("directive", document.directive),
    )


def _require_key(name: str, key: bytes) -> None:
    try:
        signatures.algorithm_of(key)
    except ValueError as error:
        raise MalformedError(f"a {name} key of the trust document is none: {error}") from error


def _require(signed: bytes, root: Role, whose: str) -> None:
    payload, blocks = _parse(signed)
    try:
        cose.require(payload, blocks, root.keys, root.threshold)
    except UntrustedKeyError as error:
        raise UntrustedKeyError(f"not signed by {whose} root keys: {error}") from error


def _read_role(item: object) -> Role:
    if not isinstance(item, list) or not item or not isinstance(item[0], int):
        raise MalformedError("a role in the trust document is not a threshold and keys")
    threshold, *keys = item
    if not all(isinstance(key, bytes) for key in keys):
        raise MalformedError("a key in the trust document is not a byte string")
    return Role(tuple(keys), threshold)


def _parse(signed: bytes) -> tuple[bytes, tuple[SignatureBlock, ...]]:
    return cose.read_signed(signed, "the trust document")
