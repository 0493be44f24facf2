"""What a gateway offers a node under a trust document that asks for directives."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from aiocoap.numbers import codes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateway_fakes.desired import desired_node, desired_release
from gateway_fakes.directing import DAY_S, directed, document, role
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import FakeNode, until

from nodelink import firmware_update
from poleward.v1 import gateway_link_service_pb2 as pb
from poleward_gateway import bootstrap
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.updates import (
    NodeUpdate,
    PackageResult,
    PackageState,
    Step,
    UpdateReadout,
    UpdateState,
    next_step,
)
from poleward_manifest.envelope import Component, Manifest, sign

RELEASE_KEY = Ed25519PrivateKey.generate()
BUNDLE = b"bundle" * 50
NODE = f"node:{1:012x}"


DOCUMENT = document(RELEASE_KEY)


def give(fleet: FakeFleet, content: bytes) -> bytes:
    digest = hashlib.sha256(content).digest()
    fleet.artifacts[digest] = content
    return digest


def publish(fleet: FakeFleet, sequence: int, downgrade: str = "") -> bytes:
    give(fleet, BUNDLE)
    component = Component.of_bundle(BUNDLE)
    manifest = Manifest(
        sequence, f"1.{sequence}.0", "pole-basic", component, downgrade=downgrade
    )  # fmt: skip
    return give(fleet, sign(manifest, [RELEASE_KEY]))


class Wishes:
    """What the fleet wants node 1 to run, each time a little later."""

    def __init__(self, fleet: FakeFleet) -> None:
        self._fleet = fleet
        self._revision = 1

    def __call__(self, release: bytes, signed: bytes = b"") -> None:
        self._revision += 1
        nodes = [desired_node(1, release=desired_release(release, signed))]
        nodes += [desired_node(number) for number in (2, 3)]
        self._fleet.desire(
            nodes,
            revision=self._revision,
            release_keys=role(RELEASE_KEY).keys,
            trust_documents=(give(self._fleet, DOCUMENT),),
        )


def reported(fleet: FakeFleet, release: bytes, state: Any, reason: str) -> Callable[[], bool]:
    def is_so() -> bool:
        if 1 not in fleet.states:
            return False
        update = fleet.states[1].update
        return (update.release_digest, update.state) == (release, state) and reason in update.reason

    return is_so


def is_idle(gateway: bootstrap.Gateway) -> bool:
    state = gateway.registry.state(NodeNumber(1))
    return state is not None and state.update is None


def offers(node: FakeNode) -> list[str]:
    return [value for name, value in node.writes if name == "/5/0/1"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poleward_gateway.services.trust.FETCH_AGAIN_S", 0.1)
    monkeypatch.setattr("poleward_gateway.services.updates.LOOK_AGAIN_S", 0.1)
    monkeypatch.setattr("poleward_gateway.services.upkeep.TICK_S", 0.05)


async def test_nothing_is_offered_without_a_directive_that_holds(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    want = Wishes(fleet)
    one, two = publish(fleet, 2), publish(fleet, 3)
    cases = (
        (b"", pb.UPDATE_STATE_REJECTED, "no directive"),
        (directed(two, NODE), pb.UPDATE_STATE_REJECTED, f"is for release {two.hex()[:16]}"),
        (directed(one, "node:000000000000"), pb.UPDATE_STATE_REJECTED, "on node:000000000000"),
        (directed(one, NODE, key=RELEASE_KEY), pb.UPDATE_STATE_REJECTED, "trusted keys signed"),
        (directed(one, NODE, from_s=-2 * DAY_S), pb.UPDATE_STATE_FROZEN, "directive holds from"),
        (directed(one, NODE, from_s=DAY_S), pb.UPDATE_STATE_FROZEN, "directive holds from"),
    )
    for signed, state, reason in cases:
        want(one, signed)
        await until(reported(fleet, one, state, reason))
        want(b"")
        await until(lambda: is_idle(gateway))
    assert not offers(node)
    answer = await node.request(node.operational_context, codes.GET, ("o",))
    assert answer.code == codes.NOT_FOUND
    good = directed(one, NODE)
    want(one, good)
    await until(lambda: offers(node) == [f"coap:///r/{one.hex()}"])
    assert await node.fetch("o") == good
    # The node's clock knows better.
    await until(lambda: "/5/0/5" in node._observers)
    node.resources |= {"/5/0/5": firmware_update.RESULT_DEFERRED, "/26243/0/3": "it is over"}
    node.notify("/5/0/3", firmware_update.STATE_IDLE)
    await until(reported(fleet, one, pb.UPDATE_STATE_FROZEN, "it is over"))


async def test_a_node_goes_back_only_with_a_permission_that_covers_it(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    node.resources["/26243/0/0"] = 9
    await node.register()
    want = Wishes(fleet)
    for permission in ("", "rollout:other", "node:0a0b0c0d0e0f"):
        release = publish(fleet, 2, permission)
        want(release, directed(release, NODE))
        await until(reported(fleet, release, pb.UPDATE_STATE_REJECTED, "newer than 2"))
    assert not offers(node)
    release = publish(fleet, 2, "rollout:back")
    want(release, directed(release, NODE))
    await until(lambda: offers(node) == [f"coap:///r/{release.hex()}"])


@pytest.mark.parametrize("state", UpdateState)
def test_a_node_on_its_way_back_is_judged_as_any_other(state: UpdateState) -> None:
    """What is decided does not depend on which of two releases is the newer one."""
    target = NodeUpdate(bytes(32), state)
    for package_state in PackageState:
        for result in PackageResult:
            for is_fresh in (False, True):
                readouts = [
                    UpdateReadout(package_state, result, sequence, on_trial=False, explanation="x")
                    for sequence in (1, 9)
                ]
                forward, back = (
                    next_step(target, 2, readout, offer_is_fresh=is_fresh, may_go_back=True)
                    for readout in readouts
                )
                assert forward[0] is back[0]
                assert forward[1].state is back[1].state
                refused, _ = next_step(target, 2, readouts[1], offer_is_fresh=is_fresh)
                assert refused is Step.FINISH
