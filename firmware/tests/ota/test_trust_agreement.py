"""The node's walk along trust documents against the documents that the key holders' side makes."""

import asyncio
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from node.codec.cbor import CborError
from node.ota import suit, trust_chain
from node.ota.errors import FetchRefused, UpdateError
from node.ota.trust import Trust
from nodelink.limits import ENVELOPE_MAX_BYTES
from poleward_manifest import envelope, errors, trust
from poleward_manifest.signatures import public_bytes
from poleward_manifest.trust import Role, TrustDocument

EXPIRES_AT_S = 2_000_000_000
# What reading something of another shape ends in.
MALFORMED = (CborError, KeyError, IndexError, TypeError, ValueError, AttributeError)


def key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def role(*numbers: int, threshold: int = 1) -> Role:
    return Role(tuple(public_bytes(key(number)) for number in numbers), threshold)


FACTORY = role(9)
FIRST = TrustDocument(1, EXPIRES_AT_S, role(1, 2, 3, threshold=2), role(4, 5), role(7))
SECOND = trust.following(FIRST, expires_at_s=EXPIRES_AT_S, root=role(2, 3, 8, threshold=2))
THIRD = trust.following(SECOND, expires_at_s=EXPIRES_AT_S, release=role(5, 6, threshold=2))
MANIFEST = envelope.Manifest(4, "1.4.0", "pole-basic", envelope.Component("bundle", bytes(32), 9))
CHAIN = {
    "1": trust.sign(FIRST, [key(9), key(1), key(2)]),
    "2": trust.sign(SECOND, [key(2), key(3)]),
    "3": trust.sign(THIRD, [key(3), key(8)]),
}


class Nvs:
    """A namespace that survives what happens to the node; `fails` breaks the next write."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.fails = False

    def get_blob(self, name: str, buffer: bytearray) -> int:
        if name not in self.blobs:
            raise OSError
        blob = self.blobs[name]
        buffer[: len(blob)] = blob
        return len(blob)

    def set_blob(self, name: str, blob: bytes) -> None:
        if self.fails:
            raise OSError
        self.blobs[name] = bytes(blob)

    def commit(self) -> None:
        pass


def boot(nvs: Nvs, now_s: int = 0) -> Trust:
    return Trust(FACTORY.keys[0], 1).load(nvs, lambda: now_s, bytes(6))


def walk(node: Trust, documents: dict[str, bytes]) -> None:
    async def fetch(path: tuple[str, str], sink: Any, *, start_block: int) -> None:
        if path[1] not in documents:
            raise FetchRefused(False)
        sink.write(memoryview(documents[path[1]]))

    asyncio.run(trust_chain.walk(node, fetch))


def test_a_node_several_documents_behind_walks_the_chain() -> None:
    nvs = Nvs()
    node = boot(nvs)
    assert (node.version, node.release) == (0, [1, *FACTORY.keys])
    walk(node, CHAIN)
    for found in (node, boot(nvs)):
        assert (found.version, found.release) == (3, [2, *THIRD.release.keys])
        assert found.root == [2, *THIRD.root.keys]
        assert found.directive == [1, *THIRD.directive.keys]


def test_a_walk_that_is_cut_goes_on_where_it_was() -> None:
    nvs = Nvs()
    node = boot(nvs)
    walk(node, {"1": CHAIN["1"]})
    nvs.fails = True
    with pytest.raises(OSError):
        walk(node, CHAIN)
    nvs.fails = False
    after = boot(nvs)
    assert after.version == 1
    walk(after, CHAIN)
    assert after.version == 3


@pytest.mark.parametrize(
    "second",
    [
        trust.sign(SECOND, [key(3), key(8)]),
        trust.sign(SECOND, [key(1), key(2)]),
        trust.sign(SECOND, [key(2), key(2)]),
        trust.sign(SECOND, []),
        CHAIN["1"],
        CHAIN["3"],
        b"",
        b"\x80",
        b"\x81\x40",
        b"\x81\xa0",
    ],
)
def test_what_does_not_follow_changes_nothing(second: bytes) -> None:
    nvs = Nvs()
    node = boot(nvs)
    walk(node, {"1": CHAIN["1"]})
    with pytest.raises((UpdateError, *MALFORMED)):
        walk(node, {"2": second})
    assert node.version == boot(nvs).version == 1
    with pytest.raises(errors.EnvelopeError):
        trust.verify_next(second, FIRST)


def test_an_endless_document_is_given_up() -> None:
    with pytest.raises(ValueError):
        walk(boot(Nvs()), {"1": bytes(ENVELOPE_MAX_BYTES + 1)})


def test_an_expired_document_lets_nothing_be_installed() -> None:
    nvs = Nvs()
    walk(boot(nvs), CHAIN)
    for now_s, refusal in (
        (EXPIRES_AT_S - 1, "another board class"),
        (0, "another board class"),  # the clock is not set yet
        (EXPIRES_AT_S, "expired"),
    ):
        signed = envelope.sign(MANIFEST, [key(5), key(6)])
        with pytest.raises(UpdateError) as caught:
            asyncio.run(suit.verify(signed, boot(nvs, now_s=now_s), b"", 0))
        assert refusal in caught.value.reason


@settings(max_examples=60)
@given(position=st.integers(0), flip=st.integers(1, 255), cut=st.booleans())
def test_both_sides_refuse_the_same_altered_documents(position: int, flip: int, cut: bool) -> None:
    altered = bytearray(CHAIN["2"])
    position %= len(altered)
    if cut:
        del altered[position:]
    else:
        altered[position] ^= flip
    nvs = Nvs()
    node = boot(nvs)
    node.version, node.root = 1, [2, *FIRST.root.keys]
    with pytest.raises((UpdateError, *MALFORMED)):
        walk(node, {"2": bytes(altered)})
    assert not nvs.blobs
