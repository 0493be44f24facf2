"""The node's reading of lighting programs against the fleet's, which previews them."""

import datetime

from hypothesis import given
from hypothesis import strategies as st
from zoneinfo import ZoneInfo

from node.lighting import evaluation
from poleward_fleet.domain.lighting_rules import night_of, read_rules

SHANGHAI = ZoneInfo("Asia/Shanghai")


class NodesProgram:
    """A program as the node's evaluation takes it."""

    def __init__(self, rules: str, offset_s: int = 28800) -> None:
        self.rules = rules
        self.latitude_mdeg, self.longitude_mdeg = 31230, 121470
        self._offset_s = offset_s

    def offset_s(self, now: int) -> int:
        return self._offset_s


clock_times = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))
sun_times = st.builds("{}{:+d}".format, st.sampled_from("SR"), st.integers(-90, 90))
day_fields = st.sampled_from(["", "* * *", "* * 5,6", "1-15 * *", "* 11-12,1 0", "* * 7"])
dates = st.sampled_from(["", "--11-01~--02-28", "2026-03-01~2026-05-31", "2026-07-01", "--02-29"])


@st.composite
def rules(draw: st.DrawFn) -> str:
    lines = []
    for last in (False, True):
        times = draw(st.lists(clock_times | sun_times, min_size=1, max_size=5))
        levels = [str(draw(st.integers(0, 100))) for _ in times]
        limits = "|" if last else f"{draw(dates)}|{draw(day_fields)}"
        lines.append(f"{limits}|{';'.join(times)}|{';'.join(levels)}")
    return "\n".join(lines)


@given(rules(), st.integers(0, 3 * 365 * 24 * 60))
def test_node_and_fleet_read_a_program_alike(text: str, minute: int) -> None:
    moment = datetime.datetime(2026, 1, 1, tzinfo=SHANGHAI) + datetime.timedelta(minutes=minute)
    evaluation.check(text)
    evening = (moment - datetime.timedelta(hours=12)).date()
    night = night_of(
        read_rules(text), evening=evening, zone=SHANGHAI, latitude_deg=31.23, longitude_deg=121.47
    )
    level, end = evaluation.level_and_end(NodesProgram(text), int(moment.timestamp()))
    # The two suns are up to a minute apart: near a switching point both levels are right.
    near = [found for at, found in night.points if abs((at - moment).total_seconds()) < 120]
    assert level == night.level_at(moment) or near, night
    assert end > moment.timestamp()
