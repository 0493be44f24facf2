"""The weather that simulated nodes replay."""

import pytest

from poleward_tools.virtual_board.air_series import (
    HEADER,
    MAGIC,
    RECORD,
    SAMPLE,
    air_series,
    read_sample,
    relative_humidity_percent,
)


def test_series_holds_every_hour_of_the_sample() -> None:
    count = 92 * 24
    contents = air_series()
    assert HEADER.unpack_from(contents) == (MAGIC, 3600, count)
    assert len(contents) == HEADER.size + count * RECORD.size
    # 1 March 2014, 0:00: -1 °C, dew point -7 °C, 168 µg/m³.
    temperature, humidity, pm25 = RECORD.unpack_from(contents, HEADER.size)
    assert (temperature, pm25) == (-100, 1680)
    assert 6200 < humidity < 6600


def test_missing_value_repeats_the_last() -> None:
    rows = ["pm2.5,DEWP,TEMP", "12,0,10", "NA,0,11", "14,0,12"]
    assert [pm25 for _, _, pm25 in read_sample(rows)] == [12, 12, 14]


def test_other_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="not the UCI series"):
        list(read_sample(["a,b", "1,2"]))


def test_humidity_is_full_at_the_dew_point() -> None:
    assert relative_humidity_percent(12, 12) == pytest.approx(100)
    assert 30 < relative_humidity_percent(25, 9) < 40


def test_sample_names_its_source_and_licence() -> None:
    head = SAMPLE.read_text(encoding="utf-8")[:500]
    assert "UCI Machine Learning Repository" in head
    assert "CC BY 4.0" in head
