import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from poleward_manifest import directive, downgrade, envelope, errors
from poleward_manifest.directive import Directive
from poleward_manifest.tests import envelope_vectors

VECTORS: dict[str, Any] = json.loads(
    (envelope_vectors.FOLDER / "directive.json").read_text(encoding="utf-8")
)
RELEASES: dict[str, Any] = json.loads(
    (envelope_vectors.FOLDER / "release.json").read_text(encoding="utf-8")
)
RELEASE = envelope.envelope_digest(bytes.fromhex(RELEASES["new"]["envelope"]))
MAC = bytes.fromhex(VECTORS["mac"])
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
GOOD = Directive(RELEASE, MAC, "7", 10, 20)
SECONDS = st.integers(0, 2**31 - 1)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["name"]))
def test_vector_is_followed_or_refused_as_written(case: dict[str, Any]) -> None:
    signed, key = bytes.fromhex(case["directive"]), bytes.fromhex(VECTORS["directive_key"])
    if case["error"] is None:
        found = directive.verify(signed, [key], 1, release=RELEASE, mac=MAC)
        assert found.rollout == VECTORS["rollout"]
        # A node whose clock is not set yet cannot tell.
        assert found.holds(case["now_s"]) or case["result"] or not case["now_s"]
        return
    with pytest.raises(errors.EnvelopeError) as caught:
        directive.verify(signed, [key], 1, release=RELEASE, mac=MAC)
    assert type(caught.value).__name__ == case["error"]


@settings(max_examples=60)
@given(
    st.builds(
        Directive,
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=6, max_size=6),
        st.from_regex(directive.ROLLOUT_NAME, fullmatch=True),
        SECONDS,
        st.just(2**31 - 1),
    )
)
def test_directive_comes_back_for_its_own_node_and_release_only(said: Directive) -> None:
    signed = directive.sign(said, [KEY])
    assert directive.verify(signed, [PUBLIC], 1, release=said.release, mac=said.mac) == said
    for release, mac in ((bytes(32), said.mac), (said.release, bytes(6))):
        if (release, mac) != (said.release, said.mac):
            with pytest.raises(errors.WrongNodeError):
                directive.verify(signed, [PUBLIC], 1, release=release, mac=mac)


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0), flip=st.integers(1, 255), cut=st.booleans())
def test_an_altered_directive_is_refused(position: int, flip: int, cut: bool) -> None:
    signed = bytearray(directive.sign(GOOD, [KEY]))
    position %= len(signed)
    if cut:
        del signed[position:]
    else:
        signed[position] ^= flip
    with pytest.raises(errors.EnvelopeError):
        directive.verify(bytes(signed), [PUBLIC], 1, release=RELEASE, mac=MAC)


@pytest.mark.parametrize(
    "impossible",
    [
        Directive(RELEASE[:31], MAC, "7", 10, 20),
        Directive(RELEASE, b"", "7", 10, 20),
        Directive(RELEASE, MAC, "", 10, 20),
        Directive(RELEASE, MAC, "two words", 10, 20),
        Directive(RELEASE, MAC, "7", 20, 10),
        Directive(RELEASE, MAC, "7", 10, 2**31),
    ],
)
def test_an_impossible_directive_is_not_written(impossible: Directive) -> None:
    with pytest.raises(errors.MalformedError):
        directive.sign(impossible, [KEY])


def test_a_permission_covers_its_node_or_its_rollout_and_nothing_else() -> None:
    assert downgrade.covers(f"node:{MAC.hex()}", MAC, "")
    assert downgrade.covers("rollout:back", MAC, "back")
    for permission in ("", "rollout:", "rollout:other", "node:0a0b0c0d0e0f"):
        for rollout in ("", "back"):
            assert not downgrade.covers(permission, MAC, rollout)
