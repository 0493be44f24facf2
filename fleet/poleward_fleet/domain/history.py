"""Days of history: which are still open, how long each kind of record is kept, what a roll-up is.

Not where it is kept (adapters/sql) nor when the work is done (services/history_upkeep.py).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

DAY_MS = 86_400_000
FIVE_MINUTES_S, HOUR_S, DAY_S = 300, 3600, 86_400
ROLLUP_STEPS_S = (FIVE_MINUTES_S, HOUR_S, DAY_S)
# A gateway that was cut off for a moment still delivers into the open day.
_CLOSES_AFTER_MS = 2 * 3_600_000


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days each kind of record is kept; 0 for ever.

    The trade asks for logs of at least six months.
    """

    reports_days: int = 190
    five_minutes_days: int = 730
    hours_days: int = 1825
    days_days: int = 0
    events_days: int = 1825

    def rollup_days(self, step_s: int) -> int:
        """Return how long roll-ups of a step are kept."""
        kept = {FIVE_MINUTES_S: self.five_minutes_days, HOUR_S: self.hours_days}
        return kept.get(step_s, self.days_days)

    def finest_step_s(self, from_ms: int, now_ms: int) -> int:
        """Return the length of the stretches that are known of a time; 0 for single reports."""
        age_days = day_of(now_ms) - day_of(from_ms)
        if not self.reports_days or age_days <= self.reports_days:
            return 0
        steps_s = (FIVE_MINUTES_S, HOUR_S)
        kept = (s for s in steps_s if not self.rollup_days(s) or age_days <= self.rollup_days(s))
        return next(kept, DAY_S)


def day_of(at_ms: int) -> int:
    """Return the UTC day that a time belongs to, counted from 1 January 1970."""
    return at_ms // DAY_MS


def is_closed(day: int, now_ms: int) -> bool:
    """Say whether a day is over for everyone but gateways that were away; it is packed then."""
    return (day + 1) * DAY_MS + _CLOSES_AFTER_MS <= now_ms


def has_own_place(day: int, now_ms: int, retention: Retention) -> bool:
    """Say whether reports of a day are kept by day; others come from clocks that are far off."""
    today = day_of(now_ms)
    return today - (retention.reports_days or today) <= day <= today + 1


@dataclass(frozen=True, slots=True)
class ReportDay:
    """Reports of one node, day and layout as columns, by time; `values` has a column per series."""

    boot: list[int]
    sequence: list[int]
    measured_at_ms: list[int]
    values: list[list[float]]

    def joined(self, other: "ReportDay") -> "ReportDay":
        """Return both together, by time."""
        times = self.measured_at_ms + other.measured_at_ms
        order = sorted(range(len(times)), key=times.__getitem__)

        def arranged(first: list[float], second: list[float]) -> list[float]:
            both = first + second
            return [both[place] for place in order]

        return ReportDay(
            [(self.boot + other.boot)[place] for place in order],
            [(self.sequence + other.sequence)[place] for place in order],
            [times[place] for place in order],
            [arranged(a, b) for a, b in zip(self.values, other.values, strict=True)],
        )


@dataclass(frozen=True, slots=True)
class Rollup:
    """Means, least and greatest values of stretches of equal length; the columns fit each other.

    `count` is 0 and the others NaN where a series had no value in a stretch.
    """

    from_ms: list[int]
    count: list[list[int]]
    mean: list[list[float]]
    least: list[list[float]]
    greatest: list[list[float]]


def rolled_up(day: ReportDay, step_s: int) -> Rollup:
    """Compute the roll-up of a day."""
    step_ms = step_s * 1000
    starts: list[int] = []
    edges: list[int] = []
    for place, at_ms in enumerate(day.measured_at_ms):
        from_ms = at_ms - at_ms % step_ms
        if not starts or from_ms != starts[-1]:
            starts.append(from_ms)
            edges.append(place)
    edges.append(len(day.measured_at_ms))
    rollup = Rollup(starts, [], [], [], [])
    for column in day.values:
        stretches = [
            [value for value in column[edges[i] : edges[i + 1]] if value == value]
            for i in range(len(starts))
        ]
        rollup.count.append([len(stretch) for stretch in stretches])
        rollup.mean.append([sum(s) / len(s) if s else math.nan for s in stretches])
        rollup.least.append([min(s, default=math.nan) for s in stretches])
        rollup.greatest.append([max(s, default=math.nan) for s in stretches])
    return rollup


def thinned(
    pieces: Sequence[tuple[int, float, int]], *, from_ms: int, bucket_ms: int
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Join (time, mean, count) pieces into one mean for each bucket that has any, oldest first."""
    sums: dict[int, tuple[float, float, int]] = {}
    for at_ms, mean, count in pieces:
        bucket = (at_ms - from_ms) // bucket_ms
        time_sum, value_sum, total = sums.get(bucket, (0.0, 0.0, 0))
        sums[bucket] = (time_sum + at_ms * count, value_sum + mean * count, total + count)
    found = [(times // count, values / count) for _, (times, values, count) in sorted(sums.items())]
    return tuple(int(at_ms) for at_ms, _ in found), tuple(value for _, value in found)
