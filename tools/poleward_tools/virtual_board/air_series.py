"""Makes `air.bin`, the weather and air quality a simulated node replays, from the shipped series.

Not read here: `node.board.sim` reads it, `air_series` only has to agree on the format:
a header `<4sHI` (b"PWAS", seconds per record, number of records), then records `<hHH`: temperature
in hundredths of a degree Celsius, relative humidity in hundredths of a percent, PM2.5 in tenths of
a microgram per cubic metre.
"""

import csv
import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

MAGIC = b"PWAS"
HEADER = struct.Struct("<4sHI")
RECORD = struct.Struct("<hHH")
SECONDS_PER_RECORD = 3600
SAMPLE = Path(__file__).parent / "data" / "beijing_air_2014_spring.csv"


def relative_humidity_percent(temperature_c: float, dew_point_c: float) -> float:
    """Compute relative humidity by the Magnus formula (WMO No. 8, Annex 4.B, over water)."""

    def vapour_pressure(celsius: float) -> float:
        return math.exp(17.62 * celsius / (243.12 + celsius))

    ratio = vapour_pressure(dew_point_c) / vapour_pressure(temperature_c)
    return min(100.0, max(0.0, 100.0 * ratio))


def read_sample(lines: Iterable[str]) -> Iterator[tuple[float, float, float]]:
    """Yield (temperature °C, humidity %, PM2.5 µg/m³) an hour; a missing PM2.5 repeats the last.

    Args:
        lines: CSV of the UCI data set: columns `pm2.5`, `DEWP`, `TEMP`; lines starting with `#`
            hold the attribution.

    Raises:
        ValueError: The columns are not those of the data set; check the file.
    """
    reader = csv.DictReader(line for line in lines if not line.startswith("#"))
    if not {"pm2.5", "DEWP", "TEMP"} <= set(reader.fieldnames or ()):
        raise ValueError(f"not the UCI series: columns are {reader.fieldnames}")
    pm25 = 0.0
    for row in reader:
        if row["pm2.5"] != "NA":
            pm25 = float(row["pm2.5"])
        temperature = float(row["TEMP"])
        yield temperature, relative_humidity_percent(temperature, float(row["DEWP"])), pm25


def air_series(sample: Path = SAMPLE) -> bytes:
    """Return the series in the node simulator's format."""
    with sample.open(encoding="utf-8", newline="") as source:
        records = [
            RECORD.pack(
                round(temperature * 100), round(humidity * 100), min(65535, round(pm25 * 10))
            )
            for temperature, humidity, pm25 in read_sample(source)
        ]
    return HEADER.pack(MAGIC, SECONDS_PER_RECORD, len(records)) + b"".join(records)
