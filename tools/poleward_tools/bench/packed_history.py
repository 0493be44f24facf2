"""What a packed reading takes: a day of some nodes, stored, packed, weighed.

Part of the benchmark `fleet-ingest`, on a database of its own.
"""

import math
import random
import time
from collections.abc import Sequence

from poleward_fleet.domain.history import DAY_MS, day_of
from poleward_fleet.domain.telemetry import ReportColumns, SeriesKey
from poleward_fleet.ports.telemetry import SpooledReports
from poleward_tools.bench.bench_fleet import BenchFleet, bench_fleet
from poleward_tools.bench.fleet_ingest_gateway import METRICS

_NODES = 10
_REPORTS = 1440  # one a minute
_SIZE = "SELECT pg_table_size('packed_day') + pg_table_size('rollup')"


async def bytes_per_reading_packed() -> float:
    """Return bytes in the database per reading of a packed day, roll-ups included."""
    async with bench_fleet() as bench:
        await bench.enroll_gateway("gw-1")
        nodes = await bench.add_nodes(["gw-1"], _NODES)
        empty_bytes = await bench.scalar(_SIZE)
        # Two days ago: over, whatever the time is.
        await _store(bench, nodes, day_of(int(time.time() * 1000)) - 2)
        await bench.fleet.history.once()
        held_bytes = await bench.scalar(_SIZE) - empty_bytes
        return float(held_bytes) / (_NODES * _REPORTS * len(METRICS))


async def _store(bench: BenchFleet, nodes: Sequence[int], day: int) -> None:
    layout = tuple(SeriesKey(metric) for metric in METRICS)
    for number, node in enumerate(nodes, start=1):
        reports = ReportColumns(
            layouts=(layout,),
            node_number=[node] * _REPORTS,
            boot=[1] * _REPORTS,
            sequence=list(range(_REPORTS)),
            layout=[0] * _REPORTS,
            measured_at_ms=[day * DAY_MS + minute * 60_000 for minute in range(_REPORTS)],
            value=noisy_day(random.Random(node)),
        )
        await bench.fleet.ingest.store([SpooledReports("gw-1", "packed", number, reports)])


def noisy_day(chance: random.Random) -> list[float]:
    """Return the values of a day's reports: what sensors with noise and their resolution give."""
    values: list[float] = []
    energy_wh = float(chance.randrange(10**6))
    for minute in range(_REPORTS):
        level = 0 if 420 < minute < 1080 else 100 if minute > 1080 else 60
        voltage_v = 230 + 3 * math.sin(minute / 300) + chance.gauss(0, 0.6)
        power_w = level * 0.97 + (chance.gauss(0, 0.4) if level else 0.4)
        energy_wh += power_w / 60
        temperature_c = 8 + 4 * math.sin(minute / 229) + chance.gauss(0, 0.05)
        values += [
            float(level),
            round(voltage_v, 1),
            round(power_w / voltage_v, 3),
            round(power_w, 1),
            round(0.95 + chance.gauss(0, 0.005), 2) if level else 0.4,
            round(energy_wh),
            round(temperature_c, 2),
            round(70 - 2 * temperature_c + chance.gauss(0, 0.3), 1),
        ]
    return values
