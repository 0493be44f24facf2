"""Reading a release envelope and deciding whether this node may install it.

Not a SUIT command processor: a manifest has one form (docs/ota.md), all else is refused.
"""

import hashlib

from micropython import const

from node.codec import cbor
from node.codec.cbor import CborError, Tagged
from node.ota.errors import UpdateError
from node.ota.release import Part, Release
from nodelink.firmware_update import RESULT_INTEGRITY, RESULT_NO_FLASH, RESULT_UNSUPPORTED_PACKAGE
from nodelink.limits import BUNDLE_MAX_BYTES, ENVELOPE_MAX_BYTES
from nodelink.release_format import COMPONENT_BUNDLE, COMPONENT_IMAGE, VENDOR_ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from node.ota.trust import Trust

_SHA256 = const(-16)  # RFC 9054, 2.1
_DOWNGRADE = const(-256)  # SUIT parameters below -255 are for private use
# RFC 9052, 3: {1: alg}, by the size of the key; compared as bytes, so no other algorithm passes.
_PROTECTED = {
    32: b"\xa1\x01\x32",  # -19, Ed25519 (RFC 9864, 2.2)
    60: b"\xa1\x01\x38\x2d",  # -46, HSS-LMS (RFC 8778, 6)
}


async def verify(
    envelope: bytes, trust: "Trust", class_id: bytes, sequence: int, rollout: str = ""
) -> Release:
    """Check signatures, vendor, class, sequence and size, in that order.

    Args:
        envelope: as fetched.
        trust: whose signatures count, and how many are needed.
        class_id: of this board.
        sequence: of the running release; the new one must be higher, unless it may go back here.
        rollout: that brings it, as the directive says; empty without one.

    Raises:
        UpdateError: the release is refused; `result` and `reason` say why.
    """
    if len(envelope) > ENVELOPE_MAX_BYTES:
        raise UpdateError(RESULT_NO_FLASH, "envelope is too big")
    try:
        members = _tagged(_load(envelope), 107)
        authentication = _load(members[2])
        manifest = members[3]
        digest = _digest(_load(authentication[0]))
        # The digest covers the byte string with its head, draft-ietf-suit-manifest, 8.3.
        if digest != hashlib.sha256(_head(0x40, len(manifest)) + manifest).digest():
            raise UpdateError(RESULT_INTEGRITY, "manifest was altered")
        if 0 < trust.expires_at_s <= trust.unix_s():
            raise UpdateError(RESULT_INTEGRITY, "trust document has expired")
        await check_signatures(authentication, trust.release)
        permissions = ["node:" + trust.mac.hex()]
        if rollout:
            permissions.append("rollout:" + rollout)
        return _read(_load(manifest), class_id, sequence, permissions)
    except (CborError, KeyError, IndexError, TypeError, ValueError, AttributeError):
        # Whatever is missing or of another type: the envelope is not of our form.
        raise UpdateError(RESULT_UNSUPPORTED_PACKAGE, "envelope is malformed")


async def check_signatures(authentication: "Any", role: "list[Any]") -> None:
    """Check the COSE_Sign1 blocks behind a payload.

    Args:
        authentication: the payload, then the encoded blocks.
        role: how many different keys have to have signed, and the keys.

    Raises:
        UpdateError: a signature is wrong, or too few are by these keys.
    """
    payload = authentication[0]
    trusted = {}
    for key in role[1:]:
        trusted[hashlib.sha256(key).digest()[:8]] = key
    valid = set()
    for block in authentication[1:]:
        protected, unprotected, detached, signature = _tagged(_load(block), 18)
        kid = unprotected[4]
        if kid not in trusted or kid in valid:
            continue
        key = trusted[kid]
        if protected != _PROTECTED[len(key)] or detached is not None:
            raise UpdateError(RESULT_UNSUPPORTED_PACKAGE, "signature is of another kind")
        # RFC 9052, 4.4: ["Signature1", header, h'', detached payload].
        message = b"\x84\x6aSignature1" + _head(0x40, len(protected)) + protected + b"\x40"
        message += _head(0x40, len(payload)) + payload
        if not await _is_valid(key, message, signature):
            raise UpdateError(RESULT_INTEGRITY, "signature is wrong")
        valid.add(kid)
    if len(valid) < max(1, role[0]):
        raise UpdateError(RESULT_INTEGRITY, "not signed by enough trusted keys")


