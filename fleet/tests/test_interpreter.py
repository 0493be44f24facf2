"""The collector while the fleet manager serves."""

import gc

from poleward_fleet.adapters.interpreter import start_is_kept


def test_the_collector_passes_over_the_start_and_later_looks_again() -> None:
    before = gc.get_freeze_count()
    with start_is_kept():
        assert gc.get_freeze_count() > before + 1000
    assert gc.get_freeze_count() == 0
