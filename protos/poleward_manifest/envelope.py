"""Release envelopes: encoding, signing, reading and verifying them on CPython.

Not the node's reader, which is `node.ota.suit` and shares no code with this one.

The form is draft-ietf-suit-manifest-37 with suit-set-version of draft-ietf-suit-update-management;
docs/ota.md lists the members used. Only that form is accepted: an envelope that says more than a
node understands is refused where it is published, not in the street.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2

from nodelink.limits import BUNDLE_MAX_BYTES, ENVELOPE_MAX_BYTES
from nodelink.release_format import CLASS_IDS, COMPONENT_BUNDLE, COMPONENT_IMAGE, VENDOR_ID
from poleward_manifest import cose, downgrade, signatures, wheel_set
from poleward_manifest.cose import SIGNATURES_MAX, SignatureBlock, load, members, read_block
from poleward_manifest.errors import (
    DigestMismatchError,
    MalformedError,
    TooBigError,
    WrongClassError,
)
from poleward_manifest.image import IMAGE_MAX_BYTES
from poleward_manifest.signatures import SigningKey

# SUIT_Envelope_Tagged of the draft.
_TAG_ENVELOPE = 107
_ALG_SHA256 = -16  # RFC 9054, 2.1
# draft-ietf-suit-manifest, Appendix A: labels.
_AUTHENTICATION_WRAPPER = 2
_MANIFEST = 3
_VERSION = 1
_SEQUENCE_NUMBER = 2
_COMMON = 3
_SET_VERSION = 6  # draft-ietf-suit-update-management
_VALIDATE = 7
_COMPONENTS = 2
_SHARED_SEQUENCE = 4
_CONDITION_VENDOR = 1
_CONDITION_CLASS = 2
_CONDITION_IMAGE_MATCH = 3
_DIRECTIVE_SET_COMPONENT_INDEX = 12
_EVERY_COMPONENT = True
_DIRECTIVE_OVERRIDE_PARAMETERS = 20
_PARAMETER_VENDOR = 1
_PARAMETER_CLASS = 2
_PARAMETER_DIGEST = 3
_PARAMETER_SIZE = 14
_PARAMETER_DOWNGRADE = -256  # below -255 they are for private use
_REPORT_ALL = 15  # SUIT_Rep_Policy: record success and failure, with system information

_MAX_BYTES = {
    COMPONENT_BUNDLE.decode(): BUNDLE_MAX_BYTES,
    COMPONENT_IMAGE.decode(): IMAGE_MAX_BYTES,
    wheel_set.COMPONENT: wheel_set.MAX_BYTES,
}
_MANIFEST_VERSION = 1
_MAX_SEQUENCE = 2**31 - 1  # the node keeps it in an NVS i32
# What a release is for and what it installs there: nodes by kind of board, and gateways.
_CLASSES = {**CLASS_IDS, wheel_set.PROFILE: wheel_set.CLASS_ID}
_VERSION_TEXT = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})")


@dataclass(frozen=True, slots=True)
class Component:
    """One thing a release installs.

    Attributes:
        digest: SHA-256 of its plain contents.
        size_bytes: size of its plain contents.
    """

    name: str
    digest: bytes
    size_bytes: int

    @classmethod
    def of_bundle(cls, bundle: bytes) -> "Component":
        """Describe the bytes of a bundle."""
        return cls(COMPONENT_BUNDLE.decode(), hashlib.sha256(bundle).digest(), len(bundle))

    @classmethod
    def of_image(cls, image: bytes) -> "Component":
        """Describe the bytes of an image."""
        return cls(COMPONENT_IMAGE.decode(), hashlib.sha256(image).digest(), len(image))

    @classmethod
    def of_wheels(cls, wheels: bytes) -> "Component":
        """Describe the bytes of a gateway's set of wheels."""
        return cls(wheel_set.COMPONENT, hashlib.sha256(wheels).digest(), len(wheels))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a release says about itself.

    Attributes:
        sequence: monotonic; a node takes only a higher one than its own.
        version: three numbers, for people, for example `1.4.0`.
        board_profile: kind of board, a key of `nodelink.release_format.CLASS_IDS`, or
            `wheel_set.PROFILE` for gateways.
        bundle: the node application, or the gateway's wheels.
        image: the MicroPython that a bundle is made for; None when any that nodes have will do.
        downgrade: who may go back to it from a higher sequence number: `node:<MAC>`,
            `gateway:<name>` or `rollout:<name>`; empty for nobody.
    """

    sequence: int
    version: str
    board_profile: str
    bundle: Component
    image: Component | None = None
    downgrade: str = ""

    @property
    def components(self) -> tuple[Component, ...]:
        """All that there is to install, the bundle first."""
        return (self.bundle, self.image) if self.image else (self.bundle,)


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode the part that is signed.

    Raises:
        MalformedError: version or sequence is not of the allowed form.
        WrongClassError: the board profile is unknown.
        TooBigError: a component is bigger than a node takes.
    """
    if not _VERSION_TEXT.fullmatch(manifest.version):
        raise MalformedError(f"version {manifest.version!r} is not of the form 1.2.3")
    if not 0 < manifest.sequence <= _MAX_SEQUENCE:
        raise MalformedError(f"sequence {manifest.sequence} is not between 1 and {_MAX_SEQUENCE}")
    if manifest.board_profile not in _CLASSES:
        raise WrongClassError(
            f"board profile {manifest.board_profile!r} is unknown; known: {', '.join(_CLASSES)}"
        )
    for component in manifest.components:
        most_bytes = _MAX_BYTES[component.name]
        if not 0 < component.size_bytes <= most_bytes:
            raise TooBigError(
                f"{component.name} of {component.size_bytes} bytes; 1 to {most_bytes} are taken"
            )
    if manifest.bundle.name != _main_component(manifest.board_profile) or (
        manifest.image and manifest.board_profile == wheel_set.PROFILE
    ):
        names = " and ".join(component.name for component in manifest.components)
        raise WrongClassError(f"{manifest.board_profile} takes no {names}; build it again")
    downgrade.check(manifest.downgrade, manifest.board_profile)
    common = {
        _COMPONENTS: [[component.name.encode()] for component in manifest.components],
        _SHARED_SEQUENCE: cbor2.dumps(_shared_sequence(manifest)),
    }
    every = [] if manifest.image is None else [_DIRECTIVE_SET_COMPONENT_INDEX, _EVERY_COMPONENT]
    return cbor2.dumps(
        {
            _VERSION: _MANIFEST_VERSION,
            _SEQUENCE_NUMBER: manifest.sequence,
            _COMMON: cbor2.dumps(common),
            _SET_VERSION: cbor2.dumps([int(number) for number in manifest.version.split(".")]),
            _VALIDATE: cbor2.dumps([*every, _CONDITION_IMAGE_MATCH, _REPORT_ALL]),
        }
    )


