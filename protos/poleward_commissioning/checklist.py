"""What has to hold before a technician signs a pole off: pure verdicts from what is known of it.

Not how the lamp is made to blink nor where results are stored: fleet and gateway each do that.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

ONLINE = "online"
BLINK_LEVELS_PERCENT = (100, 20)
DIMMED_SHARE = 0.6
"""A lamp at the lower level draws at most this share of what it drew at the higher one."""
CLOCK_TOLERANCE_MS = 10_000
LIT_POWER_SHARE = 0.2
"""A lit lamp draws at least this share of what its level asks for; below it counts as dark."""
NEAR_M = 50.0
"""A phone this close to a pole, beside its own accuracy, is at the pole."""
MAX_ACCURACY_M = 100.0
_EARTH_RADIUS_M = 6_371_000.0


class Verdict(Enum):
    """How one check stands."""

    PASSED = "passed"
    WAITING = "waiting"
    FAILED = "failed"
    ABSENT = "absent"  # the pole has no such equipment


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the checklist; `value` is what was seen, for people."""

    name: str
    verdict: Verdict
    value: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a phone says that it is, WGS84."""

    latitude_deg: float
    longitude_deg: float
    accuracy_m: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a pole at one moment.

    Args:
        link_state: Of its node; ONLINE passes.
        version: That its node runs.
        equipment: What is mounted.
        lamp_nominal_w: Of the lamp.
        values: Newest readings by metric.
        measured_at_ms: Time of the newest report since the visit began; 0 for none.
        blink_w: Power at each of BLINK_LEVELS_PERCENT; fewer until it was seen.
        blink_failure: Why the lamp could not be told; empty when it could.
        sos_pressed: The button's event came since the visit began.
        now_ms: Now.
    """

    link_state: str
    version: str
    equipment: tuple[str, ...]
    lamp_nominal_w: int
    values: Mapping[str, float]
    measured_at_ms: int
    blink_w: tuple[float, ...]
    blink_failure: str
    sos_pressed: bool
    now_ms: int


# Name, metrics of which one is enough, what must be mounted, plausible values, unit.
_SENSORS = (
    ("supply", ("supply.voltage_v",), "", 180.0, 260.0, "V"),
    ("temperature", ("air.temperature_c",), "air", -40.0, 70.0, "°C"),
    ("humidity", ("air.humidity_percent",), "air", 1.0, 100.0, "%"),
    ("particles", ("air.pm25_ug_m3", "air.pm10_ug_m3"), "air", 0.0, 2000.0, "µg/m³"),
)


def checklist(facts: Facts) -> tuple[Check, ...]:
    """Judge every line of the checklist."""
    is_online = facts.link_state == ONLINE
    return (
        Check("link", Verdict.PASSED if is_online else Verdict.WAITING, facts.link_state),
        _lamp(facts),
        *(_sensor(facts, *sensor) for sensor in _SENSORS),
        _clock(facts),
        Check("version", Verdict.PASSED if facts.version else Verdict.WAITING, facts.version),
        _sos(facts),
    )


def is_complete(checks: tuple[Check, ...]) -> bool:
    """Tell whether every check passed or does not apply."""
    return all(check.verdict in (Verdict.PASSED, Verdict.ABSENT) for check in checks)


def fault_of(place: Place) -> str:
    """Say what is wrong with a place; empty when nothing is."""
    if not (
        -90 <= place.latitude_deg <= 90
        and -180 <= place.longitude_deg <= 180
        and 0 <= place.accuracy_m < math.inf
    ):
        return "the position makes no sense"
    if place.accuracy_m > MAX_ACCURACY_M:
        return f"the position is only good to {place.accuracy_m:.0f} m; wait for a better one"
    return ""


def doubt_of(place: Place, pole_code: str, latitude_deg: float, longitude_deg: float) -> str:
    """Say why somebody at a place may not be at a pole; empty when they may well be."""
    away_m = distance_m(place, latitude_deg, longitude_deg)
    if away_m <= NEAR_M + place.accuracy_m:
        return ""
    return (
        f"the phone was {away_m:.0f} m away from where pole {pole_code} stands; "
        "confirm that it is the right pole"
    )


def distance_m(place: Place, latitude_deg: float, longitude_deg: float) -> float:
    """Return how far a place is from a point (haversine)."""
    lat_a, lat_b = math.radians(place.latitude_deg), math.radians(latitude_deg)
    half_lon = math.radians(longitude_deg - place.longitude_deg) / 2
    root = math.sin((lat_b - lat_a) / 2) ** 2 + (
        math.cos(lat_a) * math.cos(lat_b) * math.sin(half_lon) ** 2
    )
    return 2 * _EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(root)))


def lamp_is_lit(level_percent: float, power_w: float | None, nominal_w: int) -> bool:
    """Tell whether a lamp that should be lit draws the power of a lit lamp.

    Without a power reading or a nominal wattage the level is believed.
    """
    if level_percent <= 0:
        return False
    if power_w is None or power_w != power_w or nominal_w <= 0:
        return True
    return power_w >= LIT_POWER_SHARE * nominal_w * level_percent / 100


def _lamp(facts: Facts) -> Check:
    if "lamp" not in facts.equipment:
        return Check("lamp", Verdict.ABSENT)
    if facts.blink_failure:
        return Check("lamp", Verdict.FAILED, facts.blink_failure)
    if len(facts.blink_w) < len(BLINK_LEVELS_PERCENT):
        return Check("lamp", Verdict.WAITING)
    bright_w, dim_w = facts.blink_w
    follows = dim_w <= DIMMED_SHARE * bright_w
    lit = bright_w > 0 and lamp_is_lit(BLINK_LEVELS_PERCENT[0], bright_w, facts.lamp_nominal_w)
    value = f"{bright_w:.1f} → {dim_w:.1f} W"
    return Check("lamp", Verdict.PASSED if lit and follows else Verdict.FAILED, value)


def _sensor(
    facts: Facts,
    name: str,
    metrics: tuple[str, ...],
    equipment: str,
    lowest: float,
    highest: float,
    unit: str,
) -> Check:
    if equipment and equipment not in facts.equipment:
        return Check(name, Verdict.ABSENT)
    values = [facts.values[metric] for metric in metrics if metric in facts.values]
    if not values:
        # A report without it says that the sensor does not answer.
        return Check(name, Verdict.FAILED if facts.measured_at_ms else Verdict.WAITING)
    plausible = all(lowest <= value <= highest for value in values)
    verdict = Verdict.PASSED if plausible else Verdict.FAILED
    return Check(name, verdict, f"{values[0]:.1f} {unit}")


def _clock(facts: Facts) -> Check:
    if not facts.measured_at_ms:
        return Check("clock", Verdict.WAITING)
    # A clock that is behind shows as no report since the visit began.
    ahead_ms = facts.measured_at_ms - facts.now_ms
    is_set = ahead_ms <= CLOCK_TOLERANCE_MS
    return Check(
        "clock",
        Verdict.PASSED if is_set else Verdict.FAILED,
        "" if is_set else f"{ahead_ms / 1000:+.0f} s",
    )


def _sos(facts: Facts) -> Check:
    if "sos" not in facts.equipment:
        return Check("sos", Verdict.ABSENT)
    return Check("sos", Verdict.PASSED if facts.sos_pressed else Verdict.WAITING)
