"""Envelopes by taylor-suit, which shares no code with ours.

It writes as we do, byte for byte, with two differences of its version 0.2.2: it sorts
the parameters of one directive by their names instead of their numbers, and of the command
sequences it knows the shared one only, so it leaves out suit-validate.
"""

import hashlib
from typing import Any

import cbor2
import pytest
import taylor

from nodelink.release_format import CLASS_IDS, VENDOR_ID
from poleward_manifest import envelope
from poleward_manifest.errors import MalformedError
from poleward_manifest.overview import overview

CLASS_ID = CLASS_IDS["pole-basic"]
DIGEST = hashlib.sha256(b"bundle").digest()
MANIFEST = envelope.Manifest(4, "1.4.0", "pole-basic", envelope.Component("bundle", DIGEST, 600))
PARAMETERS: dict[int, dict[str, Any]] = {
    1: {"vendor-id": VENDOR_ID.hex()},
    2: {"class-id": CLASS_ID.hex()},
    3: {"image-digest": {"algorithm": "sha256", "digest": DIGEST.hex()}},
    14: {"image-size": 600},
}


def described(*overrides: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": 1,
        "sequence-number": 4,
        "suit-common": {
            "suit-components": [[b"bundle".hex()]],
            "suit-shared-sequence": [
                *({"suit-directive-override-parameters": one} for one in overrides),
                {"suit-condition-vendor-identifier": 15},
                {"suit-condition-class-identifier": 15},
            ],
        },
        "suit-set-version": [1, 4, 0],
        "suit-validate": [{"suit-condition-image-match": 15}],
    }


def members(encoded: bytes) -> tuple[dict[int, Any], dict[int, Any], list[Any]]:
    manifest = cbor2.loads(encoded)
    common = cbor2.loads(manifest[3])
    return manifest, common, cbor2.loads(common[4])


def sequence_by_taylor(*commands: dict[str, Any]) -> bytes:
    """Have it encode a command sequence; it knows one place for them."""
    common = described()["suit-common"] | {"suit-shared-sequence": list(commands)}
    _, encoded, _ = members(
        cbor2.loads(taylor.encode_manifest(described() | {"suit-common": common}))
    )
    return bytes(encoded[4])


def test_the_same_content_has_the_same_bytes() -> None:
    theirs = cbor2.loads(taylor.encode_manifest(described(*PARAMETERS.values())))
    ours, our_common, our_sequence = members(envelope.encode_manifest(MANIFEST))
    # One directive for each parameter, in the order of our one directive, and no suit-validate.
    split = [item for key in PARAMETERS for item in (20, {key: our_sequence[1][key]})]
    common = our_common | {4: cbor2.dumps(split + our_sequence[2:])}
    comparable = ours | {3: cbor2.dumps(common)}
    del comparable[7]
    assert theirs == cbor2.dumps(comparable)
    assert sequence_by_taylor({"suit-condition-image-match": 15}) == ours[7]


def test_ours_is_the_deterministic_encoding() -> None:
    """RFC 8949, 4.2.1: shortest heads, keys in ascending order."""
    whole, common, sequence = members(envelope.encode_manifest(MANIFEST))
    assert list(whole) == [1, 2, 3, 6, 7]
    assert list(common) == [2, 4]
    assert list(sequence[1]) == [1, 2, 3, 14]
    assert cbor2.dumps(whole, canonical=True) == envelope.encode_manifest(MANIFEST)
    assert cbor2.dumps(common, canonical=True) == whole[3]
    assert cbor2.dumps(sequence, canonical=True) == common[4]


def test_what_it_does_otherwise() -> None:
    every = {name: value for one in PARAMETERS.values() for name, value in one.items()}
    theirs, common, sequence = members(cbor2.loads(taylor.encode_manifest(described(every))))
    assert 7 not in theirs
    # In ascending order, as RFC 8949, 4.2.1 has it, the same map has the same bytes as ours.
    assert list(sequence[1]) == [2, 3, 14, 1]
    ours, our_common, _ = members(envelope.encode_manifest(MANIFEST))
    sequence[1] = {key: sequence[1][key] for key in sorted(sequence[1])}
    assert cbor2.dumps(sequence) == our_common[4]
    assert cbor2.dumps(theirs | {3: cbor2.dumps(common | {4: our_common[4]}), 7: ours[7]}) == (
        envelope.encode_manifest(MANIFEST)
    )


@pytest.mark.parametrize("overrides", [1, 4])
def test_its_envelopes_are_read(overrides: int) -> None:
    every = {name: value for one in PARAMETERS.values() for name, value in one.items()}
    parts = [every] if overrides == 1 else list(PARAMETERS.values())
    found = overview(taylor.build_envelope(described(*parts)))
    assert (found.sequence, found.version, found.components) == (4, "1.4.0", ("bundle",))
    assert (found.vendor_id, found.class_id) == (VENDOR_ID, CLASS_ID)
    assert (found.digest, found.size_bytes) == (DIGEST, 600)
    assert (found.signatures, found.is_intact) == (0, True)
    assert "a node understands" in found.refusal


def test_our_own_envelopes_are_read_and_altered_ones_noticed() -> None:
    ours = envelope.sign(MANIFEST, [])
    found = overview(ours)
    assert (found.version, found.is_intact, found.refusal) == ("1.4.0", True, "")
    altered = bytearray(ours)
    altered[-1] ^= 1
    assert overview(bytes(altered)).is_intact is False
    for garbage in (b"", b"\x00", b"\xff" * 9, ours[:40], ours[2:]):
        with pytest.raises(MalformedError):
            overview(garbage)
