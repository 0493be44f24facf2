"""The servers that the gateway benchmarks load, each a program of its own; prints its UDP port.

Run as `python -m poleward_tools.bench.gateway_side ours|aiocoap NODES FOLDER`; SIGTERM stops it.
Not the load and not the figures.
"""

import asyncio
import logging
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import aiocoap
import structlog
from aiocoap import resource
from aiocoap.credentials import CredentialsMap
from aiocoap.oscore_sitewrapper import OscoreSiteWrapper

from poleward_gateway.adapters.fleet_link.identity import Identity
from poleward_gateway.adapters.interpreter import serving_at_ease
from poleward_gateway.adapters.node_link.lanes import open_lanes
from poleward_gateway.adapters.secrets.sealed_box import open_box
from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.adapters.storage.layouts import SqliteLayouts
from poleward_gateway.adapters.storage.nodes import SqliteDesiredStore
from poleward_gateway.bootstrap import Gateway
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.nodes import DesiredChange, DesiredNode, NodeNumber, OscoreKeys
from poleward_gateway.domain.trust import Signers
from poleward_tools.bench.report_keys import (
    GATEWAY_ID,
    LAYOUT,
    LAYOUT_ID,
    MemoryContext,
    node_id,
    secret_and_salt,
)

_NO_KEYS = OscoreKeys(b"", b"", b"", b"")


async def serve_ours(nodes: int, folder: Path) -> None:
    """Serve with the gateway as it is wired, without a fleet: the spool only fills."""
    config = GatewayConfig(folder, coap_port=0)
    await _prepare(config, nodes)
    database = Database(config.database_path)
    gateway = Gateway(
        config,
        Identity("bench", b"", b"", b"", ""),
        database,
        open_box(config.key_source, config.key_file),
    )
    await gateway.start()
    lanes = open_lanes(config.coap_host, config.coap_port)
    gateway.endpoint.open(lanes)
    for number in range(1, nodes + 1):
        gateway.registry.register(NodeNumber(number), 86400)
    with serving_at_ease():
        await _until_stopped(gateway.endpoint.port)
    await gateway.reports.close()
    await gateway.endpoint.close()
    await gateway.close()
    database.close()


async def _prepare(config: GatewayConfig, nodes: int) -> None:
    """Put nodes and layout into the database, as the fleet and the nodes would."""
    database = Database(config.database_path)
    desired = SqliteDesiredStore(database, open_box(config.key_source, config.key_file))
    database.start()
    made = tuple(
        DesiredNode(
            number=NodeNumber(number),
            endpoint_name=f"urn:dev:mac:{number:012x}",
            bootstrap=_NO_KEYS,
            operational=OscoreKeys(*secret_and_salt(number), node_id(number), GATEWAY_ID),
            report_interval_s=60,
            lamp_nominal_w=60,
        )
        for number in range(1, nodes + 1)
    )
    await desired.apply(DesiredChange(1, True, made, (), Signers((), 1), ()))
    await SqliteLayouts(database).add(LAYOUT_ID, LAYOUT)
    database.close()


class _Reports(resource.Resource):
    """Says 2.04 to everything and keeps nothing."""

    async def render_post(self, request: Any) -> Any:
        """Answer."""
        return aiocoap.Message(code=aiocoap.CHANGED)


async def serve_aiocoap(nodes: int) -> None:
    """Serve with aiocoap and its OSCORE alone."""
    site = resource.Site()
    site.add_resource(["dp"], _Reports())
    credentials = CredentialsMap()
    for number in range(1, nodes + 1):
        credentials[f":{number}"] = MemoryContext(number, GATEWAY_ID, node_id(number))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    context = await aiocoap.Context.create_server_context(
        OscoreSiteWrapper(site, credentials),
        bind=("127.0.0.1", port),
        transports=["oscore", "udp6"],
    )
    await _until_stopped(port)
    await context.shutdown()


async def _until_stopped(port: int) -> None:
    """Say where we are and wait for SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await stop.wait()


if __name__ == "__main__":
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    side, count = sys.argv[1], int(sys.argv[2])
    asyncio.run(serve_ours(count, Path(sys.argv[3])) if side == "ours" else serve_aiocoap(count))
