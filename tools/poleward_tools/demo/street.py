"""Where the demo's poles stand: real street lamps of Bristol, and areas made up around them.

It talks to no fleet. The sample's source and licence are in its first lines.
"""

import csv
import math
import random
from pathlib import Path

from poleward_tools.client.views import Area, Pole

SAMPLE = Path(__file__).with_name("data") / "bristol_street_lamps.csv"
SAMPLE_SIZE = 2000

# Prefix 99 is assigned to no province (GB/T 2260), so these codes collide with no real area.
CITY = Area("990000000000", "Bristol (demo)")
DISTRICT = Area("990100000000", "City centre", CITY.code)
STREETS = (
    Area("990101000000", "North-east streets", DISTRICT.code),
    Area("990102000000", "South-east streets", DISTRICT.code),
    Area("990103000000", "South-west streets", DISTRICT.code),
    Area("990104000000", "North-west streets", DISTRICT.code),
)

_SPACING_M = 18.0  # lamps closer than this share a mast or a junction
_METRES_PER_DEGREE = 111_320.0
_WATTAGES_W = (40, 60, 60, 90, 120)


def areas() -> list[Area]:
    """List the demo's areas, parents before children."""
    return [CITY, DISTRICT, *STREETS]


def poles(count: int, sample: Path = SAMPLE) -> list[Pole]:
    """Choose neighbouring lamps as poles; the same count always gives the same poles.

    Raises:
        ValueError: the sample has fewer lamps.
    """
    places = _places(sample)
    if not 0 < count <= len(places):
        raise ValueError(f"choose 1 to {len(places)} poles")
    chosen = _spaced(places, count, _SPACING_M)
    if len(chosen) < count:
        chosen = places[:count]
    latitude_deg = sum(place[0] for place in chosen) / count
    longitude_deg = sum(place[1] for place in chosen) / count
    wattages = random.Random(count)
    return [
        Pole(
            code=f"BRS-{number:06d}",
            area_code=_street(place[0] - latitude_deg, place[1] - longitude_deg).code,
            latitude_deg=place[0],
            longitude_deg=place[1],
            lamp_nominal_w=wattages.choice(_WATTAGES_W),
            equipment=("lamp", "air"),
        )
        for number, place in enumerate(chosen, start=1)
    ]


def _places(sample: Path) -> list[tuple[float, float]]:
    with sample.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(line for line in lines if not line.startswith("#"))
        return [(float(row["latitude_deg"]), float(row["longitude_deg"])) for row in rows]


def _spaced(
    places: list[tuple[float, float]], count: int, spacing_m: float
) -> list[tuple[float, float]]:
    chosen: list[tuple[float, float]] = []
    for place in places:
        if all(_distance_m(place, other) >= spacing_m for other in chosen):
            chosen.append(place)
            if len(chosen) == count:
                break
    return chosen


def _distance_m(one: tuple[float, float], other: tuple[float, float]) -> float:
    # Equirectangular: exact enough within a kilometre.
    east = (one[1] - other[1]) * math.cos(math.radians(one[0]))
    return math.hypot(one[0] - other[0], east) * _METRES_PER_DEGREE


def _street(north_deg: float, east_deg: float) -> Area:
    if north_deg >= 0:
        return STREETS[0] if east_deg >= 0 else STREETS[3]
    return STREETS[1] if east_deg >= 0 else STREETS[2]
