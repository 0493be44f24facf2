"""Envelopes by taylor-suit, which shares no code with ours.

What it writes, it writes as we do, with two differences of its version 0.2.2 that are tested below:
it sorts parameters by their names instead of their numbers, and it leaves out suit-validate.
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


def test_the_same_content_has_the_same_bytes() -> None:
    theirs, their_common, _ = members(
        cbor2.loads(taylor.encode_manifest(described(*PARAMETERS.values())))
    )
    ours, our_common, our_sequence = members(envelope.encode_manifest(MANIFEST))
    assert {key: cbor2.dumps(theirs[key]) for key in (1, 2)} == {
        key: cbor2.dumps(ours[key]) for key in (1, 2)
    }
    assert cbor2.dumps(their_common[2]) == cbor2.dumps(our_common[2])
    # One directive for each parameter, in the order of our one directive.
    split = [item for key in PARAMETERS for item in (20, {key: our_sequence[1][key]})]
    assert their_common[4] == cbor2.dumps(split + our_sequence[2:])


def test_what_it_does_otherwise() -> None:
    every = {name: value for one in PARAMETERS.values() for name, value in one.items()}
    theirs, _, sequence = members(cbor2.loads(taylor.encode_manifest(described(every))))
    assert list(sequence[1]) == [2, 3, 14, 1]
    assert 7 not in theirs


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
