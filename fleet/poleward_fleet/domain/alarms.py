"""Alarms: their kinds, their life, and how a node's alarms follow from what it reports.

Not where they are kept. Judging is pure: state and facts in, new state and changes out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from poleward_fleet.domain.telemetry import Severity

ESCALATES_AFTER_MS = (15_000, 45_000)
_HOUR_MS = 3_600_000


class AlarmKind(Enum):
    """What is wrong."""

    SOS = "sos"
    NODE_SILENT = "node.silent"
    SUPPLY_LOST = "supply.lost"
    LAMP_FAILED = "lamp.failed"
    RELAY_STUCK = "lamp.relay_stuck"
    DAY_BURNER = "lamp.day_burner"
    CYCLING = "lamp.cycling"
    POWER_HIGH = "lamp.power_high"
    POWER_LOW = "lamp.power_low"
    POWER_FACTOR_LOW = "supply.power_factor_low"
    STRANGERS = "gateway.strangers"
    UPDATE_FROZEN = "update.frozen"


SEVERITIES = {
    AlarmKind.SOS: Severity.CRITICAL,
    AlarmKind.SUPPLY_LOST: Severity.CRITICAL,
    AlarmKind.POWER_HIGH: Severity.WARNING,
    AlarmKind.POWER_LOW: Severity.INFO,
    AlarmKind.POWER_FACTOR_LOW: Severity.INFO,
    AlarmKind.DAY_BURNER: Severity.INFO,
}
"""WARNING for kinds that are not named."""


def severity_of(kind: AlarmKind) -> Severity:
    """Return how much a kind matters."""
    return SEVERITIES.get(kind, Severity.WARNING)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm; 0 stands for what has not happened.

    Args:
        node_number: Of the node, or of the gateway that it is about.
        noticed_at_ms: When the fleet learned of it; escalation counts from here.
        escalation: How many deadlines passed without an acknowledgement.
        gateway_name: Of the gateway that it is about; empty when it is about a node.
    """

    number: int
    node_number: int
    pole_code: str
    kind: AlarmKind
    severity: Severity
    raised_at_ms: int
    noticed_at_ms: int
    acknowledged_at_ms: int = 0
    acknowledged_by: str = ""
    cleared_at_ms: int = 0
    escalation: int = 0
    gateway_name: str = ""


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """An alarm of a node, or of a gateway under its number, begins or ends."""

    node_number: int
    kind: AlarmKind
    is_raised: bool
    at_ms: int


@dataclass(frozen=True, slots=True)
class AlarmLimits:
    """From when on something is wrong; between a limit and `hysteresis` inside it nothing changes.

    Args:
        power_tolerance: Share by which power may differ from nominal wattage × level.
        hysteresis: Share of the limit by which a value must come back.
        judgement_ms: How long something must be so before it counts.
        warm_up_ms: How long after ignition nothing about power is judged.
        dark_share: A lamp that draws less than this share of its wattage is dark.
        power_factors: (level in percent, lowest good power factor); straight lines between.
        ignitions_per_hour: More than this is cycling.
        supply_lost_v: Below this there is no supply.
        day_elevation_deg: The sun is so high that no lamp is needed.
    """

    power_tolerance: float = 0.2
    hysteresis: float = 0.05
    judgement_ms: int = 120_000
    warm_up_ms: int = 300_000
    dark_share: float = 0.05
    power_factors: tuple[tuple[float, float], ...] = ((0, 0.0), (20, 0.5), (50, 0.75), (100, 0.88))
    ignitions_per_hour: int = 6
    supply_lost_v: float = 60.0
    day_elevation_deg: float = 6.0


class LampFacts(NamedTuple):
    """What one report says about the lamp; None where it says nothing.

    A named tuple, as is AlarmState: one of each is made for every report, in a fifth of the time.

    Args:
        is_day: The sun is high; asked only when the lamp burns.
    """

    at_ms: int
    nominal_w: float
    level_percent: float | None = None
    power_w: float | None = None
    power_factor: float | None = None
    voltage_v: float | None = None
    failed: bool | None = None
    is_overridden: bool = False
    is_day: bool = False


class AlarmState(NamedTuple):
    """What must be remembered of one node between reports.

    Args:
        judged_at_ms: Time of the newest report that was judged; older ones say nothing new.
        lit_since_ms: When the lamp went on; 0 when it is off.
        ignitions_ms: When it went on within the last hour.
        raised: Alarms that stand.
        changing_since_ms: Since when what is not yet raised is wrong, or what is raised is well.
    """

    judged_at_ms: int = 0
    lit_since_ms: int = 0
    ignitions_ms: tuple[int, ...] = ()
    raised: frozenset[AlarmKind] = frozenset()
    changing_since_ms: Mapping[AlarmKind, int] = MappingProxyType({})

    def is_same_but_for_time(self, other: "AlarmState") -> bool:
        """Say whether nothing changed that must be kept."""
        return self[1:] == other[1:]


