"""The benchmark `uplink`: a gateway drains its spool into a fleet over mutual TLS.

Not a benchmark of the gateway alone: a reading counts when the fleet has committed it and the
gateway has taken it out of its spool.
"""

import asyncio
from typing import Any

from poleward_gateway.services.uplink import REPORTS_PER_BATCH
from poleward_tools.bench.bench_fleet import bench_fleet
from poleward_tools.bench.bench_process import bench_process
from poleward_tools.bench.fleet_ingest_gateway import METRICS
from poleward_tools.bench.tcp_relay import TcpRelay

SECONDS = 4.0
_REPORTS_PER_S = 25_000  # a backlog for this many seconds is spooled
_GRACE_S = 120.0
_GATEWAY_MODULE = "poleward_tools.bench.uplink_gateway"


class UplinkError(Exception):
    """The fleet does not hold what the gateway's spool held."""


def run(*, seconds: float = SECONDS, nodes: int = REPORTS_PER_BATCH) -> dict[str, Any]:
    """Drain a backlog that is worth about `seconds`; return the figures.

    - `readings_per_s`: out of a spool on disk, into committed history, out of the spool.
    - `bytes_per_reading`: of TCP payload from the gateway to the fleet, TLS included.

    Raises:
        BenchProcessError: the gateway ended early.
        UplinkError: reports were lost or stored twice.
    """
    return asyncio.run(_measure(max(nodes, int(seconds * _REPORTS_PER_S)), nodes, seconds))


async def _measure(reports: int, nodes: int, seconds: float) -> dict[str, Any]:
    async with bench_fleet() as bench, TcpRelay(bench.addresses.link).running() as relay:
        folder = await bench.enroll_gateway("gw-1")
        numbers = await bench.add_nodes(["gw-1"], nodes)
        order = {
            "folder": str(folder),
            "link": relay.address,
            "nodes": numbers,
            "reports": reports,
        }
        async with bench_process(_GATEWAY_MODULE, order) as gateway:
            gateway.begin()
            result = await gateway.result(seconds * 10 + _GRACE_S)
        stored = await bench.scalar("SELECT count(*) FROM report")
        if stored != reports:
            raise UplinkError(f"the spool held {reports} reports, the fleet stored {stored}")
        readings = reports * len(METRICS)
        return {
            "readings_per_s": round(readings / result["seconds"]),
            "bytes_per_reading": round(relay.up_bytes / readings, 2),
        }
