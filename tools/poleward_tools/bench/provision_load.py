"""The factory and the technicians of the benchmark `provision`, as a process of their own.

Run by bench_process.py. The factory is always one part ahead of the technicians.
"""

import itertools
import json
import secrets
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from poleward_tools.bench.bench_fleet import AREA_CODE
from poleward_tools.client import FleetClient, FleetProfile
from poleward_tools.client.views import ManufacturedNode, Pole
from poleward_tools.flashing.claim_code import hash_claim_code

_NODES_PER_IMPORT = 50
_PARTS_AHEAD = 2
_CLAIM_CODE = "K7QH2M4X9TRD5BWN"


def run(order: dict[str, Any]) -> dict[str, Any]:
    """Bring nodes into service for a while; return how long it took, and each wait."""
    with (
        FleetClient(FleetProfile(order["web"], order["token"])) as client,
        ThreadPoolExecutor(1) as factory,
        ThreadPoolExecutor(order["technicians"]) as technicians,
    ):

        def commission(number: int) -> float:
            asked_at = time.perf_counter()
            client.commission(
                mac=_mac(number),
                claim_code=_CLAIM_CODE,
                pole_code=_pole_code(number),
                gateway_name=order["gateway"],
            )
            return (time.perf_counter() - asked_at) * 1000

        print("ready", flush=True)
        sys.stdin.readline()
        began_at, began_cpu_s = time.perf_counter(), time.process_time()
        waits: list[Future[float]] = []
        parts = _parts()
        made = [factory.submit(_make, client, next(parts)) for _ in range(_PARTS_AHEAD)]
        under_way = order["technicians"]
        while not waits or time.perf_counter() - began_at < order["seconds"]:
            numbers = made.pop(0).result()
            made.append(factory.submit(_make, client, next(parts)))
            waits += [technicians.submit(commission, number) for number in numbers]
            waits[max(0, len(waits) - under_way)].result()
        waits_ms = [wait.result() for wait in waits]
        return {
            "seconds": time.perf_counter() - began_at,
            "cpu_s": time.process_time() - began_cpu_s,
            "waits_ms": waits_ms,
        }


def _parts() -> Iterator[range]:
    return (range(n, n + _NODES_PER_IMPORT) for n in itertools.count(0, _NODES_PER_IMPORT))


def _make(client: FleetClient, numbers: range) -> range:
    """Put up poles and register nodes; return their numbers."""
    client.import_poles(Pole(_pole_code(n), AREA_CODE, 51.4 + n * 1e-5, -2.6, 100) for n in numbers)
    client.import_nodes(
        ManufacturedNode(
            _mac(n),
            secrets.token_bytes(16),
            secrets.token_bytes(8),
            hash_claim_code(_mac(n), _CLAIM_CODE),
            "pole-basic",
        )
        for n in numbers
    )
    return numbers


def _mac(number: int) -> bytes:
    return b"\x02\xb0" + number.to_bytes(4, "big")


def _pole_code(number: int) -> str:
    return f"B-{number:06d}"


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.stdin.readline()))), flush=True)
