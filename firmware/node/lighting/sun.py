"""Sunset and sunrise from a date and a place, in integers.

Not for almanacs: within a minute of the exact time up to 60 degrees north and south, which is
what a street lamp needs. Floats have 24 bits on the chip, too few for a day count times a rate.
"""

from micropython import const

_DAY_S = const(86400)
# 2000-01-01 12:00 UTC, from which the sun's angles are counted.
_J2000_S = const(946728000)
# An angle is a fraction of a turn in 2 ** -24; sines and radians are in 2 ** -28.
_TURN = const(1 << 24)
_ONE_BITS = const(28)
_TWO_PI = const(1686629713)
_MILLIDEGREES = const(360000)
# The sun's upper rim on the horizon, with refraction: -0.833 degrees.
_HORIZON = const(-833)
# Astronomical Almanac, low precision formulas for the sun. Angles in millionths of a degree.
_ANOMALY = const(357529100)
_ANOMALY_A_DAY = const(985600280)  # thousandths of that
_PERIHELION = const(282937200)
_PERIHELION_A_DAY = const(47)
_OBLIQUITY = const(23439)


def sunset_and_sunrise(day: int, latitude_mdeg: int, longitude_mdeg: int) -> "tuple[int, int]":
    """Compute when the sun sets on a day and rises after it.

    Where it does not set, both are at midnight; where it does not rise, at the noons around it.

    Args:
        day: Days since 1970-01-01, of the place's noon.
        latitude_mdeg: Thousandths of a degree, north is positive.
        longitude_mdeg: Thousandths of a degree, east is positive.

    Returns:
        Unix time of both.
    """
    return (
        _crossing(day, latitude_mdeg, longitude_mdeg, 1),
        _crossing(day + 1, latitude_mdeg, longitude_mdeg, -1),
    )


def _crossing(day: int, latitude_mdeg: int, longitude_mdeg: int, direction: int) -> int:
    """Find when the sun crosses the horizon: -1 before the day's noon, 1 after it."""
    mean_noon_s = day * _DAY_S + _DAY_S // 2 - longitude_mdeg * _DAY_S // _MILLIDEGREES
    crossing_s = mean_noon_s
    # The sun moves on meanwhile: the second round uses its place at the crossing.
    for _ in range(2):
        since_s = crossing_s - _J2000_S
        anomaly = _angle(_ANOMALY + since_s * _ANOMALY_A_DAY // (1000 * _DAY_S))
        # The equation of the centre, then of time: both in the sine's 2 ** -28.
        centre = 1914800 * _sine(anomaly) + 20000 * _sine(2 * anomaly) + 300 * _sine(3 * anomaly)
        perihelion = _PERIHELION + since_s * _PERIHELION_A_DAY // _DAY_S
        longitude = (anomaly + _angle((centre >> _ONE_BITS) + perihelion)) % _TURN
        noon_s = mean_noon_s + ((458 * _sine(anomaly) - 596 * _sine(2 * longitude)) >> _ONE_BITS)
        half_day_s = _half_day_s(_turn(latitude_mdeg), longitude)
        crossing_s = noon_s + direction * half_day_s
    return crossing_s


def _half_day_s(latitude: int, longitude: int) -> int:
    """Compute the time between noon and the crossing.

    Args:
        latitude: Of the place, as an angle.
        longitude: Of the sun on the ecliptic, as an angle.
    """
    one = 1 << _ONE_BITS
    sine_declination = _sine(longitude) * _sine(_turn(_OBLIQUITY)) >> _ONE_BITS
    cosine_declination = _root((one - sine_declination) * (one + sine_declination))
    above = _sine(_turn(_HORIZON)) - (_sine(latitude) * sine_declination >> _ONE_BITS)
    across = _cosine(latitude) * cosine_declination >> _ONE_BITS
    # The hour angle whose cosine is above / across, between 0 and half a turn.
    low, high = 0, _TURN // 2
    while high - low > 1:
        middle = (low + high) // 2
        if _cosine(middle) * across >> _ONE_BITS >= above:
            low = middle
        else:
            high = middle
    return high * _DAY_S // _TURN


def _angle(microdegrees: int) -> int:
    return microdegrees * _TURN // 360000000


def _turn(millidegrees: int) -> int:
    return millidegrees * _TURN // _MILLIDEGREES


def _cosine(angle: int) -> int:
    return _sine(angle + _TURN // 4)


def _sine(angle: int) -> int:
    angle %= _TURN
    sign = 1
    if angle >= _TURN // 2:
        angle -= _TURN // 2
        sign = -1
    if angle > _TURN // 4:
        angle = _TURN // 2 - angle
    radians = angle * _TWO_PI >> 24
    square = radians * radians >> _ONE_BITS
    term = total = radians
    for divisor in (6, 20, 42, 72, 110):  # Taylor: x - x3 / 3! + x5 / 5! ...
        term = -(term * square >> _ONE_BITS) // divisor
        total += term
    return sign * total


def _root(square: int) -> int:
    """Give the integer square root."""
    root = 1 << (_ONE_BITS + 1)
    while True:
        better = (root + square // root) // 2
        if better >= root:
            return root
        root = better
