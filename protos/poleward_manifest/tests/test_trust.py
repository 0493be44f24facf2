import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from poleward_manifest import errors, signatures, trust
from poleward_manifest.trust import Role, TrustDocument


def key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def role(*numbers: int, threshold: int = 1) -> Role:
    return Role(tuple(signatures.public_bytes(key(number)) for number in numbers), threshold)


FIRST = TrustDocument(
    1, 2_000_000_000, role(1, 2, 3, threshold=2), role(4, 5, 6, threshold=2), role(7)
)
NEXT = trust.following(FIRST, expires_at_s=2_000_000_001, root=role(2, 3, 8, threshold=2))


def test_a_document_comes_back_from_its_file() -> None:
    signed = trust.sign(FIRST, [key(1), key(2)])
    assert trust.read(signed) == trust.verify_first(signed) == FIRST
    assert trust.signers(signed) == FIRST.root.key_ids[:2]
    assert trust.sign(FIRST, [key(1), key(2)]) == signed


def test_the_next_document_needs_the_thresholds_of_both() -> None:
    assert trust.verify_next(trust.sign(NEXT, [key(2), key(3)]), FIRST) == NEXT
    for signers, whose in (((1, 2), "its own"), ((2, 8), "the previous"), ((2, 2), "its own")):
        with pytest.raises(errors.UntrustedKeyError, match=whose):
            trust.verify_next(trust.sign(NEXT, [key(number) for number in signers]), FIRST)


def test_signatures_added_one_by_one_count_together() -> None:
    one = trust.sign(NEXT, [key(2)])
    with pytest.raises(errors.UntrustedKeyError):
        trust.verify_next(one, FIRST)
    assert trust.verify_next(trust.add_signature(one, key(3)), FIRST) == NEXT


def test_the_first_document_is_signed_by_what_the_factory_wrote() -> None:
    factory = trust.of_factory(role(9).keys)
    assert trust.verify_next(trust.sign(FIRST, [key(1), key(2), key(9)]), factory) == FIRST
    with pytest.raises(errors.UntrustedKeyError, match="the previous"):
        trust.verify_next(trust.sign(FIRST, [key(1), key(2)]), factory)


def test_no_document_may_be_left_out_or_come_again() -> None:
    third = trust.following(NEXT, expires_at_s=1)
    for document in (FIRST, third):
        with pytest.raises(errors.StaleError):
            trust.verify_next(trust.sign(document, [key(1), key(2), key(3)]), FIRST)


def test_a_signature_of_another_document_does_not_count() -> None:
    _, *blocks = cbor2.loads(trust.sign(NEXT, [key(2), key(3)]))
    with pytest.raises(errors.BadSignatureError):
        trust.verify_first(cbor2.dumps([trust.encode(FIRST), *blocks]))


@pytest.mark.parametrize(
    "document",
    [
        trust.following(FIRST, expires_at_s=0),
        trust.following(FIRST, expires_at_s=1, root=Role((), 1)),
        trust.following(FIRST, expires_at_s=1, release=Role((), 1)),
        trust.following(FIRST, expires_at_s=1, release=role(4, 4)),
        trust.following(FIRST, expires_at_s=1, release=role(4, threshold=2)),
        trust.following(FIRST, expires_at_s=1, release=role(4, threshold=0)),
        trust.following(FIRST, expires_at_s=1, directive=Role((b"short",), 1)),
    ],
)
def test_an_impossible_document_is_not_written(document: TrustDocument) -> None:
    with pytest.raises(errors.MalformedError):
        trust.sign(document, [key(1), key(2)])


def test_a_document_that_no_node_takes_is_not_written() -> None:
    many = role(*range(10, 130))
    with pytest.raises(errors.TooBigError):
        trust.sign(trust.following(FIRST, expires_at_s=1, release=many), [key(1)])


@settings(max_examples=60)
@given(position=st.integers(0), flip=st.integers(1, 255), cut=st.booleans())
def test_an_altered_document_is_refused(position: int, flip: int, cut: bool) -> None:
    signed = bytearray(trust.sign(NEXT, [key(2), key(3)]))
    position %= len(signed)
    if cut:
        del signed[position:]
    else:
        signed[position] ^= flip
    with pytest.raises(errors.EnvelopeError):
        trust.verify_next(bytes(signed), FIRST)
