"""The benchmark `fleet-ingest`: readings per second from mutual TLS to commit and acknowledgement.

Not the gateway's side of it (uplink.py). Durability is on; tables have their indexes; each gateway
is a process of its own and keeps as many batches under way as the real one.
"""

import asyncio
import contextlib
import time
from typing import Any

from poleward_gateway.services.uplink import REPORTS_PER_BATCH
from poleward_tools.bench.bench_fleet import BenchFleet, bench_fleet, percentile
from poleward_tools.bench.bench_process import bench_process
from poleward_tools.bench.fleet_ingest_gateway import METRICS
from poleward_tools.bench.packed_history import bytes_per_reading_packed

GATEWAYS = 4
SECONDS = 10.0
_GRACE_S = 120.0
_BEGAN_AGO_MS = 30 * 86_400_000
_GATEWAY_MODULE = "poleward_tools.bench.fleet_ingest_gateway"


def run(
    *, seconds: float = SECONDS, gateways: int = GATEWAYS, nodes: int = REPORTS_PER_BATCH
) -> dict[str, Any]:
    """Let gateways with `nodes` nodes each send for `seconds`; return the figures.

    - `readings_per_s`: acknowledged, over the time from the first batch to the last answer.
    - `ack_p99_ms`: from sending a batch to its acknowledgement after commit.
    - `bytes_per_reading_stored`: history with indexes and what lies outside the rows.
    - `bytes_per_reading_packed`: of a day that is over, with its roll-ups; sensors with noise.
    - `lost`: reports that were acknowledged and are not stored.
    - `duplicates`: stored more often than once, though every gateway sends its last batches twice.

    Raises:
        BenchProcessError: a gateway ended early.
    """
    return asyncio.run(_measure(seconds, gateways, nodes))


async def _measure(seconds: float, gateways: int, nodes: int) -> dict[str, Any]:
    packed = await bytes_per_reading_packed()
    async with bench_fleet() as bench, contextlib.AsyncExitStack() as stack:
        names = [f"gw-{i + 1}" for i in range(gateways)]
        folders = [await bench.enroll_gateway(name) for name in names]
        numbers = await bench.add_nodes(names, nodes)
        # Days that are there: reports from the future are kept apart.
        began_at_ms = int(time.time() * 1000) - _BEGAN_AGO_MS
        processes = [
            await stack.enter_async_context(
                bench_process(
                    _GATEWAY_MODULE,
                    {
                        "folder": str(folder),
                        "nodes": numbers[i * nodes : (i + 1) * nodes],
                        "seconds": seconds,
                        "began_at_ms": began_at_ms,
                    },
                )
            )
            for i, folder in enumerate(folders)
        ]
        for process in processes:
            process.begin()
        results = [await process.result(seconds + _GRACE_S) for process in processes]
        reports = sum(result["batches"] for result in results) * nodes
        took_s = max(r["ended_at"] for r in results) - min(r["began_at"] for r in results)
        return {
            "readings_per_s": round(reports * len(METRICS) / took_s),
            "ack_p99_ms": percentile([ms for r in results for ms in r["latencies_ms"]], 0.99),
            **await _stored(bench, reports),
            "bytes_per_reading_packed": round(packed, 2),
        }


async def _stored(bench: BenchFleet, reports: int) -> dict[str, Any]:
    """Compare what was acknowledged with what the database holds."""
    stored = await bench.scalar("SELECT count(*) FROM report")
    different = await bench.scalar(
        "SELECT count(*) FROM (SELECT DISTINCT node_number, boot, sequence FROM report) AS r"
    )
    held_bytes = await bench.scalar(
        "SELECT CAST(sum(pg_total_relation_size(relid)) AS bigint) "
        "+ pg_total_relation_size('report_mark') "
        "FROM pg_partition_tree('report')"
    )
    return {
        "bytes_per_reading_stored": round(held_bytes / max(1, stored * len(METRICS)), 2),
        "lost": reports - different,
        "duplicates": stored - different,
    }
