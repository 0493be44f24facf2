"""The node's sunset and sunrise against astral."""

import datetime

import pytest
from astral import Observer
from astral.sun import sunrise, sunset

from node.lighting.sun import sunset_and_sunrise

EPOCH = datetime.date(1970, 1, 1)
PLACES = [(31.23, 121.47), (51.45, -2.58), (0.0, 0.0), (-33.9, 151.2), (45.0, -122.0), (60.0, 25.0)]


@pytest.mark.parametrize(("latitude", "longitude"), PLACES)
def test_sun_is_within_a_minute_of_astral_for_forty_years(
    latitude: float, longitude: float
) -> None:
    observer = Observer(latitude, longitude)
    zone = datetime.timezone(datetime.timedelta(hours=round(longitude / 15)))
    for day in range(19000, 34000, 97):
        date = EPOCH + datetime.timedelta(day)
        sets_at, rises_at = sunset_and_sunrise(day, round(latitude * 1000), round(longitude * 1000))
        assert abs(sets_at - sunset(observer, date, tzinfo=zone).timestamp()) < 60
        morning = date + datetime.timedelta(1)
        assert abs(rises_at - sunrise(observer, morning, tzinfo=zone).timestamp()) < 60


def test_far_north_the_night_is_whole_in_winter_and_empty_in_summer() -> None:
    winter = (datetime.date(2026, 12, 21) - EPOCH).days
    summer = (datetime.date(2026, 6, 21) - EPOCH).days
    sets_at, rises_at = sunset_and_sunrise(winter, 75000, 0)
    assert abs(rises_at - sets_at - 86400) < 120
    sets_at, rises_at = sunset_and_sunrise(summer, 75000, 0)
    assert abs(rises_at - sets_at) < 120