def judge(
    state: AlarmState, facts: LampFacts, limits: AlarmLimits
) -> tuple[AlarmState, tuple[tuple[AlarmKind, bool], ...]]:
    """Judge a report; return the new state and which alarms begin (True) or end (False).

    A report that is not newer than the last one judged changes nothing.
    """
    if facts.at_ms <= state.judged_at_ms:
        return state, ()
    lit_since_ms, ignitions_ms = _burning(state, facts, limits)
    changing = state.changing_since_ms
    raised = state.raised
    changes: list[tuple[AlarmKind, bool]] = []
    for kind, is_wrong in verdicts(facts, limits, lit_since_ms, ignitions_ms):
        if not (is_wrong or raised or changing):
            continue  # nearly always, and without looking anything up
        if is_wrong is None or is_wrong is (kind in raised):
            if kind in changing:
                changing = {k: since for k, since in changing.items() if k is not kind}
            continue
        since_ms = changing.get(kind, facts.at_ms)
        judgement_ms = 0 if kind in _JUDGED_ELSEWHERE else limits.judgement_ms
        if facts.at_ms - since_ms >= judgement_ms:
            changing = {k: since for k, since in changing.items() if k is not kind}
            raised = raised | {kind} if is_wrong else raised - {kind}
            changes.append((kind, is_wrong))
        elif kind not in changing:
            changing = {**changing, kind: since_ms}
    return AlarmState(facts.at_ms, lit_since_ms, ignitions_ms, raised, changing), tuple(changes)


# Counted over an hour, or judged by the node.
_JUDGED_ELSEWHERE = frozenset({AlarmKind.CYCLING, AlarmKind.SUPPLY_LOST})


def verdicts(
    facts: LampFacts, limits: AlarmLimits, lit_since_ms: int, ignitions_ms: tuple[int, ...]
) -> list[tuple[AlarmKind, bool | None]]:
    """Say of each kind whether it is so; None when nobody can tell, or it is a near thing."""
    found: list[tuple[AlarmKind, bool | None]] = [
        (AlarmKind.CYCLING, len(ignitions_ms) > limits.ignitions_per_hour)
    ]
    if facts.voltage_v is not None:
        found.append((AlarmKind.SUPPLY_LOST, facts.voltage_v < limits.supply_lost_v))
    level, power_w, nominal_w = facts.level_percent, facts.power_w, facts.nominal_w
    if level is None or power_w is None or nominal_w <= 0:
        if facts.failed is not None:
            found.append((AlarmKind.LAMP_FAILED, facts.failed))
        return found
    is_burning = power_w > nominal_w * limits.dark_share
    found.append((AlarmKind.RELAY_STUCK, is_burning and level <= 0))
    found.append((AlarmKind.LAMP_FAILED, bool(facts.failed) or (level > 0 and not is_burning)))
    is_day_burner = is_burning and level > 0 and facts.is_day and not facts.is_overridden
    found.append((AlarmKind.DAY_BURNER, is_day_burner))
    if level <= 0 or not is_burning:
        # Nothing flows that could be too much, too little or badly shaped.
        return found
    if facts.at_ms - lit_since_ms < limits.warm_up_ms:
        return found
    share = power_w / (nominal_w * level / 100)
    most, least = 1 + limits.power_tolerance, 1 - limits.power_tolerance
    found.append((AlarmKind.POWER_HIGH, _beyond(share, most, limits.hysteresis)))
    found.append((AlarmKind.POWER_LOW, _beyond(-share, -least, limits.hysteresis)))
    if facts.power_factor is not None:
        lowest = _on_curve(limits.power_factors, level)
        found.append(
            (AlarmKind.POWER_FACTOR_LOW, _beyond(-facts.power_factor, -lowest, limits.hysteresis))
        )
    return found


def _burning(
    state: AlarmState, facts: LampFacts, limits: AlarmLimits
) -> tuple[int, tuple[int, ...]]:
    """Return since when the lamp burns, and its ignitions within the last hour."""
    ignitions = state.ignitions_ms
    if ignitions and ignitions[0] <= facts.at_ms - _HOUR_MS:
        ignitions = tuple(at_ms for at_ms in ignitions if at_ms > facts.at_ms - _HOUR_MS)
    if facts.power_w is None or facts.nominal_w <= 0:
        return state.lit_since_ms, ignitions
    if facts.power_w <= facts.nominal_w * limits.dark_share:
        return 0, ignitions
    if state.lit_since_ms:
        return state.lit_since_ms, ignitions
    return facts.at_ms, (*ignitions, facts.at_ms)


def _beyond(value: float, limit: float, hysteresis: float) -> bool | None:
    """Say whether a value is above a limit; None in the band just below it."""
    if value > limit:
        return True
    return None if value > limit - abs(limit) * hysteresis else False


def _on_curve(curve: tuple[tuple[float, float], ...], at: float) -> float:
    """Read a curve of straight lines."""
    for (x1, y1), (x2, y2) in pairwise(curve):
        if at <= x2:
            return y1 + (y2 - y1) * (at - x1) / (x2 - x1)
    return curve[-1][1]


def escalation_of(alarm: Alarm, now_ms: int) -> int:
    """Return how many deadlines an alarm has passed; only SOS has some, until acknowledged."""
    if alarm.kind is not AlarmKind.SOS or alarm.acknowledged_at_ms or alarm.cleared_at_ms:
        return alarm.escalation
    return sum(now_ms - alarm.noticed_at_ms >= after_ms for after_ms in ESCALATES_AFTER_MS)
