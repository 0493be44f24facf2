"""Areas, poles, nodes and gateways as the fleet knows them, and the state that a person sees.

Not where they are stored, and not what the nodes measure (telemetry).
"""

from dataclasses import dataclass, replace
from enum import Enum

from poleward_commissioning.checklist import lamp_is_lit


class LifeState(Enum):
    """Life cycle of a node (docs/fleet.md)."""

    MANUFACTURED = "manufactured"
    CLAIMED = "claimed"
    COMMISSIONED = "commissioned"
    IN_SERVICE = "in_service"
    QUARANTINED = "quarantined"
    SWAPPED_OUT = "swapped_out"
    LOST = "lost"
    DECOMMISSIONED = "decommissioned"


class LinkState(Enum):
    """Whether a node can be reached, as its gateway last said."""

    UNKNOWN = "unknown"
    BOOTSTRAPPED = "bootstrapped"
    ONLINE = "online"
    SILENT = "silent"
    OFFLINE = "offline"


class PoleStatus(Enum):
    """What a person sees of a pole at a glance; drawn as colour and shape."""

    NO_NODE = "no_node"
    WAITING = "waiting"  # commissioned, its node was not heard yet
    LIT = "lit"
    DARK = "dark"  # heard, and the lamp is off as it should be
    FAULT = "fault"  # heard, and the lamp should be lit but is not
    SILENT = "silent"  # not heard for three report intervals, or its gateway is away
    OFFLINE = "offline"  # de-registered


@dataclass(frozen=True, slots=True)
class Area:
    """A place in the administrative tree: city 市, district 区, street 街道, community 社区."""

    code: str  # 12 digits
    name: str
    parent_code: str = ""  # empty for a city


@dataclass(frozen=True, slots=True)
class Pole:
    """The asset on the street; it outlives the nodes in it."""

    code: str
    area_code: str
    latitude_deg: float
    longitude_deg: float
    equipment: tuple[str, ...] = ()
    lamp_nominal_w: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """The device in a pole."""

    number: int
    endpoint_name: str
    life_state: LifeState
    link_state: LinkState
    heard_at_ms: int  # 0 for never
    bundle_version: str = ""
    release_sequence: int = 0
    pole_code: str = ""
    gateway_name: str = ""
    boot: int = 0
    device: tuple[tuple[str, str], ...] = ()  # what object 3 says, sorted by key


@dataclass(frozen=True, slots=True)
class PoleView:
    """A pole with the node in it, if any."""

    pole: Pole
    node: Node | None


@dataclass(frozen=True, slots=True)
class PoleMarker:
    """What a map needs of one pole."""

    code: str
    area_code: str
    latitude_deg: float
    longitude_deg: float
    status: PoleStatus
    level_percent: float | None  # None when the node never said
    power_w: float | None
    heard_at_ms: int  # 0 for never
    silent_from_ms: int = 0  # when it counts as silent unless heard again; 0 for never

    def at(self, now_ms: int) -> "PoleMarker":
        """Return the marker as it is at a time after which the node was not heard."""
        if 0 < self.silent_from_ms <= now_ms and self.status is not PoleStatus.SILENT:
            return replace(self, status=PoleStatus.SILENT)
        return self


@dataclass(frozen=True, slots=True)
class Gateway:
    """An edge gateway."""

    name: str
    area_code: str
    connected: bool
    heard_at_ms: int  # 0 for never
    software_version: str
    node_count: int
    certificate_expires_at_ms: int  # 0 before it enrolled


@dataclass(frozen=True, slots=True)
class Stay:
    """A time [from, until) in which a node stood in a pole: what it measured then is the pole's."""

    node_number: int
    from_ms: int
    until_ms: int

    def within(self, from_ms: int, until_ms: int) -> "Stay":
        """Return its part in [from, until), which ends before it begins when there is none."""
        return Stay(self.node_number, max(from_ms, self.from_ms), min(until_ms, self.until_ms))


def pole_status(
    node_link: LinkState | None,
    *,
    heard_at_ms: int,
    level_percent: float | None,
    power_w: float | None,
    nominal_w: int,
    lamp_failed: bool = False,
) -> PoleStatus:
    """Decide what a person sees of a pole.

    Args:
        node_link: Link state of the node in the pole; None without a node.
        heard_at_ms: When the node was last heard; 0 for never.
        level_percent: Dimming level of the last report; None when there was none.
        power_w: Active power of the last report.
        nominal_w: Nominal wattage of the lamp.
        lamp_failed: The node itself says that its lamp failed.
    """
    if node_link is None:
        return PoleStatus.NO_NODE
    if heard_at_ms == 0 or node_link in (LinkState.UNKNOWN, LinkState.BOOTSTRAPPED):
        return PoleStatus.WAITING
    if node_link is LinkState.SILENT:
        return PoleStatus.SILENT
    if node_link is LinkState.OFFLINE:
        return PoleStatus.OFFLINE
    if lamp_failed:
        return PoleStatus.FAULT
    if level_percent is None or level_percent <= 0:
        return PoleStatus.DARK
    if lamp_is_lit(level_percent, power_w, nominal_w):
        return PoleStatus.LIT
    return PoleStatus.FAULT


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over the poles that a person may see, and the two rates of the trade."""

    poles: int
    by_status: tuple[tuple[PoleStatus, int], ...]
    online_rate: float | None  # 在线率: nodes heard within 3 intervals / nodes in service
    lit_rate: float | None  # 亮灯率: lamps confirmed lit / lamps that should be lit now


def totals(markers: list[PoleMarker]) -> Totals:
    """Count poles by status and compute both rates; a rate of nothing is None."""
    counts = dict.fromkeys(PoleStatus, 0)
    should_be_lit = 0
    for marker in markers:
        counts[marker.status] += 1
        if marker.status is PoleStatus.FAULT or (marker.level_percent or 0) > 0:
            should_be_lit += 1
    online = counts[PoleStatus.LIT] + counts[PoleStatus.DARK] + counts[PoleStatus.FAULT]
    in_service = len(markers) - counts[PoleStatus.NO_NODE]
    return Totals(
        poles=len(markers),
        by_status=tuple(counts.items()),
        online_rate=online / in_service if in_service else None,
        lit_rate=counts[PoleStatus.LIT] / should_be_lit if should_be_lit else None,
    )
