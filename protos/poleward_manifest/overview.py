"""What any SUIT envelope says, also one that our nodes refuse: for people who look into it.

Not a check and not a SUIT processor: the parameters of all override directives are read as if each
of them were executed. `poleward_manifest.envelope` decides what is taken.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cbor2

from poleward_manifest import envelope as envelopes
from poleward_manifest.errors import EnvelopeError, MalformedError

# draft-ietf-suit-manifest, Appendix A; 6 is of draft-ietf-suit-update-management.
_TAG_ENVELOPE = 107
_AUTHENTICATION, _MANIFEST = 2, 3
_SEQUENCE_NUMBER, _COMMON, _SET_VERSION = 2, 3, 6
_COMPONENTS, _SHARED_SEQUENCE = 2, 4
_OVERRIDE_PARAMETERS = 20
_VENDOR, _CLASS, _DIGEST, _SIZE = 1, 2, 3, 14
_DOWNGRADE = -256  # ours, see `poleward_manifest.downgrade`


@dataclass(frozen=True, slots=True)
class Overview:
    """An envelope's content, as far as it is there.

    Attributes:
        components: their identifiers, parts joined by "/".
        downgrade: who may go back to it; empty for nobody.
        signatures: how many there are; by whom is not looked at.
        is_intact: the manifest has the digest that stands in the envelope.
        refusal: why a node would not take it, whoever signed; empty when it would.
    """

    sequence: int
    version: str
    components: tuple[str, ...]
    vendor_id: bytes
    class_id: bytes
    digest: bytes
    size_bytes: int
    downgrade: str
    signatures: int
    is_intact: bool
    refusal: str


def overview(envelope: bytes) -> Overview:
    """Read an envelope.

    Raises:
        MalformedError: it is no SUIT envelope; nothing can be said about it.
    """
    try:
        refusal = ""
        envelopes.read(envelope)
    except EnvelopeError as error:
        refusal = str(error)
    try:
        tagged = cbor2.loads(envelope)
        if not isinstance(tagged, cbor2.CBORTag) or tagged.tag != _TAG_ENVELOPE:
            raise MalformedError("not a SUIT envelope: tag 107 is missing")
        digest, *blocks = cbor2.loads(tagged.value[_AUTHENTICATION])
        encoded = tagged.value[_MANIFEST]
        manifest = cbor2.loads(encoded)
        common = cbor2.loads(manifest[_COMMON])
        parameters: dict[int, Any] = {}
        for one in _overrides(cbor2.loads(common.get(_SHARED_SEQUENCE, b"\x80"))):
            # The first that says it: of several components the bundle.
            parameters = {**one, **parameters}
        version = manifest.get(_SET_VERSION, b"\x80")
        # Some write the version as it is, the draft as a byte string.
        version = cbor2.loads(version) if isinstance(version, bytes) else version
        image_digest = parameters.get(_DIGEST)
        return Overview(
            sequence=int(manifest[_SEQUENCE_NUMBER]),
            version=".".join(str(number) for number in version),
            components=tuple(
                b"/".join(parts).decode(errors="replace") for parts in common[_COMPONENTS]
            ),
            vendor_id=bytes(parameters.get(_VENDOR, b"")),
            class_id=bytes(parameters.get(_CLASS, b"")),
            digest=bytes(cbor2.loads(image_digest)[1]) if image_digest else b"",
            size_bytes=int(parameters.get(_SIZE, 0)),
            downgrade=str(parameters.get(_DOWNGRADE, "")),
            signatures=len(blocks),
            is_intact=_digest_of(digest) == hashlib.sha256(cbor2.dumps(encoded)).digest(),
            refusal=refusal,
        )
    except MalformedError:
        raise
    except (cbor2.CBORError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise MalformedError(f"not a SUIT envelope: {error!r}") from error


def _overrides(sequence: list[Any]) -> Iterator[Mapping[int, Any]]:
    """List the parameters of the override directives in a command sequence."""
    for command, argument in zip(sequence[::2], sequence[1::2], strict=True):
        if command == _OVERRIDE_PARAMETERS:
            yield argument


def _digest_of(item: object) -> bytes:
    digest = cbor2.loads(item)[1] if isinstance(item, bytes) else None
    return digest if isinstance(digest, bytes) else b""
