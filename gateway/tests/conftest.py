"""A fleet, a gateway enrolled with it, and nodes that know it."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_fakes.desired import desired_node, keys_of
from gateway_fakes.fleet import FakeFleet, FakeWeb
from gateway_fakes.node import FakeNode, MakeNode, until

from poleward_gateway import bootstrap
from poleward_gateway.config import GatewayConfig


@pytest.fixture
async def fleet() -> AsyncIterator[FakeFleet]:
    made = await FakeFleet().start()
    yield made
    await made.stop()


@pytest.fixture
async def config(tmp_path: Path, fleet: FakeFleet) -> GatewayConfig:
    web = FakeWeb(fleet)
    try:
        await bootstrap.enroll(tmp_path / "gateway", web.url, fleet.token)
    finally:
        web.close()
    return GatewayConfig(tmp_path / "gateway", coap_port=0)


@pytest.fixture
async def gateway(config: GatewayConfig, fleet: FakeFleet) -> AsyncIterator[bootstrap.Gateway]:
    """A running gateway with nodes 1 to 3."""
    fleet.desire([desired_node(number) for number in (1, 2, 3)], revision=1)
    async with bootstrap.running(config) as made:
        await until(lambda: len(made.table) == 6)
        yield made


@pytest.fixture
async def make_node() -> AsyncIterator[MakeNode]:
    """Make nodes that are closed at the end."""
    with contextlib.ExitStack() as stack:

        async def make(port: int, number: int = 1) -> FakeNode:
            node = FakeNode(
                f"urn:dev:mac:{number:012x}",
                keys_of(number, "bootstrap"),
                ("127.0.0.1", port),
            )
            await node.open()
            stack.callback(node.close)
            return node

        yield make


@pytest.fixture
async def node(gateway: bootstrap.Gateway, make_node: MakeNode) -> FakeNode:
    """Node 1, bootstrapped and registered."""
    made = await make_node(gateway.endpoint.port)
    await made.bootstrap()
    await made.register()
    await until(lambda: gateway.registry.state(1).device is not None)  # type: ignore[union-attr, arg-type]
    return made
