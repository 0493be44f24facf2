"""The benchmark `group-command`: one order dims 500 nodes through one gateway.

Not a test. The gateway is a process of its own without a fleet; at least 50 of the nodes are
MicroPython VMs on virtual boards, the others a program that answers as nodes do. CoAP, OSCORE,
Echo challenges, deadlines and the commit before each order are real.
"""

import asyncio
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from poleward_tools.bench.bench_process import bench_process
from poleward_tools.demo import factory
from poleward_tools.demo.program import Program
from poleward_tools.flash_image.node_nvs import NodeIdentity, Trust, new_identity
from poleward_tools.virtual_board.air_series import air_series
from poleward_tools.virtual_board.node_folder import NodeFolder
from poleward_tools.virtual_board.surroundings import Surroundings

NODES = 500
VIRTUAL_BOARDS = 50
ROUNDS = 6
"""Orders; the first has each node challenge the gateway (RFC 8613, 7.3) and is told apart."""
_GATEWAY = "poleward_tools.bench.group_command_gateway"
_LAMPS = "poleward_tools.bench.lamp_nodes"
_RESULT_S = 170.0
_MAC_PREFIX = b"\x02\x50\x42"


def run(nodes: int = NODES, virtual_boards: int = VIRTUAL_BOARDS) -> dict[str, Any]:
    """Bring everything up, dim it ROUNDS times, return the figures.

    - `p50_ms`, `p95_ms`, `p99_ms`: from the order to a node's confirmation, all orders but the
      first, all nodes.
    - `confirmed`: nodes that confirmed, in the worst order.
    - `first_p99_ms`: of the first order after the nodes' boot.
    - `virtual_board_p99_ms`: of the MicroPython nodes alone.
    - `gateway_cpu_ms_per_command`: of the gateway's process, with what its nodes report in
      between; this holds on a machine that has other things to do.

    Args:
        nodes: How many in all.
        virtual_boards: How many of them are MicroPython VMs; the numbers from 1.
    """
    return asyncio.run(_run(nodes, virtual_boards))


async def _run(nodes: int, virtual_boards: int) -> dict[str, Any]:
    with TemporaryDirectory(prefix="poleward-bench-") as name:
        folder = Path(name)
        port = _free_port()
        identities = _make_boards(folder / "nodes", virtual_boards, f"coap://127.0.0.1:{port}")
        order = {
            "folder": str(folder / "gateway"),
            "port": port,
            "nodes": nodes,
            "rounds": ROUNDS,
            "identities": [
                [i.mac.hex(), i.bootstrap_secret.hex(), i.bootstrap_salt.hex()] for i in identities
            ],
        }
        lamps = {"port": port, "first": virtual_boards + 1, "last": nodes}
        boards = Program("boards", ["board", "serve", str(folder / "nodes")], log=folder / "log")
        async with bench_process(_GATEWAY, order) as gateway, bench_process(_LAMPS, lamps):
            boards.start()
            try:
                gateway.begin()
                return await gateway.result(_RESULT_S)
            finally:
                boards.stop()


def _make_boards(folder: Path, count: int, gateway_uri: str) -> list[NodeIdentity]:
    """Flash virtual boards that bootstrap at the gateway."""
    folder.mkdir()
    key = Ed25519PrivateKey.generate()
    release = factory.build_release("1.0.0", sequence=1, key=key)
    trust = Trust(gateway_uri, (key.public_key().public_bytes_raw(),))
    product = factory.production_run(release, trust)
    air = air_series()
    made = []
    for number in range(1, count + 1):
        made.append(new_identity(_MAC_PREFIX + number.to_bytes(3, "big")))
        NodeFolder.make(folder, made[-1], Surroundings(seed=number, air=air), product)
    return made


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
