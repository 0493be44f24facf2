"""Where the poles of the made-up city stand.

Not what they do.
"""

import math
import random
from pathlib import Path


def street_positions(count: int, chance: random.Random) -> list[tuple[float, float]]:
    """Return (latitude, longitude) of lamps along a net of streets."""
    places: list[tuple[float, float]] = []
    while len(places) < count:
        radius = 0.03 * math.sqrt(count / 2000)
        latitude = 36.085 + chance.gauss(0, radius / 2)
        longitude = 120.40 + chance.gauss(0, radius / 1.6)
        heading = chance.choice((0.25, 0.25 + math.pi / 2)) + chance.gauss(0, 0.06)
        for _ in range(min(chance.randrange(8, 40), count - len(places))):
            places.append((latitude, longitude))
            latitude += 0.00032 * math.sin(heading)
            longitude += 0.0004 * math.cos(heading)
            heading += chance.gauss(0, 0.03)
    return places


def positions_from(path: Path, count: int, chance: random.Random) -> list[tuple[float, float]]:
    """Return (latitude, longitude) from a CSV file with the columns longitude,latitude."""
    rows = path.read_text(encoding="utf-8").splitlines()[1:]
    places = [(float(lat), float(lon)) for lon, lat in (row.split(",")[:2] for row in rows)]
    while len(places) < count:
        latitude, longitude = chance.choice(places)
        places.append((latitude + chance.gauss(0, 2e-4), longitude + chance.gauss(0, 2e-4)))
    return places[:count]
