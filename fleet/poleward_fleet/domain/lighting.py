"""Lighting programs, groups, scenes and local rules as a person edits them.

Not how a program's rules are read (domain/lighting_rules.py), and not how lamps are commanded.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from enum import Enum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from poleward_fleet.domain.commands import CommandOutcome
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.lighting_rules import read_rules

MAX_RULES_BYTES = 1024
MAX_MEMBERS = 10_000
MAX_DURATION_S = 7 * 86_400
MAX_FADE_MS = 3_600_000
_NAME = re.compile(r"[\w.-][\w. -]{0,62}")


class LightingKind(Enum):
    """What a name can be the name of."""

    PROGRAM = "program"
    GROUP = "group"
    SCENE = "scene"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Program:
    """How lamps burn through the year."""

    name: str
    time_zone: str
    rules: str

    def validate(self) -> None:
        """Insist on a program that a node can run.

        Raises:
            InvalidError: Says what to correct.
        """
        check_name(self.name)
        if len(self.rules.encode()) > MAX_RULES_BYTES:
            raise InvalidError(f"the rules are longer than {MAX_RULES_BYTES} bytes")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise InvalidError(
                f"'{self.time_zone}' is no time zone; use a name such as Asia/Shanghai"
            ) from error
        read_rules(self.rules)

    def digest_at(self, latitude_deg: float, longitude_deg: float) -> str:
        """Name the content that a node at a place gets; its gateway computes the same."""
        content = f"{self.rules}\n{self.time_zone}\n{latitude_deg:.3f} {longitude_deg:.3f}"
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Group:
    """Lamps that are commanded together, by the codes of their poles."""

    name: str
    pole_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScenePart:
    """What a scene makes of one group; fade 0 is the node's own."""

    group: str
    level_percent: int
    fade_ms: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """Sets several groups at once."""

    name: str
    parts: tuple[ScenePart, ...]

    def validate(self) -> None:
        """Insist on parts that make sense.

        Raises:
            InvalidError: Says what to correct.
        """
        check_name(self.name)
        if not self.parts:
            raise InvalidError(f"scene {self.name} sets no group")
        for part in self.parts:
            check_wish(part.level_percent, 0, part.fade_ms)


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """Fires when `count` nodes tell of an event within some seconds; `detail` is a part of it."""

    kind: str
    detail: str = ""
    count: int = 1
    within_s: int = 0


@dataclass(frozen=True, slots=True)
class ReadingTrigger:
    """Fires when a reading passes a threshold, once until it went back by the margin."""

    metric: str
    threshold: float
    above: bool = False
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Dim:
    """Sets groups and the lamps around the node that triggered; they go back one by one."""

    groups: tuple[str, ...]
    neighbours_m: int
    level_percent: int
    duration_s: int
    stagger_ms: int = 0


@dataclass(frozen=True, slots=True)
class Tell:
    """Makes an event of the node that triggered, e.g. for a camera's preset."""

    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a gateway does by itself when something happens."""

    name: str
    trigger: EventTrigger | ReadingTrigger
    actions: tuple[Dim | Tell, ...]

    def validate(self) -> None:
        """Insist on a rule that does something.

        Raises:
            InvalidError: Says what to correct.
        """
        check_name(self.name)
        if not self.actions:
            raise InvalidError(f"rule {self.name} does nothing; give it an action")
        trigger = self.trigger
        if not (trigger.kind if isinstance(trigger, EventTrigger) else trigger.metric):
            raise InvalidError(f"rule {self.name} waits for nothing")
        for action in self.actions:
            if isinstance(action, Dim):
                check_wish(action.level_percent, action.duration_s, 0)
                if not action.groups and not action.neighbours_m:
                    raise InvalidError(f"rule {self.name} dims neither a group nor neighbours")
            elif not action.kind:
                raise InvalidError(f"rule {self.name} tells of nothing")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node of a gateway stands and which program it runs; empty for none."""

    node_number: int
    pole_code: str
    latitude_deg: float
    longitude_deg: float
    program: str


@dataclass(frozen=True, slots=True)
class GatewayLighting:
    """Everything that one gateway needs to run its lamps without the fleet."""

    programs: tuple[Program, ...] = ()
    places: tuple[Place, ...] = ()
    groups: tuple[Group, ...] = ()
    scenes: tuple[Scene, ...] = ()
    rules: tuple[Rule, ...] = ()

    def digest(self) -> bytes:
        """Tell this content from any other; empty for no lighting at all."""
        if not (self.programs or self.groups or self.scenes or self.rules):
            return b""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).digest()


@dataclass(frozen=True, slots=True)
class ProgramView:
    """A program, the poles it is assigned to, and how many of their nodes follow it as it is."""

    program: Program
    assigned: int
    followed: int


@dataclass(frozen=True, slots=True)
class LightingOverview:
    """All of it, by name."""

    programs: tuple[ProgramView, ...]
    groups: tuple[Group, ...]
    scenes: tuple[Scene, ...]
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class LampPlace:
    """A pole with the node that its lamp is commanded through; number 0 and no gateway for none."""

    pole_code: str
    area_code: str
    node_number: int
    gateway_name: str


@dataclass(frozen=True, slots=True)
class PoleOutcome:
    """What became of an order at one pole."""

    pole_code: str
    outcome: CommandOutcome


def check_name(name: str) -> None:
    """Insist on a name that can be typed and told apart.

    Raises:
        InvalidError: Choose another.
    """
    if not _NAME.fullmatch(name):
        raise InvalidError(
            f"'{name}' is not a name: use 1 to 63 letters, digits, '.', '-', '_' or spaces"
        )


def check_wish(level_percent: int, duration_s: int, fade_ms: int) -> None:
    """Insist on a level, a duration and a fade that a lamp can have.

    Raises:
        InvalidError: Says which.
    """
    if not 0 <= level_percent <= 100:
        raise InvalidError(f"a level must be 0 to 100 percent, not {level_percent}")
    if not 0 <= duration_s <= MAX_DURATION_S:
        raise InvalidError("a duration is at most a week")
    if not 0 <= fade_ms <= MAX_FADE_MS:
        raise InvalidError("a fade takes at most an hour")
