"""Releases that are not what was signed: from the fleet's own store, and from a stolen gateway.

Not bad releases that are properly signed: test_rollout_stops.py.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hil_tests.conftest import RigNode, making_nodes
from hil_tests.instruments.second_gateway import other_gateway
from hil_tests.test_rollout_stops import ENDED_S, Street
from nodelink.release_format import CLASS_IDS
from poleward_manifest import bundle, cose, trust
from poleward_manifest import envelope as envelopes
from poleward_manifest.signatures import SigningKey, public_bytes
from poleward_tools.client.rollout_views import Rollout, RolloutPolicy, RolloutTarget
from poleward_tools.demo.city import City
from poleward_tools.demo.factory import BuiltRelease, with_bad_signature

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

STOLEN = Path(__file__).with_name("instruments") / "stolen_gateway.py"
ONCE = RolloutPolicy(max_attempts=1)
# What fails for another reason, a lost link for example, is asked again.
AGAIN = RolloutPolicy(max_attempts=3, retry_s=1)
ENDLESS = bytes(16 * 1024 * 1024)
LAMP_PERCENT = 37

Loot = dict[str, bytes]


@dataclass(slots=True)
class Scene:
    """A node, the release that it shall get, and keys.

    Args:
        digest: Of the release's envelope.
        second: A key of ours that the factory did not give to the node.
        loot: Folder of what the stolen gateway gives; none where the gateway is honest.
    """

    node: RigNode
    release: BuiltRelease
    digest: bytes
    second: Ed25519PrivateKey
    loot: Path = Path()

    @property
    def city(self) -> City:
        return self.node.city

    @property
    def component(self) -> bytes:
        return hashlib.sha256(self.release.bundle).digest()

    def begin(self, policy: RolloutPolicy = AGAIN) -> int:
        target = RolloutTarget(pole_codes=(self.node.pole.code,))
        return self.city.client.rollouts.create(self.digest, target, policy).number

    def wait_over(self, number: int) -> Rollout:
        rollouts = self.city.client.rollouts
        self.node.wait_until(
            lambda: rollouts.get(number).is_over, f"rollout {number} over", ENDED_S
        )
        return rollouts.get(number)

    def refused(self, policy: RolloutPolicy = AGAIN) -> tuple[str, str]:
        """Roll the release out; return in which state it ends, and why, with all as it was."""
        (before,) = (count.boot for count in self.node.counts())
        (ended,) = self.wait_over(self.begin(policy)).nodes
        self.node.wait_reports(1)
        assert [count.boot for count in self.node.counts()] == [before], "it did not restart"
        assert self.node.view().bundle_version == "1.0.0"
        assert self.node.value("lamp.level_percent") == LAMP_PERCENT
        return ended.state, ended.reason


@pytest.fixture(scope="module")
def release(rig: City, tmp_path_factory: pytest.TempPathFactory) -> BuiltRelease:
    """A release that is as it should be."""
    return Street(rig, (), tmp_path_factory.mktemp("firmware")).publish()


def scene_of(node: RigNode, release: BuiltRelease, loot: Path = Path()) -> Scene:
    node.wait_online()
    assert node.city.client.set_pole_lamp(node.pole.code, LAMP_PERCENT).status == "done"
    node.wait_until(lambda: node.value("lamp.level_percent") == LAMP_PERCENT, "lit")
    digest = hashlib.sha256(release.envelope).digest()
    return Scene(node, release, digest, Ed25519PrivateKey.generate(), loot)


@pytest.fixture(scope="module")
def honest(rig: City, release: BuiltRelease) -> Iterator[Scene]:
    """A node behind the city's gateway."""
    with making_nodes(rig) as make:
        yield scene_of(make(), release)


