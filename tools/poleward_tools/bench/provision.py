"""The benchmark `provision`: nodes registered, claimed and commissioned over the API with TLS.

Not flashing (`flash`). Factory and technicians are a process of their own (provision_load.py).
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from poleward_tools.bench.bench_fleet import BenchFleet, bench_fleet, percentile
from poleward_tools.bench.bench_process import bench_process
from poleward_tools.bench.bootstrap_wire import bootstrap_figures
from poleward_tools.bench.process_family import cpu_s, family

SECONDS = 10.0
_TECHNICIANS = 32
_GATEWAY = "gw-1"
_LOAD = "poleward_tools.bench.provision_load"
_GRACE_S = 60.0


class ProvisionError(Exception):
    """The fleet does not hold the nodes that it said it commissioned."""


def run(*, seconds: float = SECONDS) -> dict[str, Any]:
    """Let technicians bring nodes into service for `seconds`; return the figures.

    - `nodes_per_s`: from the factory's record to a commissioned node, poles included.
    - `p50_ms`, `p99_ms`: of one commissioning, as the technician waits for it.
    - `fleet_cpu_ms`, `database_cpu_ms`, `load_cpu_ms`: of one node, in each of the programs that
      share the machine.
    - `bootstrap_messages`, `bootstrap_bytes`: of one virtual node, in both directions.

    Raises:
        BenchProcessError: factory and technicians ended early.
        ProvisionError: a node is not commissioned in the end.
    """
    return asyncio.run(_measure(seconds))


async def _measure(seconds: float) -> dict[str, Any]:
    async with bench_fleet() as bench:
        await bench.add_gateways([_GATEWAY])
        return {**await _provision(bench, seconds), **await bootstrap_figures(bench)}


async def _provision(bench: BenchFleet, seconds: float) -> dict[str, Any]:
    administrator = json.loads((bench.folder / "fleet" / "admin.json").read_text())
    order = {
        "web": bench.addresses.web,
        "token": administrator["api_token"],
        "gateway": _GATEWAY,
        "technicians": _TECHNICIANS,
        "seconds": seconds,
    }
    async with bench_process(_LOAD, order) as load:
        fleet_cpu_s, database_cpu_s = time.process_time(), _database_cpu_s(bench.folder)
        load.begin()
        result = await load.result(seconds + _GRACE_S)
        fleet_cpu_s = time.process_time() - fleet_cpu_s
        database_cpu_s = _database_cpu_s(bench.folder) - database_cpu_s
    waits_ms = result["waits_ms"]
    nodes = len(waits_ms)
    commissioned = await bench.scalar("SELECT count(*) FROM node WHERE life_state = 'commissioned'")
    if commissioned != nodes:
        raise ProvisionError(f"{nodes} nodes were provisioned, {commissioned} are")
    return {
        "nodes_per_s": round(nodes / result["seconds"], 1),
        "p50_ms": round(percentile(waits_ms, 0.5), 1),
        "p99_ms": round(percentile(waits_ms, 0.99), 1),
        "fleet_cpu_ms": round(fleet_cpu_s / nodes * 1000, 2),
        "database_cpu_ms": round(database_cpu_s / nodes * 1000, 2),
        "load_cpu_ms": round(result["cpu_s"] / nodes * 1000, 2),
    }


def _database_cpu_s(folder: Path) -> float:
    server = int((folder / "postgres" / "postmaster.pid").read_text().split()[0])
    return sum(cpu_s(pid) for pid in family(server))