def _shared_sequence(manifest: Manifest) -> list[Any]:
    """Say what every component is for and what it consists of, then ask whether we are that."""
    identity: dict[int, Any] = {
        _PARAMETER_VENDOR: VENDOR_ID,
        _PARAMETER_CLASS: _CLASSES[manifest.board_profile],
    }
    permission = {_PARAMETER_DOWNGRADE: manifest.downgrade} if manifest.downgrade else {}
    conditions = [_CONDITION_VENDOR, _REPORT_ALL, _CONDITION_CLASS, _REPORT_ALL]
    contents = [
        {
            _PARAMETER_DIGEST: cbor2.dumps([_ALG_SHA256, component.digest]),
            _PARAMETER_SIZE: component.size_bytes,
        }
        for component in manifest.components
    ]
    if manifest.image is None:
        parameters = identity | contents[0] | permission
        return [_DIRECTIVE_OVERRIDE_PARAMETERS, parameters, *conditions]
    every = [_DIRECTIVE_SET_COMPONENT_INDEX, _EVERY_COMPONENT]
    sequence = [*every, _DIRECTIVE_OVERRIDE_PARAMETERS, identity | permission]
    for index, content in enumerate(contents):
        sequence += [_DIRECTIVE_SET_COMPONENT_INDEX, index]
        sequence += [_DIRECTIVE_OVERRIDE_PARAMETERS, content]
    return [*sequence, *every, *conditions]