@pytest.fixture(scope="module")
def stolen(rig: City, release: BuiltRelease) -> Iterator[Scene]:
    """A node behind a gateway that a thief has."""
    with (
        other_gateway(rig, "gw-stolen", script=STOLEN) as gateway,
        making_nodes(rig) as make,
    ):
        (gateway.folder / "loot").mkdir()
        node = make(gateway_uri=gateway.coap, gateway_name=gateway.name)
        yield scene_of(node, release, gateway.folder / "loot")


# The fleet's own copies


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: altered(content),
        lambda content: content[: len(content) // 2],
        lambda content: ENDLESS,
        None,
    ],
    ids=["altered", "truncated", "endless", "missing"],
)
@pytest.mark.parametrize("part", ["envelope", "component"])
def test_a_copy_in_the_fleet_that_is_not_the_signed_one_goes_no_further(
    honest: Scene, part: str, damage: Callable[[bytes], bytes] | None
) -> None:
    digest = honest.digest if part == "envelope" else honest.component
    path = honest.city.fleet_dir / "artifacts" / digest.hex()
    content = path.read_bytes()
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(content))
    try:
        state, reason = honest.refused(ONCE)
    finally:
        path.write_bytes(content)
    assert state == "failed"
    assert digest.hex()[:16] in reason
    assert "publish the release again" in reason


def test_publishing_again_puts_a_copy_right_and_the_rollout_goes_on(honest: Scene) -> None:
    path = honest.city.fleet_dir / "artifacts" / honest.component.hex()
    path.write_bytes(path.read_bytes()[::-1])
    number = honest.begin()
    rollouts = honest.city.client.rollouts

    def has_failed() -> bool:
        return "do not hash" in rollouts.get(number).nodes[0].reason

    honest.node.wait_until(has_failed, "told that the copy is altered")
    honest.city.publish(honest.release, notes="")
    assert honest.wait_over(number).counts == {"confirmed": 1}


# A gateway that verifies nothing


def offered(scene: Scene, envelope: bytes) -> Loot:
    """Tell the node to fetch this envelope in place of the release's."""
    digest = hashlib.sha256(envelope).digest()
    return {f"offer-{scene.digest.hex()}": digest, f"r-{digest.hex()}": envelope}


def in_its_place(scene: Scene, envelope: bytes) -> Loot:
    """Answer with this envelope when the release's is asked for."""
    return {f"r-{scene.digest.hex()}": envelope}


def as_component(scene: Scene, transfer: bytes) -> Loot:
    """Answer with these bytes when the component is asked for; there is no patch."""
    return {f"a-d-{scene.component.hex()}": transfer}


def of_class(scene: Scene, class_id: bytes) -> bytes:
    """Sign the release as one for another kind of board."""
    manifest = envelopes.encode_manifest(scene.release.built.manifest)
    manifest = manifest.replace(CLASS_IDS["pole-basic"], class_id)
    named = cbor2.dumps([-16, hashlib.sha256(cbor2.dumps(manifest)).digest()])
    blocks = [named, cose.sign(named, scene.city.signing_key)]
    return cbor2.dumps(cbor2.CBORTag(107, {2: cbor2.dumps(blocks), 3: manifest}))


def signed(scene: Scene, *keys: SigningKey, sequence: int = 0) -> bytes:
    """Sign the release with these keys."""
    manifest = scene.release.built.manifest
    return envelopes.sign(replace(manifest, sequence=sequence or manifest.sequence), keys)


def altered(content: bytes) -> bytes:
    """Change the last byte; an envelope's is not in a signature."""
    return content[:-1] + bytes([content[-1] ^ 1])


