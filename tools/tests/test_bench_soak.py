"""The benchmark `soak`: it runs and says what grew."""

import pytest

from poleward_tools.bench import soak


@pytest.mark.system
def test_a_small_city_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "BOARDS", 2)
    monkeypatch.setattr(soak, "REPORT_INTERVAL_S", 1)
    monkeypatch.setattr(soak, "SAMPLE_EVERY_S", 1.0)
    figures = soak.run(seconds=3.0)
    assert figures["lost"] == 0
    assert figures["readings_per_s"] > 0
    assert len(figures["series"]["gateway_rss_mb"]) >= 2
    assert {"gateway_rss_mb_growth", "fleet_descriptors_growth", "command_ms_growth"} <= set(
        figures
    )
