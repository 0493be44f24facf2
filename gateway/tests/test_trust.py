"""Trust documents on their way from the fleet to a node, and who may sign releases then."""

import hashlib
from collections.abc import Callable

import pytest
from aiocoap.numbers import codes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateway_fakes.desired import desired_node, desired_release
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import FakeNode, until

from poleward.v1 import gateway_link_service_pb2 as pb
from poleward_gateway import bootstrap
from poleward_gateway.adapters.releases.verifier import ChainVerifier
from poleward_gateway.adapters.storage.trust import FolderTrustStore
from poleward_gateway.domain.nodes import NodeNumber
from poleward_manifest import trust
from poleward_manifest.envelope import Component, Manifest, sign
from poleward_manifest.trust import Role, TrustDocument

ROOT, OTHER_ROOT, ONE, TWO, THREE = (Ed25519PrivateKey.generate() for _ in range(5))
BUNDLE = b"bundle" * 50


def role(*keys: Ed25519PrivateKey, threshold: int = 1) -> Role:
    return Role(tuple(key.public_key().public_bytes_raw() for key in keys), threshold)


FIRST = TrustDocument(1, 2**31 - 2, role(ROOT), role(ONE, TWO, THREE, threshold=2), Role((), 1))
SECOND = trust.following(
    FIRST, expires_at_s=2**31 - 2, root=role(OTHER_ROOT), release=role(TWO, THREE, threshold=2)
)


def give(fleet: FakeFleet, content: bytes) -> bytes:
    digest = hashlib.sha256(content).digest()
    fleet.artifacts[digest] = content
    return digest


def publish(fleet: FakeFleet, *keys: Ed25519PrivateKey) -> bytes:
    give(fleet, BUNDLE)
    return give(fleet, sign(Manifest(2, "1.2.0", "pole-basic", Component.of_bundle(BUNDLE)), keys))


def desire(
    fleet: FakeFleet, *documents: bytes, keys: Role = FIRST.release, release: bytes = b"",
    revision: int = 2,
) -> None:  # fmt: skip
    nodes = [desired_node(1, release=desired_release(release)), desired_node(2), desired_node(3)]
    fleet.desire(
        nodes, revision=revision, release_keys=keys.keys, release_threshold=keys.threshold,
        trust_documents=tuple(give(fleet, document) for document in documents),
    )  # fmt: skip


def rejected(fleet: FakeFleet) -> Callable[[], bool]:
    return lambda: 1 in fleet.states and fleet.states[1].update.state == pb.UPDATE_STATE_REJECTED


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poleward_gateway.services.trust.FETCH_AGAIN_S", 0.1)
    monkeypatch.setattr("poleward_gateway.services.trust.ANNOUNCE_AGAIN_S", 0.1)
    monkeypatch.setattr("poleward_gateway.services.upkeep.TICK_S", 0.05)


