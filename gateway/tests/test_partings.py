"""Nodes that get other keys, go to another gateway, leave for good, or are two."""

from aiocoap.numbers import codes
from gateway_fakes.desired import desired_node, keys_of
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import FakeContext, FakeNode, MakeNode, until

from poleward.v1 import gateway_link_service_pb2 as pb
from poleward_gateway import bootstrap
from poleward_gateway.domain.nodes import NodeNumber


def with_keys(number: int, **changes: object) -> pb.DesiredNode:
    """Desire a node with other operational keys than it has."""
    other = keys_of(number, "operational rotated")
    node: pb.DesiredNode = desired_node(number, **changes)
    node.operational.master_secret = other.master_secret
    node.operational.master_salt = other.master_salt
    return node


def holds_other_keys(gateway: bootstrap.Gateway) -> bool:
    context = gateway.table.by_kid(b"\x01")
    return context is not None and context.keys == keys_of(1, "operational rotated")


async def test_node_with_other_keys_is_asked_to_bootstrap_before_the_old_ones_end(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    fleet.desire([with_keys(1), desired_node(2), desired_node(3)], revision=2)
    await until(lambda: "/1/0/9" in node.executed)
    await until(lambda: holds_other_keys(gateway))
    refused = await node.request(node.operational_context, codes.POST, ("dp",))
    assert refused.code == codes.BAD_REQUEST, "RFC 8613, 8.2: it does not decrypt"
    node.finished.clear()
    await node.bootstrap()
    await node.register()
    assert (await node.report(1, 0, {"/3418/0/4": 1.0})).code == codes.CHANGED


async def test_node_that_is_handed_over_gets_the_other_gateways_address_and_nothing_else(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    elsewhere = "coap://192.0.2.7:5683"
    leaving = with_keys(1, task=pb.NODE_TASK_HAND_OVER, gateway_uri=elsewhere)
    fleet.desire([leaving, desired_node(2), desired_node(3)], revision=2)
    await until(lambda: "/1/0/9" in node.executed)
    await until(lambda: gateway.table.by_kid(b"\x01") is None)
    node.finished.clear()
    await node.bootstrap()
    assert ("/0/1/0", elsewhere) in node.writes
    refused = await node.request(
        node.operational_context, codes.POST, ("rd",), query=(f"ep={node.endpoint_name}",)
    )
    assert refused.code == codes.UNAUTHORIZED


async def test_node_that_left_is_wiped_and_gets_nothing_else(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    node.silent = True
    fleet.desire(
        [desired_node(1, task=pb.NODE_TASK_WIPE), desired_node(2), desired_node(3)], revision=2
    )
    await until(lambda: gateway.registry.state(NodeNumber(1)) is None)
    node.silent = False
    for path in ("dp", "rd"):
        refused = await node.request(node.operational_context, codes.POST, (path,))
        assert refused.code == codes.UNAUTHORIZED
    refused = await node.request(node.bootstrap_context, codes.POST, ("bs",))
    assert refused.code == codes.UNAUTHORIZED
    await until(lambda: "/3/0/5" in node.executed)
    await until(lambda: any(event.kind == "node.wiped" for event in fleet.events))


async def test_second_device_with_the_keys_of_a_node_is_told_from_the_first(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode, make_node: MakeNode
) -> None:
    for sequence in range(3):
        await node.report(1, sequence, {"/3418/0/4": 1.0})
    clone = await make_node(gateway.endpoint.port)
    clone.operational_context = FakeContext(keys_of(1, "operational"))
    response = await clone.report(1, 0, {"/3418/0/4": 9.0})
    assert response.code == codes.UNAUTHORIZED
    assert clone.challenges == 1
    await until(lambda: any(event.kind == "node.cloned" for event in fleet.events))
    await until(lambda: {report[2] for report in fleet.reports} == {0, 1, 2})


async def test_messages_of_a_node_that_somebody_repeats_do_not_make_it_a_clone(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode, make_node: MakeNode
) -> None:
    await node.report(1, 0, {"/3418/0/4": 1.0})
    heard = node.sent[-1]
    attacker = await make_node(gateway.endpoint.port)
    answers = []
    for attempt in range(3):
        # Another message id and token get past deduplication; the rest is protected.
        repeated = heard[:2] + bytes([200, attempt]) + bytes([attempt] * 4) + heard[8:]
        answers.append(await attacker.exchange_bytes(repeated))
    assert gateway.tally.counts["requests_replayed"] == 3
    assert [a.opt.oscore is not None for a in answers] == [True, False, False], "challenged once"
    assert "clones_seen" not in gateway.tally.counts
    assert (await node.report(1, 1, {"/3418/0/4": 1.0})).code == codes.CHANGED
