"""The benchmark `delta` without its download: sizes and heap are the same on every machine."""

import pytest

from poleward_tools.bench import delta


def test_patches_of_bundles_are_small_and_fit_a_nodes_heap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "_images", lambda place: [])
    cases = delta.run()["cases"]
    assert len(cases) == 2
    for case in cases:
        assert case["ratio"] <= 0.01
        assert case["apply_heap_bytes"] <= 16 * 1024
        assert case["apply_ms"] > 0
