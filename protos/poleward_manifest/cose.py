"""COSE signatures over detached bytes, and reading CBOR in its one shortest form.

Not what is signed: `envelope`, `trust` and `directive` know that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cbor2

from nodelink.limits import ENVELOPE_MAX_BYTES
from poleward_manifest import signatures
from poleward_manifest.errors import (
    BadSignatureError,
    MalformedError,
    TooBigError,
    UntrustedKeyError,
)
from poleward_manifest.signatures import SigningKey

_TAG_SIGN1 = 18  # RFC 9052, 2
# RFC 9052, 3.1.
_HEADER_ALG = 1
_HEADER_KID = 4
SIGNATURES_MAX = 8


@dataclass(frozen=True, slots=True)
class SignatureBlock:
    """One COSE_Sign1 with a detached payload.

    Attributes:
        encoded: as it stands in the file.
        kid: id of the key that is said to have signed.
    """

    encoded: bytes
    algorithm: int
    protected: bytes
    kid: bytes
    signature: bytes


def sign(payload: bytes, key: SigningKey) -> bytes:
    """Sign a payload that stands elsewhere; returns an encoded COSE_Sign1."""
    public_key = signatures.public_bytes(key)
    protected = cbor2.dumps({_HEADER_ALG: signatures.algorithm_of(public_key)})
    kid = signatures.key_id(public_key)
    signature = key.sign(_signed_bytes(protected, payload))
    return cbor2.dumps(cbor2.CBORTag(_TAG_SIGN1, [protected, {_HEADER_KID: kid}, None, signature]))


def with_signature(
    payload: bytes, blocks: Iterable[SignatureBlock], key: SigningKey
) -> list[bytes]:
    """Add a signature to those that are there; one of the same key is replaced."""
    kid = signatures.key_id(signatures.public_bytes(key))
    return [*(block.encoded for block in blocks if block.kid != kid), sign(payload, key)]


def require(
    payload: bytes, blocks: Iterable[SignatureBlock], trusted_keys: Iterable[bytes], threshold: int
) -> None:
    """Make sure that enough different trusted keys signed a payload.

    Signatures by other keys count for nothing and hurt nothing.

    Raises:
        BadSignatureError: a signature by a trusted key does not fit the payload.
        UntrustedKeyError: fewer than `threshold` trusted keys signed.
    """
    keys = {signatures.key_id(key): key for key in trusted_keys}
    claimed = []
    valid = set()
    for block in blocks:
        claimed.append(block.kid.hex())
        key = keys.get(block.kid)
        if key is None:
            continue
        message = _signed_bytes(block.protected, payload)
        if block.algorithm != signatures.algorithm_of(key) or not signatures.is_valid(
            key, message, block.signature
        ):
            raise BadSignatureError(
                f"the signature of key {block.kid.hex()} does not fit what it stands on; that was "
                "altered or the signature is of something else: sign it again"
            )
        valid.add(block.kid)
    if len(valid) < max(1, threshold):
        raise UntrustedKeyError(
            f"{len(valid)} of {max(1, threshold)} needed trusted keys signed "
            f"(signed by {', '.join(claimed) or 'nobody'}); sign it with a trusted key, or have "
            "its key trusted"
        )


def signed(payload: bytes, keys: Iterable[SigningKey]) -> bytes:
    """Encode a payload with signatures of every key given behind it."""
    return cbor2.dumps([payload, *(sign(payload, key) for key in keys)])


def read_signed(encoded: bytes, what: str) -> tuple[bytes, tuple[SignatureBlock, ...]]:
    """Take apart what `signed` made; the signatures are not checked.

    Raises:
        MalformedError: it is not of that form; `what` names it.
        TooBigError: more than a node takes.
    """
    if len(encoded) > ENVELOPE_MAX_BYTES:
        raise TooBigError(
            f"{what} has {len(encoded)} bytes, a node takes {ENVELOPE_MAX_BYTES}; use fewer keys"
        )
    parts = load(encoded, what)
    if not isinstance(parts, list) or not 1 <= len(parts) <= 1 + SIGNATURES_MAX:
        raise MalformedError(f"{what} is not a payload with 0 to {SIGNATURES_MAX} signatures")
    payload, *blocks = parts
    if not isinstance(payload, bytes):
        raise MalformedError(f"{what} does not say anything in a byte string")
    return payload, tuple(read_block(block) for block in blocks)


def load(encoded: object, what: str) -> Any:
    """Decode one CBOR item that must fill its bytes and be in shortest form.

    Raises:
        MalformedError: it does not, or is not; `what` names it.
    """
    if not isinstance(encoded, bytes):
        raise MalformedError(f"{what} is missing or not a byte string")
    try:
        item = cbor2.loads(encoded)
        canonical = cbor2.dumps(item) == encoded
    except (cbor2.CBORError, EOFError, ValueError, TypeError, RecursionError) as error:
        raise MalformedError(f"{what} is cut or not CBOR; fetch or build it again") from error
    if not canonical:
        raise MalformedError(f"{what} is not in its one canonical form; build it again")
    return item


def members(item: object, labels: Iterable[int], what: str) -> Mapping[int, Any]:
    """Insist on a map with exactly these labels, in this order.

    Raises:
        MalformedError: it is none; `what` names it.
    """
    # cbor2 makes what stands inside a tag immutable: a frozendict, a tuple.
    if not isinstance(item, Mapping) or list(item) != list(labels):
        raise MalformedError(f"{what} does not have exactly the members a node understands")
    return item


def read_block(encoded: object) -> SignatureBlock:
    """Read an encoded COSE_Sign1.

    Raises:
        MalformedError: it is none of our form.
    """
    tagged = load(encoded, "a signature")
    if not isinstance(tagged, cbor2.CBORTag) or tagged.tag != _TAG_SIGN1:
        raise MalformedError("a signature is not a COSE_Sign1 (tag 18)")
    if not isinstance(tagged.value, (list, tuple)) or len(tagged.value) != 4:
        raise MalformedError("a signature is not a COSE_Sign1 array of four")
    protected, unprotected, payload, signature = tagged.value
    header = members(load(protected, "a signature's header"), (_HEADER_ALG,), "a header")
    algorithm = header[_HEADER_ALG]
    if algorithm not in (signatures.ALG_ED25519, signatures.ALG_HSS_LMS):
        raise MalformedError(
            f"a signature's algorithm is {algorithm!r}, not Ed25519 (-19) or HSS-LMS (-46)"
        )
    kid = members(unprotected, (_HEADER_KID,), "a signature's header")[_HEADER_KID]
    if payload is not None:
        raise MalformedError("a signature carries a payload; it must be detached")
    if not isinstance(kid, bytes) or not isinstance(signature, bytes):
        raise MalformedError("a signature does not have a key id and bytes")
    if not signatures.is_possible(algorithm, signature):
        raise MalformedError(f"a signature of algorithm {algorithm} has {len(signature)} bytes")
    assert isinstance(encoded, bytes)
    return SignatureBlock(encoded, algorithm, protected, kid, signature)


def _signed_bytes(protected: bytes, payload: bytes) -> bytes:
    """RFC 9052, 4.4."""
    return cbor2.dumps(["Signature1", protected, b"", payload])