@pytest.mark.usefixtures("quick")
async def test_a_node_hears_of_documents_and_fetches_each(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    documents = [trust.sign(FIRST, [ROOT]), trust.sign(SECOND, [ROOT, OTHER_ROOT])]
    desire(fleet, *documents, keys=SECOND.release)
    await until(lambda: ("/26243/0/4", 2) in node.writes)
    for number, document in enumerate(documents, start=1):
        assert await node.fetch("t", str(number)) == document
    # Asking for a third says that the node has the second.
    answer = await node.request(node.operational_context, codes.GET, ("t", "3"))
    assert answer.code == codes.NOT_FOUND
    await until(lambda: gateway.registry.trust_version(NodeNumber(1)) == 2)
    for odd in ("0", "-1", "x", "9" * 200):
        answer = await node.request(node.operational_context, codes.GET, ("t", odd))
        assert answer.code == codes.NOT_FOUND


@pytest.mark.usefixtures("quick")
async def test_one_of_two_signatures_is_not_served(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    desire(fleet, trust.sign(FIRST, [ROOT]), release=publish(fleet, ONE))
    await until(rejected(fleet))
    assert "1 of 2" in fleet.states[1].update.reason
    desire(fleet, trust.sign(FIRST, [ROOT]), release=publish(fleet, ONE, TWO), revision=3)
    await until(lambda: any(name == "/5/0/1" for name, _ in node.writes))


@pytest.mark.usefixtures("quick")
async def test_a_release_is_not_served_any_more_once_its_key_is_revoked(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    release = publish(fleet, ONE, TWO)
    desire(fleet, trust.sign(FIRST, [ROOT]), release=release)
    await until(lambda: any(name == "/5/0/1" for name, _ in node.writes))
    assert await node.fetch("r", release.hex()) == fleet.artifacts[release]
    desire(
        fleet, trust.sign(FIRST, [ROOT]), keys=role(TWO, THREE, threshold=2), release=release,
        revision=3,
    )  # fmt: skip
    await until(lambda: gateway.trust.signers().keys == role(TWO, THREE).keys)
    answer = await node.request(node.operational_context, codes.GET, ("r", release.hex()))
    assert answer.code == codes.NOT_FOUND
    await until(rejected(fleet))


@pytest.mark.usefixtures("quick")
async def test_nothing_is_served_under_a_document_that_has_expired(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    release = publish(fleet, ONE, TWO)
    first = trust.sign(FIRST, [ROOT])
    desire(fleet, first, release=release)
    await until(lambda: any(name == "/5/0/1" for name, _ in node.writes))
    assert await node.fetch("r", release.hex()) == fleet.artifacts[release]
    expired = trust.following(FIRST, expires_at_s=1)
    documents = [first, trust.sign(expired, [ROOT])]
    desire(fleet, *documents, release=release, revision=3)
    await until(rejected(fleet))
    assert "trust document 2 has expired" in fleet.states[1].update.reason
    answer = await node.request(node.operational_context, codes.GET, ("r", release.hex()))
    assert answer.code == codes.NOT_FOUND
    documents.append(trust.sign(trust.following(expired, expires_at_s=2**31 - 2), [ROOT]))
    desire(fleet, *documents, revision=4)
    await until(lambda: gateway.trust.document(3) is not None)
    offers = len(node.writes)
    desire(fleet, *documents, release=release, revision=5)
    await until(lambda: any(name == "/5/0/1" for name, _ in node.writes[offers:]))


@pytest.mark.usefixtures("quick")
async def test_a_fleet_cannot_add_keys_that_the_document_does_not_name(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    stolen = role(ONE, Ed25519PrivateKey.generate(), threshold=1)
    desire(fleet, trust.sign(FIRST, [ROOT]), keys=stolen)
    await until(lambda: gateway.trust.document(1) is not None)
    assert gateway.trust.signers().keys == role(ONE).keys
    assert gateway.trust.signers().threshold == 2


@pytest.mark.usefixtures("quick")
async def test_a_document_that_the_one_before_did_not_sign_changes_nothing(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    first = trust.sign(FIRST, [ROOT])
    forged = trust.sign(SECOND, [OTHER_ROOT])
    desire(fleet, first, forged, keys=SECOND.release)
    await until(lambda: fleet.downloads.count((trust.digest(forged), 0)) >= 2)
    assert gateway.trust.document(1) == first
    assert gateway.trust.document(2) is None
    assert gateway.trust.signers().threshold == 2


@pytest.mark.usefixtures("quick")
async def test_documents_survive_a_restart_and_damaged_ones_do_not(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    documents = [trust.sign(FIRST, [ROOT]), trust.sign(SECOND, [ROOT, OTHER_ROOT])]
    desire(fleet, *documents)
    await until(lambda: gateway.trust.document(2) is not None)
    store = gateway.trust._store
    assert isinstance(store, FolderTrustStore)
    assert list(store.documents()) == documents
    verifier = ChainVerifier()
    first = verifier.verify_next(documents[0], None)
    assert verifier.verify_next(documents[1], first).signers.keys == role(TWO, THREE).keys
