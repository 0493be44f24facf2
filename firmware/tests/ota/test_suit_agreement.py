"""The node's reader of envelopes against the one of gateway and fleet, on generated releases."""

import asyncio

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from node.ota import suit
from node.ota.errors import UpdateError
from nodelink.limits import BUNDLE_MAX_BYTES
from nodelink.release_format import CLASS_IDS
from poleward_manifest import envelope, errors

CLASS_ID = CLASS_IDS["pole-basic"]
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


def _node_verify(signed: bytes, keys: bytes, threshold: int = 1) -> suit.Release:
    return asyncio.run(suit.verify(signed, keys, CLASS_ID, 0, threshold))


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


@settings(max_examples=40, deadline=None)
@given(MANIFESTS, st.lists(KEYS, min_size=1, max_size=3, unique_by=_public))
def test_node_reads_what_the_release_team_signed(
    manifest: envelope.Manifest, keys: list[Ed25519PrivateKey]
) -> None:
    signed = envelope.sign(manifest, keys)
    release = _node_verify(signed, b"".join(map(_public, keys)), len(keys))
    assert release.sequence == manifest.sequence
    assert release.version == manifest.version
    assert (release.digest, release.size_bytes) == (
        manifest.bundle.digest,
        manifest.bundle.size_bytes,
    )


@settings(max_examples=150, deadline=None)
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
    assert release is None or release.digest == manifest.bundle.digest


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_garbage_raises_nothing_but_the_layers_error(garbage: bytes) -> None:
    try:
        _node_verify(garbage, bytes(32))
    except UpdateError:
        return
    raise AssertionError("accepted")
