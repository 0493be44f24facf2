"""Waves, windows and durations as people write them."""

import pytest

from poleward_tools.cli.rollout_options import parse_duration_s, parse_waves, parse_window
from poleward_tools.client.rollout_views import RolloutWave, RolloutWindow
from poleward_tools.exit_codes import CommandError


def test_waves_are_numbers_shares_and_the_rest() -> None:
    assert parse_waves([]) == ()
    assert parse_waves(["3,wait=30m", "10%,success=95,approve"]) == (
        RolloutWave(nodes=3, wait_s=1800),
        RolloutWave(percent=10, success_percent=95, needs_approval=True),
        RolloutWave(),
    )
    assert parse_waves(["rest,wait=1h"]) == (RolloutWave(wait_s=3600),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "x",
        "3,sucess=9",
        "3,wait=",
        "-1",
        "3%%",
        "3,approve=1",
        "9" * 11,
        "101%",
        "3,success=101",
    ],
)
def test_bad_wave_is_refused(text: str) -> None:
    with pytest.raises(CommandError):
        parse_waves([text])


def test_windows_name_days_and_times() -> None:
    assert parse_window("01:00-05:30") == RolloutWindow(tuple(range(7)), 60, 330)
    assert parse_window("Fri-Mon 22:00-04:00") == RolloutWindow((0, 4, 5, 6), 1320, 240)
    assert parse_window("sat,sun 0:00-23:59") == RolloutWindow((5, 6), 0, 1439)


@pytest.mark.parametrize("text", ["", "1-2", "24:00-05:00", "xyz 01:00-02:00", "mon 1:60-2:00"])
def test_bad_window_is_refused(text: str) -> None:
    with pytest.raises(CommandError):
        parse_window(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("15m", 900), ("2h", 7200), ("1d", 86400)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "1.5h", "-3", "3 h", "31d", "9" * 30])
def test_bad_duration_is_refused(text: str) -> None:
    with pytest.raises(CommandError):
        parse_duration_s(text)