async def _is_valid(key: bytes, message: bytes, signature: bytes) -> bool:
    """Verify with what the key's size asks for; the other algorithm is not even loaded."""
    if len(key) == 60:
        from node.ota import hss

        return await hss.verify(key, message, signature)
    from node.ota import ed25519

    return await ed25519.verify(key, message, signature)


def _read(manifest: "Any", class_id: bytes, own_sequence: int, permissions: "list[str]") -> Release:
    """Read the signed part; from here on everything is what the signer said."""
    common = _load(manifest[3])
    commands = _load(common[4])
    validate = _load(manifest[7])
    has_image = common[2] != [[COMPONENT_BUNDLE]]
    if not has_image:
        identity = bundle = image = commands[1]
        form = [20, bundle, 1, 15, 2, 15]
        is_ours = len(bundle) == 4 + (_DOWNGRADE in bundle) and validate == [3, 15]
    else:
        identity, bundle, image = commands[3], commands[7], commands[11]
        form = [12, True, 20, identity, 12, 0, 20, bundle, 12, 1, 20, image, 12, True, 1, 15, 2, 15]
        is_ours = (
            common[2] == [[COMPONENT_BUNDLE], [COMPONENT_IMAGE]]
            and len(identity) - (_DOWNGRADE in identity) == len(bundle) == len(image) == 2
            and validate == [12, True, 3, 15]
        )
    if manifest[1] != 1 or len(manifest) != 5 or commands != form or not is_ours:
        raise UpdateError(RESULT_UNSUPPORTED_PACKAGE, "manifest asks for what this node cannot do")
    if identity[1] != VENDOR_ID:
        raise UpdateError(RESULT_UNSUPPORTED_PACKAGE, "release is of another vendor")
    if identity[2] != class_id:
        raise UpdateError(RESULT_UNSUPPORTED_PACKAGE, "release is for another board class")
    sequence = manifest[2]
    goes_back = sequence < own_sequence and identity.get(_DOWNGRADE) in permissions
    if sequence <= own_sequence and not goes_back:
        raise UpdateError(
            RESULT_UNSUPPORTED_PACKAGE, "sequence %d is not above %d" % (sequence, own_sequence)
        )
    size_bytes = bundle[14]
    if not 0 < size_bytes <= BUNDLE_MAX_BYTES:
        raise UpdateError(RESULT_NO_FLASH, "bundle of %d bytes is too big" % size_bytes)
    version = ".".join([str(number) for number in _load(manifest[6])])
    return Release(sequence, version, _part(bundle), _part(image) if has_image else None)


def _part(parameters: "Any") -> Part:
    return Part(_digest(_load(parameters[3])), int(parameters[14]))


def _load(encoded: bytes) -> "Any":
    return cbor.loads(encoded)


def _tagged(item: object, tag: int) -> "Any":
    if not isinstance(item, Tagged) or item.tag != tag:
        raise ValueError
    return item.value


def _digest(item: "Any") -> bytes:
    algorithm, digest = item
    if algorithm != _SHA256 or len(digest) != 32:
        raise ValueError
    return digest  # type: ignore[no-any-return]


def _head(major: int, count: int) -> bytes:
    """Encode the head of a byte string of less than 64 KiB (RFC 8949, 3)."""
    if count < 24:
        return bytes((major | count,))
    if count < 256:
        return bytes((major | 24, count))
    return bytes((major | 25, count >> 8, count & 255))
