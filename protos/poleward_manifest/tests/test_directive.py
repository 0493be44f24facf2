import json
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from poleward_manifest import cose, directive, downgrade, envelope, errors, subject
from poleward_manifest.directive import Directive
from poleward_manifest.tests import envelope_vectors

VECTORS: dict[str, Any] = json.loads(
    (envelope_vectors.FOLDER / "directive.json").read_text(encoding="utf-8")
)
RELEASES: dict[str, Any] = json.loads(
    (envelope_vectors.FOLDER / "release.json").read_text(encoding="utf-8")
)
RELEASE = envelope.envelope_digest(bytes.fromhex(RELEASES["new"]["envelope"]))
NODE = subject.of_node(bytes.fromhex(VECTORS["mac"]))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
GOOD = Directive(RELEASE, NODE, "7", 10, 20)
SUBJECTS = st.one_of(
    st.binary(min_size=6, max_size=6).map(subject.of_node),
    st.from_regex(r"[a-z0-9][a-z0-9.-]{0,62}", fullmatch=True).map(subject.of_gateway),
)
SECONDS = st.integers(0, 2**31 - 1)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["name"]))
def test_vector_is_followed_or_refused_as_written(case: dict[str, Any]) -> None:
    signed, key = bytes.fromhex(case["directive"]), bytes.fromhex(VECTORS["directive_key"])
    if case["error"] is None:
        found = directive.verify(signed, [key], 1, release=RELEASE, subject=NODE)
        assert found.rollout == VECTORS["rollout"]
        # A node whose clock is not set yet cannot tell.
        assert found.holds(case["now_s"]) or case["result"] or not case["now_s"]
        return
    with pytest.raises(errors.EnvelopeError) as caught:
        directive.verify(signed, [key], 1, release=RELEASE, subject=NODE)
    assert type(caught.value).__name__ == case["error"]


@settings(max_examples=60)
@given(
    st.builds(
        Directive,
        st.binary(min_size=32, max_size=32),
        SUBJECTS,
        st.from_regex(directive.ROLLOUT_NAME, fullmatch=True),
        SECONDS,
        st.just(2**31 - 1),
    )
)
def test_directive_comes_back_for_its_own_subject_and_release_only(said: Directive) -> None:
    signed = directive.sign(said, [KEY])
    assert directive.verify(signed, [PUBLIC], 1, release=said.release, subject=said.subject) == said
    for release, other in ((bytes(32), said.subject), (said.release, "node:000000000000")):
        if (release, other) != (said.release, said.subject):
            with pytest.raises(errors.WrongSubjectError):
                directive.verify(signed, [PUBLIC], 1, release=release, subject=other)


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
        directive.verify(bytes(signed), [PUBLIC], 1, release=RELEASE, subject=NODE)


@pytest.mark.parametrize(
    "impossible",
    [
        Directive(RELEASE[:31], NODE, "7", 10, 20),
        Directive(RELEASE, "node:", "7", 10, 20),
        Directive(RELEASE, NODE, "", 10, 20),
        Directive(RELEASE, NODE, "two words", 10, 20),
        Directive(RELEASE, NODE, "7", 20, 10),
        Directive(RELEASE, NODE, "7", 10, 2**31),
    ],
)
def test_an_impossible_directive_is_not_written(impossible: Directive) -> None:
    with pytest.raises(errors.MalformedError):
        directive.sign(impossible, [KEY])


@pytest.mark.parametrize(
    "said", [bytes(5), bytes(9), "gateway:", "gateway:Gw", "node:000000000000"]
)
def test_a_directive_for_nobody_is_refused(said: bytes | str) -> None:
    payload = cbor2.dumps([RELEASE, said, "7", 10, 20])
    with pytest.raises(errors.MalformedError):
        directive.verify(cose.signed(payload, [KEY]), [PUBLIC], 1, release=RELEASE, subject=NODE)


def test_a_permission_covers_its_subject_or_its_rollout_and_nothing_else() -> None:
    for one in (NODE, "gateway:gw-1"):
        assert downgrade.covers(one, one, "")
        assert downgrade.covers("rollout:back", one, "back")
        for permission in ("", "rollout:", "rollout:other", "node:0a0b0c0d0e0f", "gateway:gw"):
            for rollout in ("", "back"):
                assert not downgrade.covers(permission, one, rollout)


@pytest.mark.parametrize("profile", ["pole-basic", "gateway"])
def test_a_release_permits_going_back_to_those_that_run_it_only(profile: str) -> None:
    kinds = {"pole-basic": NODE, "gateway": "gateway:gw-1"}
    for permission in ("", "rollout:back", kinds.pop(profile)):
        downgrade.check(permission, profile)
    (other,) = kinds.values()
    with pytest.raises(errors.WrongClassError, match="cannot go back"):
        downgrade.check(other, profile)
    for permission in ("rollout:", "gateway:Gw", "node:1", "gw-1"):
        with pytest.raises(errors.MalformedError):
            downgrade.check(permission, profile)
