"""The benchmarks around the fleet at a small size: promised names, and nothing is lost."""

import json

import pytest
from typer.testing import CliRunner

from poleward_tools.bench import bench_fleet, city_map, fleet_ingest, provision, rollout, uplink
from poleward_tools.bench.registry import BENCHMARKS
from poleward_tools.cli.main import app
from poleward_tools.exit_codes import USAGE

# Each starts a database, gateways and clients: not several at a time.
pytestmark = [pytest.mark.system]


def test_ingest_loses_and_repeats_nothing() -> None:
    figures = fleet_ingest.run(seconds=0.2, gateways=2, nodes=5)
    assert set(figures) == {
        "readings_per_s", "ack_p99_ms", "bytes_per_reading_stored", "bytes_per_reading_packed",
        "lost", "duplicates",
    }  # fmt: skip
    assert figures["readings_per_s"] > 0
    assert 0 < figures["bytes_per_reading_packed"] < 4
    assert (figures["lost"], figures["duplicates"]) == (0, 0)


def test_uplink_drains_the_spool() -> None:
    figures = uplink.run(seconds=0.02, nodes=10)
    assert set(figures) == {"readings_per_s", "bytes_per_reading"}
    assert 0 < figures["bytes_per_reading"] < 100


def test_rollout_is_stopped_before_all_nodes_were_offered() -> None:
    figures = rollout.run(seconds=0.001, nodes=40)
    assert set(figures) == {"plan_s", "dispatch_per_s", "stop_reaction_ms", "rss_mb"}
    assert figures["stop_reaction_ms"] > 0


def test_rollout_reaches_every_node_when_nobody_stops_it() -> None:
    figures = rollout.run(seconds=60, nodes=40)
    assert figures["dispatch_per_s"] > 0
    assert figures["stop_reaction_ms"] == 0


def test_provisioned_nodes_are_commissioned() -> None:
    figures = provision.run(seconds=0.01)
    assert set(figures) == {
        "nodes_per_s", "p50_ms", "p99_ms", "fleet_cpu_ms", "database_cpu_ms", "load_cpu_ms",
        "bootstrap_messages", "bootstrap_bytes",
    }  # fmt: skip
    assert figures["bootstrap_messages"] >= 4
    assert figures["bootstrap_bytes"] > 12 * figures["bootstrap_messages"]
    assert figures["p99_ms"] > 0


@pytest.mark.browser
def test_map_shows_every_pole() -> None:
    figures = city_map.run(poles=200)
    assert set(figures) == {"poles", "first_paint_ms", "frame_ms_p95"}
    assert figures["poles"] == 200
    assert figures["frame_ms_p95"] > 0


def test_percentile_is_a_value_that_occurred() -> None:
    assert bench_fleet.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert bench_fleet.percentile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert bench_fleet.percentile([], 0.99) == 0.0


def test_list_names_every_benchmark() -> None:
    shown = CliRunner().invoke(app, ["bench", "--list", "--json"])
    assert set(json.loads(shown.stdout)["benchmarks"]) == set(BENCHMARKS)


def test_seconds_are_refused_where_nothing_is_timed() -> None:
    refused = CliRunner().invoke(app, ["bench", "node-report", "--seconds", "2"])
    assert refused.exit_code != 0
    assert getattr(refused.exception, "code", USAGE) == USAGE
