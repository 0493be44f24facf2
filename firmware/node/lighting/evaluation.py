"""Evaluates a lighting program's rules at a moment: which rule, which points, which level.

Not the keeping of a program (`node.lighting.program`), which loads this when it is needed.

A rule is a line of four fields, `dates|days|times|levels`, in the syntax of the uCIFI objects 3453
(calendar rule) and 3454 (program function); the first that applies to a night decides it.

- dates: `2026-02-16~2026-02-22`, `--11-01~--02-28` for every year, or nothing.
- days: day of the month, month, day of the week (0 or 7 is Sunday), each `*`, or numbers and
  ranges with commas; nothing is `* * *`.
- times: `18:30`, `S+30` (sunset plus 30 min), `R-20` (sunrise), with semicolons.
- levels: percent from each of the times on.

A night is from noon to noon and has the date of its evening (3453, calendar type 1). The points of
a rule keep their order: one that would come after an `R` that follows it moves to it, and one that
would come before the point ahead of it moves to that.
"""

from micropython import const

from node.lighting.sun import sunset_and_sunrise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DAY_S = const(86400)
_NOON_S = const(43200)


def level_and_end(program: "Any", now: int) -> "tuple[int | None, int]":
    """Find the level of a program at a moment, and until when it holds.

    Args:
        program: `rules`, `latitude_mdeg`, `longitude_mdeg` and `offset_s(now)`.
        now: Unix time.

    Returns:
        The level in percent, None when no rule applies; and Unix time when to ask again.

    Raises:
        ValueError: The rules are not understood; the text says which.
    """
    offset_s = program.offset_s(now)
    night = (now + offset_s - _NOON_S) // _DAY_S
    end = (night + 1) * _DAY_S + _NOON_S - offset_s
    level = None
    points = _points(program, night, offset_s)
    for at, percent in points:
        if at <= now:
            level = percent
        elif at < end:
            end = at
    if points and now < points[0][0]:
        # Before the evening's first point the last of the night before goes on.
        before = _points(program, night - 1, offset_s)
        level = before[-1][1] if before else None
    return level, end


def check(rules: str) -> None:
    """Insist on rules that can be evaluated.

    Raises:
        ValueError: The text says which rule and why.
    """
    for line in rules.split("\n"):
        dates, days, times, levels = _fields(line)
        _are_dates_of(dates, 0)
        _are_days_of(days, 0)
        percents = [int(level) for level in levels.split(";")]
        if len(times.split(";")) != len(percents) or min(percents) < 0 or max(percents) > 100:
            raise ValueError("levels: " + line)
        for time in times.split(";"):
            _time_s(time, 0, (0, 0), 0)


def _points(program: "Any", night: int, offset_s: int) -> "list[tuple[int, int]]":
    for line in program.rules.split("\n"):
        if line and applies(line, night):
            break
    else:
        return []
    _, _, times, levels = _fields(line)
    sun = sunset_and_sunrise(night, program.latitude_mdeg, program.longitude_mdeg)
    names = times.split(";")
    at = [_time_s(name, night, sun, offset_s) for name in names]
    for i in range(len(at) - 1, 0, -1):
        if names[i][0] == "R":
            at[:i] = [min(time, at[i]) for time in at[:i]]
    for i in range(1, len(at)):
        at[i] = max(at[i], at[i - 1])
    return [(at[i], int(level)) for i, level in enumerate(levels.split(";"))]


def _time_s(name: str, night: int, sun: "tuple[int, int]", offset_s: int) -> int:
    """Give the Unix time of a point of a night."""
    if name[:1] in ("S", "R"):
        return sun[0 if name[0] == "S" else 1] + 60 * int(name[1:] or "0")
    hours, minutes = name.split(":")
    of_day_s = int(hours) * 3600 + int(minutes) * 60
    if not 0 <= of_day_s < _DAY_S:
        raise ValueError("time: " + name)
    return (night + (of_day_s < _NOON_S)) * _DAY_S + of_day_s - offset_s


def _fields(line: str) -> "list[str]":
    fields = line.split("|")
    if len(fields) != 4:
        raise ValueError("not four fields: " + line)
    return fields


def applies(line: str, day: int) -> bool:
    """Tell whether a rule applies to a night.

    Args:
        line: The rule.
        day: Days since 1970-01-01, of the evening.

    Raises:
        ValueError: Its dates or days are not understood.
    """
    dates, days, _, _ = _fields(line)
    return _are_dates_of(dates, day) and _are_days_of(days, day)


def _are_dates_of(dates: str, day: int) -> bool:
    if not dates:
        return True
    first, _, last = dates.partition("~")
    is_yearly = first[:2] == "--"
    start = first[2:] if is_yearly else first
    end = (last[2:] if is_yearly else last) or start
    year, month, day_of_month = _date(day)
    today = "%02d-%02d" % (month, day_of_month)
    if not is_yearly:
        today = "%04d-%s" % (year, today)
    if len(start) != len(today) or len(end) != len(today):
        raise ValueError("dates: " + dates)
    if start > end:  # over the turn of the year
        return is_yearly and (today >= start or today <= end)
    return start <= today <= end


def _are_days_of(days: str, day: int) -> bool:
    if not days:
        return True
    wanted = days.split()
    if len(wanted) != 3:
        raise ValueError("days: " + days)
    _, month, day_of_month = _date(day)
    weekday = (day + 4) % 7  # 1970-01-01 was a Thursday
    return (
        _is_among(wanted[0], day_of_month)
        and _is_among(wanted[1], month)
        and (_is_among(wanted[2], weekday) or (not weekday and _is_among(wanted[2], 7)))
    )


def _is_among(wanted: str, number: int) -> bool:
    if wanted == "*":
        return True
    found = False
    for part in wanted.split(","):
        first, _, last = part.partition("-")
        found = int(first) <= number <= int(last or first) or found
    return found


def _date(day: int) -> "tuple[int, int, int]":
    """Turn days since 1970-01-01 into year, month, day.

    Howard Hinnant's civil calendar with years from March; `time.gmtime` counts from another year
    on the chip.
    """
    day += 719468
    era = day // 146097
    of_era = day % 146097
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day_of_month = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    return year + era * 400 + (month <= 2), month, day_of_month
