"""What a person decides about a rollout before it begins: target, waves, limits, windows.

Not how far a rollout got and what comes next (domain/rollout.py).
"""

import datetime
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from poleward_fleet.domain.errors import InvalidError

MAX_WAVES = 20
MAX_NODES = 1_000_000
MAX_WAIT_S = 30 * 86_400
_DAY_MINUTES = 24 * 60
_TOLD_DAYS = 14
"""How far ahead gateways know when windows open: they may be without the fleet for so long."""
_NAME = re.compile(r"[a-z][a-z0-9.-]{0,31}")


class OnFailure(Enum):
    """What a rollout does when it stops by itself."""

    PAUSE = "pause"  # a person decides; resuming accepts the failures so far
    CANCEL = "cancel"  # it is over; updated nodes keep the release
    RETURN = "return"  # it is over; updated nodes get the release named for that


@dataclass(frozen=True, slots=True)
class Wave:
    """A part of the nodes and what has to hold before the next part begins.

    Args:
        nodes: How many; 0 when `percent` says it.
        percent: Share of all nodes; 0 as well for all that are left.
        success_percent: The next wave waits until so many of this one's nodes confirmed.
        wait_s: From then on nodes are watched so long before the next wave may begin.
        needs_approval: After that a person has to let the next wave begin.
    """

    nodes: int = 0
    percent: int = 0
    success_percent: int = 100
    wait_s: int = 0
    needs_approval: bool = False

    @property
    def is_rest(self) -> bool:
        """Whether it takes all nodes that are left."""
        return self.nodes == 0 and self.percent == 0


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the week in which nodes may be offered and install the release, local time.

    Args:
        weekdays: On which it begins, 0 = Monday.
        start_minute: Minute of the day.
        end_minute: Minute of the day; at or before `start_minute` it is on the next day.
    """

    weekdays: tuple[int, ...]
    start_minute: int
    end_minute: int

    def is_open(self, weekday: int, minute: int) -> bool:
        """Tell whether it is open at a minute of a weekday."""
        if self.start_minute < self.end_minute:
            return weekday in self.weekdays and self.start_minute <= minute < self.end_minute
        if minute >= self.start_minute:
            return weekday in self.weekdays
        return (weekday - 1) % 7 in self.weekdays and minute < self.end_minute


@dataclass(frozen=True, slots=True)
class StageDeadlines:
    """How long a node may stay in a stage before it counts as silent.

    Offered covers a gateway's own pacing; downloading a slow link; the trial covers reboot, soak
    and health check.
    """

    offered_s: int = 1800
    downloading_s: int = 1800
    downloaded_s: int = 600
    trial_s: int = 600

    @property
    def all_s(self) -> int:
        """How long a node may take from the offer on."""
        return self.offered_s + self.downloading_s + self.downloaded_s + self.trial_s


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """How much worse than before the update a wave may be.

    Args:
        max_reboots: Reboots per node after it confirmed.
        max_heap_loss_percent: Less free memory.
        max_alarm_factor: Times as many warnings and critical events per node and hour.
        max_power_change_percent: More or less power at the same level.
        max_missing_percent: Fewer values in a report, e.g. of a sensor that does not answer.
    """

    max_reboots: int = 1
    max_heap_loss_percent: int = 30
    max_alarm_factor: int = 3
    max_power_change_percent: int = 25
    max_missing_percent: int = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """How a rollout goes.

    Args:
        waves: In this order; the last takes all that are left.
        concurrency: Nodes under way at once.
        gateway_concurrency: Nodes under way at once behind one gateway.
        jitter_s: Offers of a wave are spread over so long.
        max_failures: Unsuccessful nodes at which it stops.
        max_failure_percent: Share of a wave's nodes, unsuccessful, at which it stops.
        max_attempts: How often a node whose update failed on the way is asked.
        retry_s: Before the second attempt; twice as long before each further one.
        on_failure: What happens when it stops by itself.
        return_digest: Release that updated nodes get then; empty unless `on_failure` is RETURN.
        windows: Nothing is offered or installed outside; none for always.
        time_zone: Of the windows, e.g. "Asia/Shanghai".
        needs_approval: It begins only when a second person approved it.
    """

    waves: tuple[Wave, ...] = (Wave(),)
    concurrency: int = 50
    gateway_concurrency: int = 20
    jitter_s: int = 0
    max_failures: int = 3
    max_failure_percent: int = 100
    max_attempts: int = 2
    retry_s: int = 60
    on_failure: OnFailure = OnFailure.CANCEL
    return_digest: bytes = b""
    windows: tuple[Window, ...] = ()
    time_zone: str = "UTC"
    needs_approval: bool = False
    deadlines: StageDeadlines = field(default_factory=StageDeadlines)
    health: HealthLimits = field(default_factory=HealthLimits)


@dataclass(frozen=True, slots=True)
class Target:
    """Which nodes a rollout is for; what is empty does not restrict. The release names the board.

    Args:
        area_code: Nodes in this area and those below.
        labels: Nodes in poles that carry all of these.
        pole_codes: Nodes in these poles; gateways of these names, if the release is for those.
        also_later: Nodes that match later join the last wave.
    """

    area_code: str = ""
    labels: tuple[str, ...] = ()
    pole_codes: tuple[str, ...] = ()
    also_later: bool = False


def check_policy(policy: Policy) -> None:
    """Insist on a policy that makes sense.

    Raises:
        InvalidError: Names what has to be changed.
    """
    if not 1 <= len(policy.waves) <= MAX_WAVES:
        raise InvalidError.of("waves_count", most=MAX_WAVES)
    for number, wave in enumerate(policy.waves, 1):
        if wave.is_rest != (number == len(policy.waves)):
            raise InvalidError.of("last_wave_is_rest")
        if wave.nodes and wave.percent:
            raise InvalidError.of("wave_size_twice", wave=number)
        if not (
            0 <= wave.nodes <= MAX_NODES
            and 0 <= wave.percent <= 100
            and 0 <= wave.success_percent <= 100
            and 0 <= wave.wait_s <= MAX_WAIT_S
        ):
            raise InvalidError.of("wave_range", wave=number)
    ranges = {
        "concurrency": (policy.concurrency, 1, MAX_NODES),
        "gateway_concurrency": (policy.gateway_concurrency, 1, MAX_NODES),
        "jitter_s": (policy.jitter_s, 0, MAX_WAIT_S),
        "max_failures": (policy.max_failures, 1, MAX_NODES),
        "max_failure_percent": (policy.max_failure_percent, 1, 100),
        "max_attempts": (policy.max_attempts, 1, 10),
        "retry_s": (policy.retry_s, 1, MAX_WAIT_S),
        "offered_s": (policy.deadlines.offered_s, 1, MAX_WAIT_S),
        "downloading_s": (policy.deadlines.downloading_s, 1, MAX_WAIT_S),
        "downloaded_s": (policy.deadlines.downloaded_s, 1, MAX_WAIT_S),
        "trial_s": (policy.deadlines.trial_s, 1, MAX_WAIT_S),
        "max_reboots": (policy.health.max_reboots, 0, 1000),
        "max_heap_loss_percent": (policy.health.max_heap_loss_percent, 1, 100),
        "max_alarm_factor": (policy.health.max_alarm_factor, 1, 1000),
        "max_power_change_percent": (policy.health.max_power_change_percent, 1, 1000),
        "max_missing_percent": (policy.health.max_missing_percent, 1, 100),
    }
    for name, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise InvalidError.of("policy_range", name=name, least=least, most=most)
    if (policy.on_failure is OnFailure.RETURN) != bool(policy.return_digest):
        raise InvalidError.of("return_needs_release")
    _check_windows(policy)


def check_name(name: str) -> None:
    """Insist on a name that no number can be mistaken for; an empty one is none.

    Raises:
        InvalidError: It is something else.
    """
    if name and not _NAME.fullmatch(name):
        raise InvalidError.of("rollout_name")


def _check_windows(policy: Policy) -> None:
    for window in policy.windows:
        if (
            not window.weekdays
            or any(not 0 <= day <= 6 for day in window.weekdays)
            or not 0 <= window.start_minute < _DAY_MINUTES
            or not 0 <= window.end_minute < _DAY_MINUTES
        ):
            raise InvalidError.of("window_range")
    try:
        ZoneInfo(policy.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidError.of("time_zone", zone=policy.time_zone) from error


def wave_ends(node_count: int, waves: Sequence[Wave]) -> tuple[int, ...]:
    """Return where each wave ends when nodes are counted from 0; the last end is `node_count`."""
    ends: list[int] = []
    end = 0
    for wave in waves:
        size = node_count if wave.is_rest else wave.nodes
        if wave.percent:
            size = max(1, math.ceil(node_count * wave.percent / 100))
        end = min(node_count, end + size)
        ends.append(end)
    return tuple(ends)


def may_offer(policy: Policy, now_ms: int) -> bool:
    """Tell whether the windows allow offers now."""
    if not policy.windows:
        return True
    now = datetime.datetime.fromtimestamp(now_ms / 1000, ZoneInfo(policy.time_zone))
    minute = now.hour * 60 + now.minute
    return any(window.is_open(now.weekday(), minute) for window in policy.windows)


def must_have_installed(policy: Policy, now_ms: int) -> bool:
    """Tell whether who has the release could have tried it: a window is open for long enough."""
    waited_ms = policy.deadlines.downloaded_s * 1000
    return may_offer(policy, now_ms) and may_offer(policy, now_ms - waited_ms)


@dataclass(frozen=True, slots=True)
class Opening:
    """From when until when a window is open, Unix seconds."""

    from_s: int
    until_s: int


def openings(policy: Policy, now_ms: int) -> tuple[Opening, ...]:
    """Return when windows are open in the next two weeks, now included; none for always."""
    zone = ZoneInfo(policy.time_zone)
    today = datetime.datetime.fromtimestamp(now_ms / 1000, zone).date()
    found = []
    for days in range(-1, _TOLD_DAYS):
        day = today + datetime.timedelta(days)
        for window in policy.windows:
            begins = datetime.datetime.combine(day, datetime.time(), zone)
            begins += datetime.timedelta(minutes=window.start_minute)
            minutes = (window.end_minute - window.start_minute - 1) % _DAY_MINUTES + 1
            ends = begins + datetime.timedelta(minutes=minutes)
            if day.weekday() in window.weekdays and ends.timestamp() * 1000 > now_ms:
                found.append(Opening(int(begins.timestamp()), int(ends.timestamp())))
    return tuple(sorted(found, key=lambda opening: opening.from_s))


def longest_wave_ends_at_ms(policy: Policy, now_ms: int) -> int:
    """Return when a wave that begins as soon as it may has ended, however slow its nodes are."""
    begins_at_s = now_ms // 1000
    if policy.windows:
        begins_at_s = max(begins_at_s, openings(policy, now_ms)[0].from_s)
    waits_s = max(wave.wait_s for wave in policy.waves)
    return (begins_at_s + policy.jitter_s + policy.deadlines.all_s + waits_s) * 1000


def retry_delay_ms(policy: Policy, attempts: int) -> int:
    """Return how long a node whose attempt failed waits for the next one."""
    return int(policy.retry_s * 1000 * 2 ** (attempts - 1))
