"""Counts what a node's bootstrap takes on its link: virtual board, real gateway, a tap between.

Not how many nodes are provisioned a second (`provision`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from poleward_fleet.domain.identity import ManufacturedNode
from poleward_fleet.domain.inventory import Pole
from poleward_gateway import bootstrap as gateway_bootstrap
from poleward_gateway.config import GatewayConfig
from poleward_tools.bench.bench_fleet import AREA_CODE, BENCHMARKER, BenchFleet
from poleward_tools.demo.factory import build_release, production_run
from poleward_tools.flash_image.node_nvs import NodeIdentity, Trust, new_identity
from poleward_tools.flashing.claim_code import hash_claim_code
from poleward_tools.virtual_board.node_folder import NodeFolder
from poleward_tools.virtual_board.rack import Rack
from poleward_tools.virtual_board.surroundings import Surroundings

_GATEWAY = "gw-tapped"
_POLE = "T-000001"
_MAC = bytes.fromhex("02506f6c6577")
_DEADLINE_S = 120
_POLL_S = 0.05
_POST = 0x02
_OSCORE_OPTION = 0x90  # first option of a POST under OSCORE: number 9 (RFC 8613, 2)


class _Tap(asyncio.DatagramProtocol):
    """Passes datagrams between a node and a gateway, and counts them until the node registers.

    A registration is the first request of the node whose key id is not its MAC. The bytes are those
    of the datagrams' payload.
    """

    def __init__(self, mac: bytes) -> None:
        self.messages = 0
        self.payload_bytes = 0
        self.registers = asyncio.Event()
        self.gateway: tuple[str, int] | None = None
        self._mac = mac
        self._node: Any = None
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Take the socket."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Count a datagram and pass it on."""
        is_from_gateway = addr == self.gateway
        if not is_from_gateway:
            self._node = addr
            if _is_request(data) and self._mac not in data:
                self.registers.set()
        if not self.registers.is_set():
            self.messages += 1
            self.payload_bytes += len(data)
        self._transport.sendto(data, self._node if is_from_gateway else self.gateway)


def _is_request(datagram: bytes) -> bool:
    """Say whether a datagram is a POST under OSCORE (RFC 7252, 3)."""
    options_at = 4 + (datagram[0] & 0x0F)
    return (
        len(datagram) > options_at
        and datagram[1] == _POST
        and datagram[options_at] & 0xF0 == _OSCORE_OPTION
    )


async def bootstrap_figures(bench: BenchFleet) -> dict[str, int]:
    """Let a node bootstrap at a gateway of the fleet.

    - `bootstrap_messages`: datagrams in both directions, acknowledgements and challenges too.
    - `bootstrap_bytes`: their UDP payload.

    Raises:
        TimeoutError: the node did not come as far as its registration.
    """
    folder = await bench.enroll_gateway(_GATEWAY)
    identity = new_identity(_MAC)
    await _put_into_service(bench, identity)
    async with _tap() as (tap, port):
        uri = f"coap://127.0.0.1:{port}"
        config = GatewayConfig(folder, coap_port=0, public_uri=uri)
        async with gateway_bootstrap.running(config) as gateway:
            tap.gateway = ("127.0.0.1", gateway.endpoint.port)
            boards = bench.folder / "boards"
            boards.mkdir()
            _make_board(boards, identity, uri)
            async with asyncio.timeout(_DEADLINE_S), Rack(boards) as rack:
                while not tap.registers.is_set():
                    if len(gateway.table):  # the gateway knows the node; now it may speak
                        await rack.follow()
                    await asyncio.sleep(_POLL_S)
    return {"bootstrap_messages": tap.messages, "bootstrap_bytes": tap.payload_bytes}


async def _put_into_service(bench: BenchFleet, identity: NodeIdentity) -> None:
    """Have the fleet know the node, in a pole behind the gateway."""
    node = ManufacturedNode(
        identity.name,
        identity.bootstrap_secret,
        identity.bootstrap_salt,
        hash_claim_code(identity.mac, identity.claim_code),
    )
    await bench.fleet.provisioning.import_nodes(BENCHMARKER, [node])
    pole = Pole(_POLE, AREA_CODE, 51.45, -2.59, ("lamp", "air"), 100)
    await bench.fleet.inventory.import_poles(BENCHMARKER, [pole])
    await bench.fleet.provisioning.claim(
        BENCHMARKER,
        mac=identity.name,
        claim_code=identity.claim_code,
        pole_code=_POLE,
        gateway_name=_GATEWAY,
        sign_off=True,
    )


def _make_board(parent: Path, identity: NodeIdentity, gateway_uri: str) -> None:
    key = Ed25519PrivateKey.generate()
    release = build_release("0.0.1", sequence=1, key=key)
    trust = Trust(gateway_uri, (key.public_key().public_bytes_raw(),))
    product = production_run(release, trust)
    surroundings = Surroundings(seed=1, latitude_deg=51.45, longitude_deg=-2.59, lamp_nominal_w=100)
    NodeFolder.make(parent, identity, surroundings, product)


@contextlib.asynccontextmanager
async def _tap() -> AsyncIterator[tuple[_Tap, int]]:
    """Open a tap; yield it and its port."""
    loop = asyncio.get_running_loop()
    transport, tap = await loop.create_datagram_endpoint(
        lambda: _Tap(_MAC), local_addr=("127.0.0.1", 0)
    )
    try:
        yield tap, int(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()
