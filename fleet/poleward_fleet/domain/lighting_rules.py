"""The rules of a lighting program: read, checked, and computed for one night at one place.

Not the node's own evaluation, which works in integers and with its own sun; a test holds the two
against each other. docs/lighting.md has the syntax.
"""

import datetime
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from astral import Observer
from astral import sun as astral_sun

from poleward_fleet.domain.errors import InvalidError

_HORIZON_DEG = -0.833


@dataclass(frozen=True, slots=True)
class Point:
    """A switching point: after sunset ("S") or sunrise ("R") by minutes, or minutes of the day."""

    anchor: str  # "S", "R" or "" for the clock
    minutes: int
    level_percent: int


@dataclass(frozen=True, slots=True)
class ProgramRule:
    """One line: the nights it applies to, and the points of such a night."""

    first: str  # "" for no limit, "mm-dd" for every year, "yyyy-mm-dd"
    last: str
    days: tuple[frozenset[int] | None, ...]  # of the month, months, of the week; None for all
    points: tuple[Point, ...]

    def applies(self, evening: datetime.date) -> bool:
        """Say whether a night, named by its evening, is one of the rule's."""
        if self.first:
            today = evening.isoformat()[-len(self.first) :]
            is_inside = self.first <= today <= self.last
            if self.first > self.last:
                is_inside = len(self.first) == 5 and (today >= self.first or today <= self.last)
            if not is_inside:
                return False
        numbers = (evening.day, evening.month, evening.isoweekday() % 7)
        return all(
            wanted is None or number in wanted
            for wanted, number in zip(self.days, numbers, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Night:
    """One night, from noon to noon: from when which level holds, and the sun."""

    points: tuple[tuple[datetime.datetime, int], ...]  # the first is noon
    sunset: datetime.datetime
    sunrise: datetime.datetime

    def level_at(self, moment: datetime.datetime) -> int:
        """Return the level at a moment of the night."""
        return [level for at, level in self.points if at <= moment][-1]


def read_rules(text: str) -> tuple[ProgramRule, ...]:
    """Read a program's rules.

    Raises:
        InvalidError: Names the line and what is wrong with it.
    """
    rules = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            rules.append(_read_rule(line))
        except ValueError as error:
            raise InvalidError(f"rule {number}, '{line}': {error}") from error
    if not rules or rules[-1].first or any(days is not None for days in rules[-1].days):
        raise InvalidError(
            "the last rule must apply to every night: leave its dates and days empty, "
            "for instance '||S;R|100;0'"
        )
    return tuple(rules)


def night_of(
    rules: tuple[ProgramRule, ...],
    *,
    evening: datetime.date,
    zone: ZoneInfo,
    latitude_deg: float,
    longitude_deg: float,
) -> Night:
    """Compute a night, named by the date of its evening."""

    def points(date: datetime.date) -> list[tuple[datetime.datetime, int]]:
        rule = next(rule for rule in rules if rule.applies(date))
        sunset, sunrise = sunset_and_sunrise(date, zone, latitude_deg, longitude_deg)
        return _moments(rule, date, zone, sunset, sunrise)

    noon = datetime.datetime.combine(evening, datetime.time(12), zone)
    tonight = points(evening)
    held = points(evening - datetime.timedelta(1))[-1][1]
    found = [(noon, held)]
    for at, level in tonight:
        if at <= found[-1][0]:
            found[-1] = (found[-1][0], level)
        else:
            found.append((at, level))
    sunset, sunrise = sunset_and_sunrise(evening, zone, latitude_deg, longitude_deg)
    return Night(tuple(found), sunset, sunrise)


def sunset_and_sunrise(
    evening: datetime.date, zone: ZoneInfo, latitude_deg: float, longitude_deg: float
) -> tuple[datetime.datetime, datetime.datetime]:
    """Compute when the sun sets and rises again.

    Where it does not set both are at the midnight between; where it does not rise, at the noons.
    """
    observer = Observer(latitude_deg, longitude_deg)
    morning = evening + datetime.timedelta(1)
    found = []
    for date, event in ((evening, astral_sun.sunset), (morning, astral_sun.sunrise)):
        try:
            # In the place's own solar time: the zone of a clock may put an event on another date.
            solar = datetime.timezone(datetime.timedelta(hours=round(longitude_deg / 15)))
            found.append(event(observer, date, tzinfo=solar).astimezone(zone))
        except ValueError:
            noon = astral_sun.noon(observer, date).astimezone(zone)
            does_not_set = astral_sun.elevation(observer, noon) > _HORIZON_DEG
            half_day = datetime.timedelta(hours=12 if does_not_set else 0)
            found.append(noon + half_day if date == evening else noon - half_day)
    return found[0], found[1]


def _moments(
    rule: ProgramRule,
    evening: datetime.date,
    zone: ZoneInfo,
    sunset: datetime.datetime,
    sunrise: datetime.datetime,
) -> list[tuple[datetime.datetime, int]]:
    """Place a rule's points in their order; none stays after a sunrise that follows it."""
    at = []
    for point in rule.points:
        if point.anchor:
            anchor = sunset if point.anchor == "S" else sunrise
            at.append(anchor + datetime.timedelta(minutes=point.minutes))
        else:
            date = evening + datetime.timedelta(1 if point.minutes < 720 else 0)
            time = datetime.time(*divmod(point.minutes, 60))
            at.append(datetime.datetime.combine(date, time, zone))
    for i in reversed(range(1, len(at))):
        if rule.points[i].anchor == "R":
            at[:i] = [min(moment, at[i]) for moment in at[:i]]
    for i in range(1, len(at)):
        at[i] = max(at[i], at[i - 1])
    return [(moment, p.level_percent) for moment, p in zip(at, rule.points, strict=True)]


def _read_rule(line: str) -> ProgramRule:
    fields = line.split("|")
    if len(fields) != 4:
        raise ValueError("a rule has four fields, dates|days|times|levels")
    dates, days, times, levels = fields
    first, last = _read_dates(dates)
    names, percents = times.split(";"), levels.split(";")
    if len(names) != len(percents):
        raise ValueError(f"{len(names)} times and {len(percents)} levels")
    points = tuple(map(_read_point, names, percents))
    return ProgramRule(first, last, _read_days(days), points)


def _read_dates(text: str) -> tuple[str, str]:
    if not text:
        return "", ""
    first, _, last = text.partition("~")
    last = last or first
    is_yearly = first.startswith("--")
    if is_yearly != last.startswith("--"):
        raise ValueError("either both dates name a year or none does")
    for date in (first, last):
        # A leap year, so that every day there can be is one.
        datetime.date.fromisoformat(date.replace("--", "2024-", 1) if is_yearly else date)
    return first.removeprefix("--"), last.removeprefix("--")


def _read_days(text: str) -> tuple[frozenset[int] | None, ...]:
    parts = text.split() or ["*", "*", "*"]
    if len(parts) != 3:
        raise ValueError("days are three fields: day of the month, month, day of the week")
    found: list[frozenset[int] | None] = []
    for part, (low, high) in zip(parts, ((1, 31), (1, 12), (0, 7)), strict=True):
        if part == "*":
            found.append(None)
            continue
        numbers: set[int] = set()
        for piece in part.split(","):
            first, _, last = piece.partition("-")
            if not low <= int(first) <= int(last or first) <= high:
                raise ValueError(f"'{piece}' is not within {low} to {high}")
            numbers.update(range(int(first), int(last or first) + 1))
        found.append(frozenset(number % 7 if high == 7 else number for number in numbers))
    return tuple(found)


def _read_point(name: str, level: str) -> Point:
    percent = int(level)
    if not 0 <= percent <= 100:
        raise ValueError(f"{percent} is no level from 0 to 100")
    if name[:1] in ("S", "R"):
        minutes = int(name[1:] or "0")
        if abs(minutes) > 360:
            raise ValueError(f"'{name}' is more than six hours from the sun")
        return Point(name[0], minutes, percent)
    hours, _, minutes_text = name.partition(":")
    time = datetime.time(int(hours), int(minutes_text))
    return Point("", time.hour * 60 + time.minute, percent)
