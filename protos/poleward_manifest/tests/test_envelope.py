import hashlib
import json
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from nodelink.release_format import CLASS_IDS
from poleward_manifest import envelope, errors
from poleward_manifest.tests import envelope_vectors

VECTORS: dict[str, Any] = json.loads(
    (envelope_vectors.FOLDER / "envelope.json").read_text(encoding="utf-8")
)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
MANIFEST = envelope.Manifest(
    7, "1.2.3", "pole-basic", envelope.Component("bundle", hashlib.sha256(b"x").digest(), 1)
)


def test_committed_vectors_are_what_the_generator_makes() -> None:
    for name, vectors in envelope_vectors.make().items():
        committed = (envelope_vectors.FOLDER / name).read_text(encoding="utf-8")
        assert committed == envelope_vectors.encode(vectors)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["name"]))
def test_vector_is_accepted_or_refused_as_written(case: dict[str, Any]) -> None:
    keys = bytes.fromhex(case["trusted_keys"])
    trusted = [keys[at : at + 32] for at in range(0, len(keys), 32)]
    signed = bytes.fromhex(case["envelope"])
    if case["error"] is None:
        # Whether the release is new to a node, only the node can say.
        assert envelope.verify(signed, trusted, case["threshold"]).version == "1.4.0"
        return
    with pytest.raises(errors.EnvelopeError) as caught:
        envelope.verify(signed, trusted, case["threshold"])
    assert type(caught.value).__name__ == case["error"]


def test_manifest_comes_back_from_its_envelope() -> None:
    signed = envelope.sign(MANIFEST, [KEY])
    assert envelope.read(signed) == MANIFEST
    assert envelope.verify(signed, [PUBLIC]) == MANIFEST
    assert envelope.signers(signed) == (envelope.key_id(PUBLIC),)


def test_signing_is_deterministic() -> None:
    assert envelope.sign(MANIFEST, [KEY]) == envelope.sign(MANIFEST, [KEY])


def test_signatures_added_one_by_one_equal_signatures_made_together() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    one_by_one = envelope.add_signature(envelope.sign(MANIFEST, []), KEY)
    one_by_one = envelope.add_signature(one_by_one, other)
    assert one_by_one == envelope.sign(MANIFEST, [KEY, other])
    assert envelope.add_signature(one_by_one, other) == one_by_one


def test_digest_covers_the_manifest_as_example_1_of_the_draft_shows() -> None:
    # draft-ietf-suit-manifest-37, B.2: manifest and its SHA-256.
    manifest = bytes.fromhex(
        "a50101020103585fa202818141000458568614a40150fa6b4a53d5ad5fdfbe9de663e4d41ffe02501492"
        "af1425695e48bf429b2d51f2ab45035824822f582000112233445566778899aabbccddeeff0123456789"
        "abcdeffedcba98765432100e1987d0010f020f074382030f1458258614a115781b687474703a2f2f6578"
        "616d706c652e636f6d2f66696c652e62696e1502030f"
    )
    digest = "1f2e7acca0dc2786f2fe4eb947f50873a6a3cfaa98866c5b02e621f42074daf2"
    authentication = [cbor2.dumps([-16, bytes.fromhex(digest)])]
    encoded = cbor2.dumps(cbor2.CBORTag(107, {2: cbor2.dumps(authentication), 3: manifest}))
    # Its digest is right; it is refused for its fetch command, which our nodes do not execute.
    with pytest.raises(errors.MalformedError, match="members a node understands"):
        envelope.read(encoded)
    altered = encoded.replace(b"example", b"exumple")
    with pytest.raises(errors.DigestMismatchError):
        envelope.read(altered)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"version": "1.2"}, errors.MalformedError),
        ({"version": '1.2.3"'}, errors.MalformedError),
        ({"version": "01.2.3"}, errors.MalformedError),
        ({"sequence": 0}, errors.MalformedError),
        ({"sequence": 2**31}, errors.MalformedError),
        ({"board_profile": "pole-luxury"}, errors.WrongClassError),
        ({"bundle": envelope.Component("bundle", bytes(32), 0)}, errors.TooBigError),
        ({"bundle": envelope.Component("bundle", bytes(32), 2**20)}, errors.TooBigError),
    ],
)
def test_manifest_that_no_node_would_take_is_not_encoded(
    change: dict[str, Any], error: type[errors.EnvelopeError]
) -> None:
    fields = {
        "sequence": 7,
        "version": "1.2.3",
        "board_profile": "pole-basic",
        "bundle": MANIFEST.bundle,
        **change,
    }
    with pytest.raises(error):
        envelope.encode_manifest(envelope.Manifest(**fields))


@given(st.binary(max_size=300))
def test_garbage_raises_nothing_but_envelope_errors(garbage: bytes) -> None:
    with pytest.raises(errors.EnvelopeError):
        envelope.verify(garbage, [PUBLIC])


@settings(max_examples=300)
@given(st.data())
def test_no_altered_byte_goes_unnoticed(data: st.DataObject) -> None:
    signed = bytearray(envelope.sign(MANIFEST, [KEY]))
    at = data.draw(st.integers(0, len(signed) - 1))
    signed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(errors.EnvelopeError):
        envelope.verify(bytes(signed), [PUBLIC])


@given(
    st.integers(1, 2**31 - 1),
    st.tuples(*[st.integers(0, 999_999)] * 3),
    st.sampled_from(sorted(CLASS_IDS)),
    st.binary(min_size=32, max_size=32),
    st.integers(1, 384 * 1024),
)
def test_every_manifest_survives_encoding(
    sequence: int, version: tuple[int, int, int], profile: str, digest: bytes, size_bytes: int
) -> None:
    manifest = envelope.Manifest(
        sequence,
        ".".join(map(str, version)),
        profile,
        envelope.Component("bundle", digest, size_bytes),
    )
    assert envelope.read(envelope.sign(manifest, [])) == manifest