def sign(manifest: Manifest, keys: Sequence[SigningKey]) -> bytes:
    """Make an envelope of a manifest, signed with every key given, in that order.

    With no key the envelope carries no signature; `add_signature` adds them one by one where each
    key lives on a machine of its own.

    Raises:
        EnvelopeError: see `encode_manifest`.
    """
    encoded = encode_manifest(manifest)
    digest = cbor2.dumps([_ALG_SHA256, _manifest_digest(encoded)])
    blocks = [cose.sign(digest, key) for key in keys]
    return _envelope([digest, *blocks], encoded)


def add_signature(envelope: bytes, key: SigningKey) -> bytes:
    """Add one more signature to an envelope; a signature of the same key is replaced.

    Raises:
        EnvelopeError: the envelope is not sound, see `read`.
    """
    parsed = _parse(envelope)
    blocks = cose.with_signature(parsed.digest, parsed.blocks, key)
    return _envelope([parsed.digest, *blocks], parsed.manifest)


def read(envelope: bytes) -> Manifest:
    """Read an envelope WITHOUT checking who signed it: for showing, never for deciding.

    Raises:
        EnvelopeError: not sound; any of its classes but the two about keys.
    """
    return _read_manifest(_parse(envelope).manifest)


def signers(envelope: bytes) -> tuple[bytes, ...]:
    """List the key ids (8 bytes of SHA-256 of the public key) an envelope claims, unchecked.

    Raises:
        MalformedError, DigestMismatchError: the envelope is not sound.
    """
    return tuple(block.kid for block in _parse(envelope).blocks)


def verify(envelope: bytes, trusted_keys: Iterable[bytes], threshold: int = 1) -> Manifest:
    """Read an envelope after checking that enough trusted keys signed it.

    Args:
        envelope: the bytes as published.
        trusted_keys: public keys, Ed25519 (32 bytes) or HSS-LMS (60 bytes).
        threshold: how many distinct trusted keys must have signed.

    Raises:
        MalformedError: not an envelope of our form; build it again.
        DigestMismatchError: the manifest was altered after its digest was taken.
        BadSignatureError: a signature by a trusted key does not fit the manifest.
        UntrustedKeyError: fewer than `threshold` trusted keys signed; sign it or trust the key.
        WrongClassError, TooBigError: the manifest is sound but no node would take it.
    """
    parsed = _parse(envelope)
    cose.require(parsed.digest, parsed.blocks, trusted_keys, threshold)
    return _read_manifest(parsed.manifest)


def envelope_digest(envelope: bytes) -> bytes:
    """Name an envelope: the SHA-256 under which it is published and fetched."""
    return hashlib.sha256(envelope).digest()


def key_id(public_key: bytes) -> bytes:
    """Give the short name of a release key: the first 8 bytes of SHA-256 of its public half."""
    return signatures.key_id(public_key)


@dataclass(frozen=True, slots=True)
class _Parsed:
    digest: bytes
    blocks: tuple[SignatureBlock, ...]
    manifest: bytes


def _manifest_digest(manifest: bytes) -> bytes:
    # The digest covers the byte string with its head, draft-ietf-suit-manifest, 8.3.
    return hashlib.sha256(cbor2.dumps(manifest)).digest()


def _envelope(authentication: list[bytes], manifest: bytes) -> bytes:
    # The authentication wrapper must come first, draft-ietf-suit-manifest, 8.3.
    return cbor2.dumps(
        cbor2.CBORTag(
            _TAG_ENVELOPE,
            {_AUTHENTICATION_WRAPPER: cbor2.dumps(authentication), _MANIFEST: manifest},
        )
    )


def _parse(envelope: bytes) -> _Parsed:
    """Take an envelope apart and check everything that needs no key and no meaning."""
    if len(envelope) > ENVELOPE_MAX_BYTES:
        raise TooBigError(
            f"the envelope has {len(envelope)} bytes, a node takes {ENVELOPE_MAX_BYTES}; "
            "remove signatures"
        )
    tagged = load(envelope, "the envelope")
    if not isinstance(tagged, cbor2.CBORTag) or tagged.tag != _TAG_ENVELOPE:
        raise MalformedError("not a SUIT envelope: tag 107 is missing")
    parts = members(tagged.value, (_AUTHENTICATION_WRAPPER, _MANIFEST), "the envelope")
    authentication = load(parts[_AUTHENTICATION_WRAPPER], "the authentication wrapper")
    manifest = parts[_MANIFEST]
    if not isinstance(authentication, list) or not 1 <= len(authentication) <= 1 + SIGNATURES_MAX:
        raise MalformedError(
            f"the authentication wrapper is not a digest and 0 to {SIGNATURES_MAX} signatures"
        )
    if not isinstance(manifest, bytes):
        raise MalformedError("the manifest is not a byte string")
    if _read_digest(authentication[0], "the manifest's digest") != _manifest_digest(manifest):
        raise DigestMismatchError(
            "the manifest was altered: it does not have the digest that is signed"
        )
    blocks = tuple(read_block(encoded) for encoded in authentication[1:])
    return _Parsed(authentication[0], blocks, manifest)


