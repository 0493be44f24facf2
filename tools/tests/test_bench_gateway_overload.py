"""The benchmark `gateway-overload`: it runs, keeps what it counts, and names what it measured."""

import pytest

from poleward_tools.bench import gateway_overload

KEYS = {
    "goodput_ratio",
    "events_p50_ms",
    "events_p99_ms",
    "events",
    "events_lost",
    "rss_mb",
    "rss_before_mb",
    "capacity_per_s",
    "offered_ratio",
    "refused",
    "gateway_cpu_share",
    "nodes",
}


@pytest.mark.system
def test_events_of_5000_nodes_get_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_overload, "NODES", 5000)
    monkeypatch.setattr(gateway_overload, "IN_FLIGHT", 500)
    figures = gateway_overload.run(seconds=3.0)
    assert set(figures) == KEYS
    assert figures["events"] > 0
    assert figures["events_lost"] == 0
    assert figures["capacity_per_s"] > 0
