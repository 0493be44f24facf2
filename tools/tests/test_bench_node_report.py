"""The benchmark `node-report`: its figures have the promised names and are within the budgets."""

from poleward_tools.bench import node_report

KEYS = {
    "wire_bytes",
    "payload_bytes",
    "readings",
    "cpu_ms",
    "heap_peak_bytes",
    "allocations_hot_path",
    "bundle_bytes",
    "heap_free_after_boot_bytes",
    "lamp_restored_bytes",
    "lamp_restored_ms",
}


def test_a_report_fits_its_budgets() -> None:
    figures = node_report.run()
    assert set(figures) == KEYS
    # Budgets, not speed: sizes are the same on every machine.
    assert figures["allocations_hot_path"] == 0
    assert figures["wire_bytes"] <= 140
    assert figures["bundle_bytes"] <= 100 * 1024
    assert figures["heap_free_after_boot_bytes"] >= 60 * 1024
