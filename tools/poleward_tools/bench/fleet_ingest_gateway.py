"""One gateway of the benchmark `fleet-ingest`, as a process of its own.

Run as `python -m poleward_tools.bench.fleet_ingest_gateway` with its order as JSON on the first
line of standard input; prints "ready", waits for a second line, then sends.
"""

import asyncio
import json
import random
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from poleward_gateway.adapters.fleet_link import identity
from poleward_gateway.adapters.secrets.sealed_box import open_box
from poleward_gateway.config import GatewayConfig
from poleward_gateway.services.uplink import BATCHES_UNDER_WAY
from poleward_tools.client.link_stream import BatchMaker, LinkCredentials, LinkStream

METRICS = (
    "lamp.level_percent", "supply.voltage_v", "supply.current_a", "supply.active_power_w",
    "supply.power_factor", "supply.energy_wh", "air.temperature_c", "air.humidity_percent",
)  # fmt: skip
INTERVAL_MS = 60_000


async def run(order: dict[str, Any]) -> dict[str, Any]:
    """Send for a while, then send the last batches once more on a new stream.

    A gateway that was cut off does the same: the fleet must not store them twice.
    """
    config = GatewayConfig(Path(order["folder"]))
    known = identity.load(config.identity_dir, open_box(config.key_source, config.key_file))
    credentials = LinkCredentials(
        known.link_address, known.ca_pem, known.key_pem, known.certificate_pem
    )
    chance = random.Random(known.name)
    nodes: list[int] = order["nodes"]
    maker = BatchMaker(
        nodes,
        METRICS,
        [value for _ in nodes for value in plausible_values(chance)],
        began_at_ms=order["began_at_ms"],
        interval_ms=INTERVAL_MS,
    )
    async with LinkStream(credentials) as stream:
        await stream.hello("bench")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        began_at = time.time()
        sent, latencies_ms = await _send_for(stream, maker, order["seconds"])
        ended_at = time.time()
    async with LinkStream(credentials) as stream:
        await stream.hello("bench")
        for number in range(max(1, sent - BATCHES_UNDER_WAY + 1), sent + 1):
            await stream.send(maker.batch(number))
        while await stream.acknowledged() < sent:
            pass
    return {
        "batches": sent,
        "began_at": began_at,
        "ended_at": ended_at,
        "latencies_ms": latencies_ms,
    }


async def _send_for(
    stream: LinkStream, maker: BatchMaker, seconds: float
) -> tuple[int, list[float]]:
    """Send with as many batches under way as a gateway has; return how many, and their waits."""
    sent = acknowledged = 0
    sent_at: deque[float] = deque()
    latencies_ms: list[float] = []
    ends_at = time.perf_counter() + seconds
    while True:
        while sent - acknowledged < BATCHES_UNDER_WAY and time.perf_counter() < ends_at:
            sent += 1
            sent_at.append(time.perf_counter())
            await stream.send(maker.batch(sent))
        if sent == acknowledged:
            return sent, latencies_ms
        number = await stream.acknowledged()
        now = time.perf_counter()
        for _ in range(number - acknowledged):
            latencies_ms.append(round((now - sent_at.popleft()) * 1000, 2))
        acknowledged = number


def plausible_values(chance: random.Random) -> list[float]:
    """Return the readings of one report, in the order of METRICS and a node's resolution."""
    level = chance.choice((0, 60, 80, 100))
    return [
        float(level),
        round(chance.gauss(230, 2), 3),
        round(level * 0.0045, 3),
        round(level * 0.97, 1),
        0.95,
        float(chance.randrange(10**6)),
        round(chance.gauss(8, 3), 2),
        round(chance.uniform(40, 95), 1),
    ]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(sys.stdin.readline())))), flush=True)
