"""The benchmark `provision`: nodes registered, claimed and commissioned over the API with TLS.

Not flashing (`flash`).
"""

import asyncio
import itertools
import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from poleward_tools.bench.bench_fleet import AREA_CODE, bench_fleet, percentile
from poleward_tools.bench.bootstrap_wire import bootstrap_figures
from poleward_tools.client import FleetClient, FleetProfile
from poleward_tools.client.views import ManufacturedNode, Pole
from poleward_tools.flashing.claim_code import hash_claim_code

SECONDS = 10.0
_TECHNICIANS = 8
_NODES_PER_IMPORT = 50
_GATEWAY = "gw-1"
_CLAIM_CODE = "K7QH2M4X9TRD5BWN"


class ProvisionError(Exception):
    """The fleet does not hold the nodes that it said it commissioned."""


def run(*, seconds: float = SECONDS) -> dict[str, Any]:
    """Let technicians bring nodes into service for `seconds`; return the figures.

    - `nodes_per_s`: from the factory's record to a commissioned node, poles included.
    - `p99_ms`: of one commissioning, as the technician waits for it.
    - `bootstrap_messages`, `bootstrap_bytes`: of one virtual node, in both directions.

    Raises:
        ProvisionError: a node is not commissioned in the end.
    """
    return asyncio.run(_measure(seconds))


async def _measure(seconds: float) -> dict[str, Any]:
    async with bench_fleet() as bench:
        await bench.add_gateways([_GATEWAY])
        administrator = json.loads((bench.folder / "fleet" / "admin.json").read_text())
        profile = FleetProfile(bench.addresses.web, administrator["api_token"])
        # In a thread: the fleet that answers runs on this one.
        took_s, waits_ms = await asyncio.to_thread(_provision, profile, seconds)
        commissioned = await bench.scalar(
            "SELECT count(*) FROM node WHERE life_state = 'commissioned'"
        )
        if commissioned != len(waits_ms):
            raise ProvisionError(f"{len(waits_ms)} nodes were provisioned, {commissioned} are")
        return {
            "nodes_per_s": round(len(waits_ms) / took_s, 1),
            "p99_ms": round(percentile(waits_ms, 0.99), 1),
            **await bootstrap_figures(bench),
        }


def _provision(profile: FleetProfile, seconds: float) -> tuple[float, list[float]]:
    """Import and commission until the time is over; return how long it took, and each wait."""
    numbers = itertools.count()
    with FleetClient(profile) as client, ThreadPoolExecutor(_TECHNICIANS) as technicians:
        began_at = time.perf_counter()

        def commission(number: int) -> float:
            asked_at = time.perf_counter()
            client.commission(
                mac=_mac(number),
                claim_code=_CLAIM_CODE,
                pole_code=f"B-{number:06d}",
                gateway_name=_GATEWAY,
            )
            return (time.perf_counter() - asked_at) * 1000

        waits_ms: list[float] = []
        while not waits_ms or time.perf_counter() - began_at < seconds:
            part = list(itertools.islice(numbers, _NODES_PER_IMPORT))
            client.import_poles(
                Pole(f"B-{n:06d}", AREA_CODE, 51.4 + n * 1e-5, -2.6, 100) for n in part
            )
            client.import_nodes(
                ManufacturedNode(
                    _mac(n),
                    secrets.token_bytes(16),
                    secrets.token_bytes(8),
                    hash_claim_code(_mac(n), _CLAIM_CODE),
                    "pole-basic",
                )
                for n in part
            )
            waits_ms += technicians.map(commission, part)
        return time.perf_counter() - began_at, waits_ms


def _mac(number: int) -> bytes:
    return b"\x02\xb0" + number.to_bytes(4, "big")
