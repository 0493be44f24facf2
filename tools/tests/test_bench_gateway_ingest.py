"""The benchmark `gateway-ingest`: it runs, keeps what it counts, and names what it measured."""

import pytest

from poleward_tools.bench import gateway_ingest

KEYS = {
    "reports_per_s",
    "cpu_us_per_report",
    "p50_ms",
    "p99_ms",
    "aiocoap_reports_per_s",
    "aiocoap_cpu_us_per_report",
    "ratio_to_aiocoap",
    "lost",
    "duplicates",
    "refused",
    "retransmitted",
    "nodes",
}


@pytest.mark.system
def test_what_is_answered_is_stored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_ingest, "NODES", 20)
    figures = gateway_ingest.run(seconds=0.3)
    assert set(figures) == KEYS
    assert figures["lost"] == 0
    assert figures["duplicates"] == 0
    assert figures["reports_per_s"] > 0