def _read_digest(encoded: object, what: str) -> bytes:
    item = load(encoded, what)
    if not isinstance(item, list) or len(item) != 2 or item[0] != _ALG_SHA256:
        raise MalformedError(f"{what} is not a SHA-256 digest")
    digest = item[1]
    if not isinstance(digest, bytes) or len(digest) != 32:
        raise MalformedError(f"{what} does not have 32 bytes")
    return digest


def _read_manifest(encoded: bytes) -> Manifest:
    manifest = members(
        load(encoded, "the manifest"),
        (_VERSION, _SEQUENCE_NUMBER, _COMMON, _SET_VERSION, _VALIDATE),
        "the manifest",
    )
    common = members(
        load(manifest[_COMMON], "the common part"),
        (_COMPONENTS, _SHARED_SEQUENCE),
        "the common part",
    )
    sequence = load(common[_SHARED_SEQUENCE], "the shared sequence")
    version = load(manifest[_SET_VERSION], "the version")
    if not isinstance(version, list):
        raise MalformedError("the version is not a list of numbers")
    identity, *contents = _overrides(sequence)
    profile = _board_profile(identity.get(_PARAMETER_VENDOR), identity.get(_PARAMETER_CLASS))
    bundle, *images = [
        Component(
            name,
            _read_digest(content.get(_PARAMETER_DIGEST), f"the digest of the {name}"),
            _integer(content.get(_PARAMETER_SIZE), f"the size of the {name}"),
        )
        for name, content in zip(
            (_main_component(profile), COMPONENT_IMAGE.decode()),
            contents or [identity],
            strict=False,
        )
    ]
    read_back = Manifest(
        _integer(manifest[_SEQUENCE_NUMBER], "the sequence number"),
        ".".join(str(_integer(number, "the version")) for number in version),
        profile,
        bundle,
        images[0] if images else None,
        _text(identity.get(_PARAMETER_DOWNGRADE, "")),
    )
    # One form only: whatever reads the same must also be written the same.
    if encode_manifest(read_back) != encoded:
        raise MalformedError(
            "the manifest says something a node does not understand; build it again"
        )
    return read_back


def _main_component(profile: str) -> str:
    """Tell what is always installed where."""
    return wheel_set.COMPONENT if profile == wheel_set.PROFILE else COMPONENT_BUNDLE.decode()


def _overrides(sequence: object) -> list[Mapping[int, Any]]:
    """List the parameters that a command sequence sets; at least one set."""
    found = []
    if isinstance(sequence, list):
        for command, argument in zip(sequence[::2], sequence[1::2], strict=False):
            if command == _DIRECTIVE_OVERRIDE_PARAMETERS and isinstance(argument, Mapping):
                found.append(argument)
    if not found:
        raise MalformedError("the shared sequence sets no parameters")
    return found


def _integer(item: object, what: str) -> int:
    if not isinstance(item, int) or isinstance(item, bool):
        raise MalformedError(f"{what} is not a number")
    return item


def _text(item: object) -> str:
    if not isinstance(item, str):
        raise MalformedError("the downgrade permission is not a text")
    return item


def _board_profile(vendor_id: object, class_id: object) -> str:
    if vendor_id != VENDOR_ID:
        shown = vendor_id.hex() if isinstance(vendor_id, bytes) else repr(vendor_id)
        raise WrongClassError(
            f"the release is of another vendor ({shown}); it is not for our nodes"
        )
    for profile, known in _CLASSES.items():
        if class_id == known:
            return profile
    shown = class_id.hex() if isinstance(class_id, bytes) else repr(class_id)
    raise WrongClassError(f"the release is for boards of class {shown}, which we do not have")
