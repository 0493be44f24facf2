"""The gateway of the benchmark `uplink`, as a process of its own: the real one with a full spool.

Run by bench_process.py.
"""

import array
import asyncio
import json
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from poleward_gateway.adapters.fleet_link import identity
from poleward_gateway.adapters.secrets.sealed_box import open_box
from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.adapters.storage.spool import SqliteSpool
from poleward_gateway.bootstrap import running
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.telemetry import Report, Series
from poleward_tools.bench.bench_fleet import quiet_log
from poleward_tools.bench.fleet_ingest_gateway import INTERVAL_MS, METRICS, plausible_values

_AT_ONCE = 4000  # reports that wait for one commit
_POLL_S = 0.005


async def run(order: dict[str, Any]) -> dict[str, Any]:
    """Fill the spool, wait for the word, drain it; return how long that took."""
    config = GatewayConfig(Path(order["folder"]), coap_port=0)
    box = open_box(config.key_source, config.key_file)
    known = identity.load(config.identity_dir, box)
    identity.save(config.identity_dir, replace(known, link_address=order["link"]), box)
    await _fill(config, order["nodes"], order["reports"])
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    async with running(config) as gateway:
        began_at = time.perf_counter()
        while gateway.spool.waiting_reports():  # noqa: ASYNC110 - the spool tells nobody
            await asyncio.sleep(_POLL_S)
        return {"seconds": time.perf_counter() - began_at}


async def _fill(config: GatewayConfig, nodes: list[int], reports: int) -> None:
    """Spool reports as if the nodes had sent them in turn."""
    layout = tuple(Series(metric, 0) for metric in METRICS)
    chance = random.Random(1)
    values = [array.array("d", plausible_values(chance)) for _ in nodes]
    began_at_ms = int(time.time() * 1000) - INTERVAL_MS * (reports // len(nodes) + 1)
    database = Database(config.database_path)
    spool = SqliteSpool(database, reports_max=10_000_000)
    database.start()
    try:
        for start in range(0, reports, _AT_ONCE):
            await spool.add_reports(
                [
                    Report(
                        node=NodeNumber(nodes[i % len(nodes)]),
                        boot=1,
                        sequence=i // len(nodes),
                        time_ms=began_at_ms + i * INTERVAL_MS // len(nodes),
                        layout=layout,
                        values=values[i % len(nodes)],
                    )
                    for i in range(start, min(reports, start + _AT_ONCE))
                ]
            )
    finally:
        database.close()


if __name__ == "__main__":
    with quiet_log():
        print(json.dumps(asyncio.run(run(json.loads(sys.stdin.readline())))), flush=True)
