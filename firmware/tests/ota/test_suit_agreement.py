"""The node's reader of envelopes against the one of gateway and fleet, on generated releases."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from node.ota import hss as node_hss
from node.ota import suit
from node.ota.errors import UpdateError
from node.ota.release import Release
from node.ota.trust import Trust
from nodelink.limits import BUNDLE_MAX_BYTES, ENVELOPE_MAX_BYTES
from nodelink.release_format import CLASS_IDS
from poleward_manifest import downgrade, envelope, errors, subject
from poleward_manifest.signatures import HssLmsKey, is_valid, public_bytes

DIGEST = bytes(range(32))
CLASS_ID = CLASS_IDS["pole-basic"]
MAC = bytes.fromhex("02005e000001")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = st.binary(min_size=32, max_size=32).map(Ed25519PrivateKey.from_private_bytes)
MANIFESTS = st.builds(
    envelope.Manifest,
    st.integers(1, 2**31 - 1),
    st.tuples(*[st.integers(0, 999_999)] * 3).map(lambda numbers: ".".join(map(str, numbers))),
    st.just("pole-basic"),
    st.builds(
        envelope.Component,
        st.just("bundle"),
        st.binary(min_size=32, max_size=32),
        st.integers(1, BUNDLE_MAX_BYTES),
    ),
)


def _node_verify(signed: bytes, keys: bytes, threshold: int = 1) -> Release:
    return asyncio.run(suit.verify(signed, Trust(keys, threshold), CLASS_ID, 0))


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


@settings(max_examples=40)
@given(MANIFESTS, st.lists(KEYS, min_size=1, max_size=3, unique_by=_public))
def test_node_reads_what_the_release_team_signed(
    manifest: envelope.Manifest, keys: list[Ed25519PrivateKey]
) -> None:
    signed = envelope.sign(manifest, keys)
    release = _node_verify(signed, b"".join(map(_public, keys)), len(keys))
    assert release.sequence == manifest.sequence
    assert release.version == manifest.version
    assert (release.bundle.digest, release.bundle.size_bytes) == (
        manifest.bundle.digest,
        manifest.bundle.size_bytes,
    )


@settings(max_examples=150)
@given(MANIFESTS, KEYS, st.data())
def test_node_takes_no_altered_envelope(
    manifest: envelope.Manifest, key: Ed25519PrivateKey, data: st.DataObject
) -> None:
    altered = bytearray(envelope.sign(manifest, [key]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(altered) - 1))
        altered[at] = data.draw(st.integers(0, 255))
    try:
        release = _node_verify(bytes(altered), _public(key))
    except UpdateError:
        release = None
    try:
        accepted = envelope.verify(bytes(altered), [_public(key)])
    except errors.EnvelopeError:
        accepted = None
    # The gateway is never the more lenient of the two, and the node never reads another release.
    assert accepted is None or release is not None
    assert release is None or release.bundle.digest == manifest.bundle.digest


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(("", f"node:{MAC.hex()}", "node:0a0b0c0d0e0f", "rollout:back", "rollout:7")),
    st.sampled_from(("", "back", "7")),
    st.booleans(),
)
def test_node_and_fleet_agree_who_may_go_back(
    sequence: int, own: int, permission: str, rollout: str, has_image: bool
) -> None:
    image = envelope.Component("image", DIGEST, 9) if has_image else None
    bundle = envelope.Component("bundle", DIGEST, 9)
    manifest = envelope.Manifest(sequence, "1.0.0", "pole-basic", bundle, image, permission)
    trust = Trust(_public(KEY), 1)
    trust.mac = MAC
    verifying = suit.verify(envelope.sign(manifest, [KEY]), trust, CLASS_ID, own, rollout)
    try:
        is_taken = asyncio.run(verifying).sequence == sequence
    except UpdateError:
        is_taken = False
    may_go_back = sequence < own and downgrade.covers(permission, subject.of_node(MAC), rollout)
    assert is_taken == (sequence > own or may_go_back)


def test_node_and_fleet_take_both_kinds_of_keys_together() -> None:
    manifest = envelope.Manifest(4, "1.4.0", "pole-basic", envelope.Component("bundle", DIGEST, 9))
    states: list[bytes] = []
    hss = HssLmsKey(HssLmsKey.generate(), states.append)
    ed25519 = Ed25519PrivateKey.generate()
    keys = [_public(ed25519), hss.public_key()]
    both = envelope.sign(manifest, [ed25519, hss])
    assert len(both) < ENVELOPE_MAX_BYTES
    assert envelope.verify(both, keys, 2) == manifest
    assert _node_verify(both, b"".join(keys), 2).bundle.digest == DIGEST
    assert _node_verify(both, keys[1], 1).bundle.digest == DIGEST
    assert (len(states), hss.signatures_left) == (1, 1023)
    # One of two signatures is not enough, and none counts twice.
    for signers, other in (([ed25519, ed25519], hss), ([hss], ed25519)):
        signed = envelope.sign(manifest, signers)
        with pytest.raises(errors.UntrustedKeyError, match="1 of 2"):
            envelope.verify(signed, keys, 2)
        with pytest.raises(UpdateError):
            _node_verify(signed, b"".join(keys), 2)
        # A revoked key is one that is no longer trusted.
        left = [public_bytes(other)]
        with pytest.raises(errors.UntrustedKeyError, match="0 of 1"):
            envelope.verify(signed, left)
        with pytest.raises(UpdateError):
            _node_verify(signed, left[0])


def test_altered_hss_lms_signature_is_refused_everywhere() -> None:
    hss = HssLmsKey(HssLmsKey.generate(), lambda state: None)
    message = b"what is signed"
    signature = hss.sign(message)
    assert is_valid(hss.public_key(), message, signature)
    assert asyncio.run(node_hss.verify(hss.public_key(), message, signature))
    for at in (0, 3, 7, 11, 20, 50, 2000, 2190, 2200, 2511):
        altered = bytearray(signature)
        altered[at] ^= 1
        assert not is_valid(hss.public_key(), message, bytes(altered))
        assert not asyncio.run(node_hss.verify(hss.public_key(), message, bytes(altered)))
    for wrong in (b"", signature[:-1], signature + b"x", bytes(2512)):
        assert not is_valid(hss.public_key(), message, wrong)
        assert not asyncio.run(node_hss.verify(hss.public_key(), message, wrong))
    assert not asyncio.run(node_hss.verify(hss.public_key()[:-1], message, signature))


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_garbage_raises_nothing_but_the_layers_error(garbage: bytes) -> None:
    try:
        _node_verify(garbage, bytes(32))
    except UpdateError:
        return
    raise AssertionError("accepted")
