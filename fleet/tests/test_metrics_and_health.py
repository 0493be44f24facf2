"""What supervisors and Prometheus see."""

import urllib.request
from pathlib import Path

import httpx
import pytest

from fleet_rig import Rig, hello, make_gateway, make_poles
from poleward_fleet.adapters.metrics.prometheus import MetricsServer, PrometheusMeter
from poleward_fleet.bootstrap import running
from poleward_fleet.config import FleetConfig
from poleward_fleet.domain.alarms import AlarmChange, AlarmKind
from poleward_fleet.domain.errors import ConfigurationError
from poleward_fleet.domain.telemetry import NodeEvent, Severity


def shown(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return str(answer.read().decode()).splitlines()


def test_meter_is_shown_to_prometheus() -> None:
    meter = PrometheusMeter()
    meter.watch_gateways(lambda: 3)
    meter.reports_stored(reports=5, readings=40, seconds=0.02)
    meter.events_stored(2)
    meter.alarms_changed(
        AlarmChange(1, AlarmKind.SOS, is_raised, at_ms=1) for is_raised in (True, False)
    )
    server = MetricsServer(meter, 0)
    try:
        lines = shown(server.port)
    finally:
        server.close()
    assert {
        "poleward_fleet_reports_stored_total 5.0",
        "poleward_fleet_readings_stored_total 40.0",
        "poleward_fleet_events_stored_total 2.0",
        'poleward_fleet_alarms_raised_total{kind="sos"} 1.0',
        'poleward_fleet_store_seconds_bucket{le="0.025"} 1.0',
        "poleward_fleet_gateways_connected 3.0",
    } <= set(lines)


def test_metrics_port_that_is_taken_is_named() -> None:
    server = MetricsServer(PrometheusMeter(), 0)
    try:
        with pytest.raises(ConfigurationError, match=str(server.port)):
            MetricsServer(PrometheusMeter(), server.port)
    finally:
        server.close()


async def test_what_is_stored_is_counted(rig: Rig) -> None:
    await make_gateway(rig.fleet)
    (node,) = await make_poles(rig.fleet, 1)
    link, _ = await rig.fleet.links.open("gw-1", hello())
    event = NodeEvent(node, 1, 1, 5, "sos.pressed", Severity.CRITICAL)
    await rig.fleet.ingest.events(link, 1, [event])
    counted = rig.fleet.meter.registry.get_sample_value
    assert counted("poleward_fleet_events_stored_total") == 1
    assert counted("poleward_fleet_alarms_raised_total", {"kind": "sos"}) == 1
    assert counted("poleward_fleet_gateways_connected") == 1


async def test_health_says_whether_the_database_answers(database_url: str, tmp_path: Path) -> None:
    config = FleetConfig(
        data_dir=tmp_path, database_url=database_url, web_port=0, api_port=0, link_port=0,
        metrics_port=0,
    )  # fmt: skip
    async with running(config) as (_, addresses, _), httpx.AsyncClient() as visitor:
        for page in ("live", "ready"):
            assert (await visitor.get(f"{addresses.web}/health/{page}")).status_code == 200
