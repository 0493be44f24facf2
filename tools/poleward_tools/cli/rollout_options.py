"""How waves, windows and durations are written on the command line.

No command is here.
"""

import re

from poleward_tools.client.rollout_views import RolloutWave, RolloutWindow
from poleward_tools.exit_codes import USAGE, CommandError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION_MAX_S = 30 * _UNITS_S["d"]
"""The fleet takes none that is longer."""
NODES_MAX = 1_000_000
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"(?:(\S+)\s+)?(\d\d?):(\d\d)-(\d\d?):(\d\d)", re.ASCII)


def parse_duration_s(text: str) -> int:
    """Read a duration such as 90, 90s, 15m, 2h or 1d.

    Raises:
        CommandError: it is none.
    """
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS_S else (text, "s")
    if not (number.isascii() and number.isdigit()):
        raise CommandError(f"{text} is no duration; write for example 90s, 15m or 2h.", USAGE)
    seconds = int(number) * _UNITS_S[unit]
    if seconds > DURATION_MAX_S:
        raise CommandError(f"{text} is longer than 30 days.", USAGE)
    return seconds


def parse_waves(texts: list[str]) -> tuple[RolloutWave, ...]:
    """Read waves; the rest follows as the last one when it is not named.

    Raises:
        CommandError: one of them cannot be read.
    """
    waves = tuple(_wave(text) for text in texts)
    is_rest_named = waves and not (waves[-1].nodes or waves[-1].percent)
    return waves if is_rest_named or not waves else (*waves, RolloutWave())


def _wave(text: str) -> RolloutWave:
    size, *details = text.split(",")
    nodes = percent = wait_s = 0
    success_percent, needs_approval = 100, False
    try:
        if size.endswith("%"):
            percent = int(size[:-1])
        elif size != "rest":
            nodes = int(size)
        if size != "rest" and not (1 <= nodes <= NODES_MAX or 1 <= percent <= 100):
            raise ValueError
        for detail in details:
            name, _, value = detail.partition("=")
            if name == "success":
                success_percent = int(value.removesuffix("%"))
                if not 0 <= success_percent <= 100:
                    raise ValueError
            elif name == "wait":
                wait_s = parse_duration_s(value)
            elif detail == "approve":
                needs_approval = True
            else:
                raise ValueError
        return RolloutWave(nodes, percent, success_percent, wait_s, needs_approval)
    except ValueError as error:
        raise CommandError(
            f"{text} is no wave; write for example 3, 10%,success=95,wait=1h,approve or rest.",
            USAGE,
        ) from error


def parse_window(text: str) -> RolloutWindow:
    """Read a window such as "01:00-05:00", "mon-fri 01:00-05:00" or "sat,sun 22:00-04:00".

    Raises:
        CommandError: it is none.
    """
    found = _WINDOW.fullmatch(text.strip().lower())
    try:
        if not found:
            raise ValueError
        days, *times = found.groups()
        start_h, start_min, end_h, end_min = map(int, times)
        if max(start_h, end_h) > 23 or max(start_min, end_min) > 59:
            raise ValueError
        weekdays = _weekdays(days) if days else tuple(range(7))
    except ValueError as error:
        raise CommandError(
            f'{text} is no window; write for example "mon-fri 01:00-05:00".', USAGE
        ) from error
    return RolloutWindow(weekdays, start_h * 60 + start_min, end_h * 60 + end_min)


def _weekdays(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        found.update((start + n) % 7 for n in range((end - start) % 7 + 1))
    return tuple(sorted(found))
