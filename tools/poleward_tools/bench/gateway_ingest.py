"""The benchmark `gateway-ingest`: secure, durable reports a second, ours and aiocoap's.

Not a test. Both servers run in processes of their own and are loaded in turns by the same
programs over real sockets, with OSCORE. Ours answers after the commit, aiocoap keeps nothing.
"""

import json
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from poleward_tools.bench.process_family import cpu_s

NODES = 500
ROUNDS = 3
OURS_IN_FLIGHT = 1000
THEIRS_IN_FLIGHT = 64
"""As many as it answers before they are sent again, after 2 s, on a slow machine too."""
_BOOT = 1
_WARM_UPS = (2, 6)
"""Reports of each node before anything is measured."""
_SIDE = "poleward_tools.bench.gateway_side"
_LOAD = "poleward_tools.bench.report_load"
_STOP_S = 30


def run(seconds: float = 5.0) -> dict[str, Any]:
    """Load both servers in turns; return the figures.

    - `reports_per_s`, `aiocoap_reports_per_s`: medians of ROUNDS in turns.
    - `cpu_us_per_report`, `aiocoap_cpu_us_per_report`: of the server's process, all threads, in
      the same rounds; these hold on a machine that has other things to do.
    - `p50_ms`, `p99_ms`: ours at half of that rate, from sending to the answer.
    - `lost`: answered with 2.04 and not in the spool, or never answered.
    - `refused`: answered with 5.03; a node sends such a report again, this load does not.
    - `duplicates`: in the spool more than once.

    Args:
        seconds: Spent on each side, about.
    """
    with (
        TemporaryDirectory(prefix="poleward-bench-") as folder,
        server("ours", NODES, Path(folder)) as ours,
        server("aiocoap", NODES, Path(folder)) as theirs,
        load(ours.port, NODES) as our_load,
        load(theirs.port, NODES) as their_load,
    ):
        our_count, results = _calibrate(our_load, OURS_IN_FLIGHT, seconds)
        their_count, _ = _calibrate(their_load, THEIRS_IN_FLIGHT, seconds)
        our_rates, their_rates, cpu_us, their_cpu_us = [], [], [], []
        for _ in range(ROUNDS):
            before_s = ours.cpu_s()
            results.append(our_load(count=our_count, in_flight=OURS_IN_FLIGHT))
            cpu_us.append((ours.cpu_s() - before_s) / (our_count * NODES) * 1e6)
            our_rates.append(our_count * NODES / results[-1]["seconds"])
            before_s = theirs.cpu_s()
            theirs_now = their_load(count=their_count, in_flight=THEIRS_IN_FLIGHT)
            their_cpu_us.append((theirs.cpu_s() - before_s) / (their_count * NODES) * 1e6)
            their_rates.append(their_count * NODES / theirs_now["seconds"])
        rate = statistics.median(our_rates)
        half = our_load(count=max(1, int(seconds * rate / 2 / NODES)), per_s=rate / 2)
        results.append(half)
        answered = sum(result["answered"] for result in results)
        unanswered = sum(result["unanswered"] for result in results)
        ours.stop()
        stored, distinct = spooled(Path(folder))
    their_rate = statistics.median(their_rates)
    return {
        "reports_per_s": round(rate),
        "cpu_us_per_report": round(statistics.median(cpu_us), 1),
        "p50_ms": round(half["latencies_ms"]["p50"], 2),
        "p99_ms": round(half["latencies_ms"]["p99"], 2),
        "aiocoap_reports_per_s": round(their_rate),
        "aiocoap_cpu_us_per_report": round(statistics.median(their_cpu_us), 1),
        "ratio_to_aiocoap": round(rate / their_rate, 1),
        "lost": max(0, answered - distinct) + unanswered,
        "refused": sum(result["refused"] for result in results),
        "duplicates": stored - distinct,
        "retransmitted": sum(result["retransmitted"] for result in results),
        "nodes": NODES,
    }


def _calibrate(order: Any, in_flight: int, seconds: float) -> tuple[int, list[Any]]:
    """Find how many reports of each node take one round's share of the time; give the results."""
    results = [order(count=count, in_flight=in_flight) for count in _WARM_UPS]
    per_s = max(count / result["seconds"] for count, result in zip(_WARM_UPS, results, strict=True))
    return max(1, int(seconds / ROUNDS * per_s)), results


class Server:
    """A server's process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline())

    def cpu_s(self) -> float:
        """Return processor time of all threads so far."""
        return cpu_s(self._process.pid)

    def peak_rss_mb(self) -> float:
        """Return the most memory it had at any moment."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024

    def stop(self) -> None:
        """Stop it in an orderly way."""
        self._process.terminate()
        self._process.wait(_STOP_S)


@contextmanager
def server(side: str, nodes: int, folder: Path) -> Iterator[Server]:
    """Run a server inside a block."""
    process = subprocess.Popen(
        [sys.executable, "-m", _SIDE, side, str(nodes), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def load(port: int, nodes: int, *, module: str = _LOAD) -> Iterator[Any]:
    """Run a load generator inside a block; gives a function that has it do one run."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(port), str(nodes), str(_BOOT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def order(**arguments: Any) -> Any:
        stdin.write(json.dumps(arguments) + "\n")
        stdin.flush()
        return json.loads(stdout.readline())

    try:
        yield order
    finally:
        process.kill()
        process.wait()
        stdin.close()
        stdout.close()


def spooled(folder: Path) -> tuple[int, int]:
    """Count the reports in the spool, and how many different ones they are."""
    connection = sqlite3.connect(folder / "gateway.db")
    try:
        (stored,) = connection.execute("SELECT count(*) FROM report").fetchone()
        (distinct,) = connection.execute(
            "SELECT count(*) FROM (SELECT DISTINCT node, boot, sequence FROM report)"
        ).fetchone()
    finally:
        connection.close()
    return stored, distinct
