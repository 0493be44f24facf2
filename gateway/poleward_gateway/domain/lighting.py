"""Lighting as the gateway runs it without the fleet: programs, places, groups, scenes, rules.

Not what a program's rules mean, which the node knows, and not when a rule fires (rules.py).
"""

import datetime
import hashlib
import math
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from poleward_gateway.domain.nodes import NodeNumber

_EARTH_RADIUS_M = 6_371_000
_OFFSET_LOOKAHEAD_DAYS = 370


@dataclass(frozen=True, slots=True)
class Program:
    """Rules and the time zone of their fixed times; the node has the syntax."""

    name: str
    time_zone: str
    rules: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands and which program it runs; empty for none."""

    node: NodeNumber
    pole_code: str
    latitude_deg: float
    longitude_deg: float
    program: str


@dataclass(frozen=True, slots=True)
class Group:
    """Lamps that are commanded together."""

    name: str
    nodes: tuple[NodeNumber, ...]


@dataclass(frozen=True, slots=True)
class ScenePart:
    """What a scene makes of one group."""

    group: str
    level_percent: int
    fade_ms: int


@dataclass(frozen=True, slots=True)
class Scene:
    """Sets several groups at once."""

    name: str
    parts: tuple[ScenePart, ...]


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """Fires when `count` nodes tell of an event within some seconds; `detail` is a part of it."""

    kind: str
    detail: str
    count: int
    within_s: int


@dataclass(frozen=True, slots=True)
class ReadingTrigger:
    """Fires when a reading passes a threshold, once until it went back by the margin."""

    metric: str
    threshold: float
    above: bool
    margin: float


@dataclass(frozen=True, slots=True)
class Dim:
    """Sets groups and the neighbours of the node that triggered."""

    groups: tuple[str, ...]
    neighbours_m: int
    level_percent: int
    duration_s: int
    stagger_ms: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Makes an event of the node that triggered."""

    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A trigger and what follows from it."""

    name: str
    trigger: EventTrigger | ReadingTrigger
    actions: tuple[Dim | Tell, ...]


@dataclass(frozen=True, slots=True)
class Lighting:
    """Everything; `digest` tells this content from any other."""

    digest: bytes = b""
    programs: tuple[Program, ...] = ()
    places: tuple[Place, ...] = ()
    groups: tuple[Group, ...] = ()
    scenes: tuple[Scene, ...] = ()
    rules: tuple[Rule, ...] = ()

    def place(self, node: NodeNumber) -> Place | None:
        """Find where a node stands."""
        return next((place for place in self.places if place.node == node), None)

    def group(self, name: str) -> Group | None:
        """Find a group."""
        return next((group for group in self.groups if group.name == name), None)

    def scene(self, name: str) -> Scene | None:
        """Find a scene."""
        return next((scene for scene in self.scenes if scene.name == name), None)

    def neighbours(self, node: NodeNumber, within_m: float) -> list[NodeNumber]:
        """List the other nodes within a distance, the nearest first."""
        centre = self.place(node)
        if centre is None or within_m <= 0:
            return []
        others = [(distance_m(centre, place), place.node) for place in self.places]
        return [other for away_m, other in sorted(others) if away_m <= within_m and other != node]


@dataclass(frozen=True, slots=True)
class NodeProgram:
    """What one node is given.

    Args:
        name: Tells this content from any other; empty for no program.
        digest: Of the program and the place, without the clock; what the fleet compares.
        rules: See `Program`.
        latitude_deg: WGS84.
        longitude_deg: WGS84.
        utc_offset_s: Local time minus UTC.
        next_offset_at_s: Unix time of its next change; 0 for none.
        next_offset_s: Offset after that.
    """

    name: str = ""
    digest: str = ""
    rules: str = ""
    latitude_deg: float = 0.0
    longitude_deg: float = 0.0
    utc_offset_s: int = 0
    next_offset_at_s: int = 0
    next_offset_s: int = 0


def node_program(program: Program | None, place: Place | None, now_s: int) -> NodeProgram:
    """Make what a node is given of its program and place; without either it is no program."""
    if program is None or place is None:
        return NodeProgram()
    offset_s, next_at_s, next_s = utc_offsets(program.time_zone, now_s)
    content = (
        f"{program.rules}\n{program.time_zone}\n{place.latitude_deg:.3f} {place.longitude_deg:.3f}"
    )
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return NodeProgram(
        name=f"{digest} {offset_s} {next_at_s}",
        digest=digest,
        rules=program.rules,
        latitude_deg=place.latitude_deg,
        longitude_deg=place.longitude_deg,
        utc_offset_s=offset_s,
        next_offset_at_s=next_at_s,
        next_offset_s=next_s,
    )


def utc_offsets(time_zone: str, now_s: int) -> tuple[int, int, int]:
    """Return the offset from UTC now, Unix time of its next change (0 for none), the one after.

    A zone that this machine does not know counts as UTC.
    """
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return 0, 0, 0

    def offset_s(at_s: int) -> int:
        offset = datetime.datetime.fromtimestamp(at_s, zone).utcoffset()
        return int(offset.total_seconds()) if offset is not None else 0

    # Whole days, so that the same day gives the same answer.
    before_s = now_s - now_s % 86400
    now_offset_s = offset_s(now_s)
    for _ in range(_OFFSET_LOOKAHEAD_DAYS):
        after_s = before_s + 86400
        if offset_s(after_s) != now_offset_s and after_s > now_s:
            low_s, high_s = max(before_s, now_s), after_s
            while high_s - low_s > 1:
                middle_s = (low_s + high_s) // 2
                if offset_s(middle_s) == now_offset_s:
                    low_s = middle_s
                else:
                    high_s = middle_s
            return now_offset_s, high_s, offset_s(high_s)
        before_s = after_s
    return now_offset_s, 0, 0


def distance_m(one: Place, other: Place) -> float:
    """Compute how far two places are apart; good to a percent within a city."""
    north = math.radians(other.latitude_deg - one.latitude_deg)
    east = math.radians(other.longitude_deg - one.longitude_deg)
    east *= math.cos(math.radians(one.latitude_deg))
    return _EARTH_RADIUS_M * math.hypot(north, east)
