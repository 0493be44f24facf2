"""How high the sun stands at a place and time.

Not sunrise and sunset: a lighting program asks for those, and needs them more exactly.
"""

import math

_J2000_MS = 946_728_000_000  # 1 January 2000, 12:00 UTC
_DAY_MS = 86_400_000


def sun_elevation_deg(at_ms: int, latitude_deg: float, longitude_deg: float) -> float:
    """Return the elevation, to about 0.1 degrees and without refraction.

    Low-precision formulas of the Astronomical Almanac, page C5.
    """
    days = (at_ms - _J2000_MS) / _DAY_MS
    mean_longitude = 280.460 + 0.9856474 * days
    anomaly = math.radians(357.528 + 0.9856003 * days)
    longitude = math.radians(
        mean_longitude + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    )
    obliquity = math.radians(23.439 - 0.0000004 * days)
    declination = math.asin(math.sin(obliquity) * math.sin(longitude))
    ascension = math.atan2(math.cos(obliquity) * math.sin(longitude), math.cos(longitude))
    sidereal = math.radians(280.46062 + 360.9856474 * days + longitude_deg)
    latitude = math.radians(latitude_deg)
    return math.degrees(
        math.asin(
            math.sin(latitude) * math.sin(declination)
            + math.cos(latitude) * math.cos(declination) * math.cos(sidereal - ascension)
        )
    )