WRONG: dict[str, tuple[Callable[[Scene], Loot], str, str]] = {
    "truncated envelope": (
        lambda scene: in_its_place(scene, scene.release.envelope[:100]),
        "rejected",
        "envelope is not the one named",
    ),
    "swapped envelope": (
        lambda scene: in_its_place(scene, signed(scene, scene.city.signing_key, sequence=20_000)),
        "rejected",
        "envelope is not the one named",
    ),
    "altered manifest": (
        lambda scene: offered(scene, altered(scene.release.envelope)),
        "rejected",
        "manifest was altered",
    ),
    "altered signature": (
        lambda scene: offered(scene, with_bad_signature(scene.release.envelope)),
        "rejected",
        "signature is wrong",
    ),
    "a thief's key": (
        lambda scene: offered(scene, signed(scene, Ed25519PrivateKey.generate())),
        "rejected",
        "not signed by enough trusted keys",
    ),
    "older release": (
        lambda scene: offered(scene, signed(scene, scene.city.signing_key, sequence=1)),
        "rejected",
        "sequence 1 is not above 1",
    ),
    "foreign class": (
        lambda scene: offered(scene, of_class(scene, os.urandom(16))),
        "rejected",
        "release is for another board class",
    ),
    "endless envelope": (
        lambda scene: in_its_place(scene, bytes(8192)),
        "failed",
        "envelope is too big",
    ),
    "truncated component": (
        lambda scene: as_component(scene, bundle.deflate(scene.release.bundle)[:5000]),
        "rejected",
        "archive is cut",
    ),
    "altered component": (
        lambda scene: as_component(scene, bundle.deflate(altered(scene.release.bundle))),
        "rejected",
        "component does not have the signed digest",
    ),
    "swapped component": (
        lambda scene: as_component(scene, bundle.deflate(bundle.pack({"node/app.mpy": b"x"}))),
        "rejected",
        "archive is too short",
    ),
    "endless component": (
        lambda scene: as_component(scene, os.urandom(1024 * 1024)),
        "failed",
        "archive is bigger than it may be",
    ),
}


def lay_out(scene: Scene, loot: Loot) -> None:
    """Have the stolen gateway give this and nothing else."""
    for old in scene.loot.iterdir():
        old.unlink()
    for name, content in loot.items():
        (scene.loot / name).write_bytes(content)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_node_refuses_what_its_stolen_gateway_makes_up(stolen: Scene, wrong: str) -> None:
    loot, state, reason = WRONG[wrong]
    lay_out(stolen, loot(stolen))
    ended = stolen.refused()
    assert ended[0] == state, ended
    assert reason in ended[1]


def test_a_node_follows_the_trust_document_that_it_has_whatever_its_gateway_gives(
    stolen: Scene,
) -> None:
    first, second = stolen.city.signing_key, stolen.second
    keys = (public_bytes(first), public_bytes(second))
    never_s = 2**31 - 1
    two = trust.following(
        trust.of_factory(keys[:1]), expires_at_s=never_s, release=trust.Role(keys, 2)
    )
    without = trust.following(two, expires_at_s=never_s, release=trust.Role(keys[1:], 1))
    expired = trust.following(without, expires_at_s=int(time.time()) - 60)
    documents: Loot = {}
    both = offered(stolen, signed(stolen, first, second))
    for document, offer, reason in (
        (two, offered(stolen, signed(stolen, first)), "not signed by enough trusted keys"),
        (without, offered(stolen, signed(stolen, first)), "not signed by enough trusted keys"),
        (expired, both, "trust document has expired"),
    ):
        documents[f"t-{document.version}"] = trust.sign(document, [first])
        lay_out(stolen, documents | offer)
        state, said = stolen.refused()
        assert (state, reason in said) == ("rejected", True), said
    # The newest is replayed no more: it is followed by one that has not expired.
    valid = trust.following(expired, expires_at_s=never_s)
    documents["t-4"] = trust.sign(valid, [first])
    # A patch of nothing gives way to the whole.
    patch = {f"a-p-{stolen.component.hex()}": os.urandom(2000)}
    lay_out(stolen, documents | both | patch)
    assert stolen.wait_over(stolen.begin()).counts == {"confirmed": 1}
    assert stolen.city.client.set_pole_lamp(stolen.node.pole.code, 10).status == "done"
