"""The benchmark `gateway-overload`: four times what the gateway can take, 1 % of it events.

Not a test. 20,000 nodes with security contexts of their own, many more than a gateway is meant for:
with fewer, each would have to repeat its one report within milliseconds to make such a load. Server
and load are processes of their own on one machine.
"""

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from poleward_tools.bench.gateway_ingest import load, server

NODES = 20_000
IN_FLIGHT = 1000
TIMES = 4
_LOAD = "poleward_tools.bench.overload_load"


def run(seconds: float = 30.0) -> dict[str, Any]:
    """Find the capacity, offer TIMES as much, and return the figures.

    - `goodput_ratio`: reports answered with 2.04 a second under overload, to the capacity.
    - `offered_ratio`: datagrams that the load managed to send, to the capacity; the machine may not
      give it enough for TIMES.
    - `events_p50_ms`, `events_p99_ms`: from the first sending to the 2.04.
    - `events_lost`: never answered, or answered and not in the spool.
    - `rss_mb`: the most memory that the gateway had at any moment.
    - `refused`: answered with 5.03.

    Args:
        seconds: Of overload; finding the capacity takes a third as long.
    """
    with (
        TemporaryDirectory(prefix="poleward-bench-") as folder,
        server("ours", NODES, Path(folder)) as ours,
        load(ours.port, NODES, module=_LOAD) as order,
    ):
        # Every node is heard once before anything is measured.
        order(run="capacity", seconds=0.5, in_flight=NODES)
        alone = order(run="capacity", seconds=seconds / 3, in_flight=IN_FLIGHT)
        capacity = alone["answered"] / alone["seconds"]
        rss_before_mb = ours.peak_rss_mb()
        before_s = ours.cpu_s()
        under = order(run="overload", seconds=seconds, per_s=TIMES * capacity)
        cpu_s = ours.cpu_s() - before_s
        rss_mb = ours.peak_rss_mb()
        ours.stop()
        stored = _events_stored(Path(folder))
    return {
        "goodput_ratio": round(under["answered"] / under["seconds"] / capacity, 3),
        "events_p50_ms": round(under["events_latency_ms"]["p50"], 1),
        "events_p99_ms": round(under["events_latency_ms"]["p99"], 1),
        "events": under["events_sent"],
        "events_lost": under["events_sent"] - min(under["events_answered"], stored),
        "rss_mb": round(rss_mb),
        "rss_before_mb": round(rss_before_mb),
        "capacity_per_s": round(capacity),
        "offered_ratio": round(under["offered"] / under["seconds"] / capacity, 2),
        "refused": under["refused"],
        "gateway_cpu_share": round(cpu_s / under["seconds"], 2),
        "nodes": NODES,
    }


def _events_stored(folder: Path) -> int:
    """Count the different events of nodes in the spool."""
    connection = sqlite3.connect(folder / "gateway.db")
    try:
        (stored,) = connection.execute(
            "SELECT count(*) FROM (SELECT DISTINCT node, boot, sequence FROM event"
            " WHERE kind = 'sos.pressed')"
        ).fetchone()
    finally:
        connection.close()
    return int(stored)
