"""What the client gives and takes: plain values without generated types.

They mirror poleward.v1 messages; `mapping.py` converts.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Area:
    """A node of the administrative tree; codes have 12 digits, a city has no parent."""

    code: str
    name: str
    parent_code: str = ""


@dataclass(frozen=True, slots=True)
class Pole:
    """An asset on the street, WGS84."""

    code: str
    area_code: str
    latitude_deg: float
    longitude_deg: float
    lamp_nominal_w: int
    equipment: tuple[str, ...] = ("lamp",)


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the fleet knows it; heard_at_ms is 0 for never, release_sequence 0 for unknown."""

    number: int
    endpoint_name: str
    life_state: str
    link_state: str
    heard_at_ms: int
    bundle_version: str
    release_sequence: int
    pole_code: str
    gateway_name: str


@dataclass(frozen=True, slots=True)
class NodeLife:
    """Where a node stands in its life; next_steps are what may happen to it."""

    number: int
    mac: str
    life_state: str
    life_since_ms: int
    life_reason: str
    board_profile: str
    pole_code: str
    gateway_name: str
    next_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody whom a gateway refused; node_number 0 when the key id is no node's."""

    gateway_name: str
    kind: str
    key_id: str
    node_number: int
    peer: str
    first_seen_at_ms: int
    last_seen_at_ms: int
    attempts: int


@dataclass(frozen=True, slots=True)
class PoleView:
    """A pole and the node in it, if any."""

    pole: Pole
    node: Node | None


@dataclass(frozen=True, slots=True)
class LatestValue:
    """The newest value of one series; the metric carries the unit."""

    metric: str
    instance: int
    value: float
    measured_at_ms: int


@dataclass(frozen=True, slots=True)
class PoleDetail:
    """A pole, its node and its latest values."""

    view: PoleView
    latest: tuple[LatestValue, ...]

    def value(self, metric: str, instance: int = 0) -> LatestValue | None:
        """Find the latest value of a metric, or None."""
        for found in self.latest:
            if found.metric == metric and found.instance == instance:
                return found
        return None


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway; heard_at_ms is 0 for never."""

    name: str
    area_code: str
    connected: bool
    heard_at_ms: int
    software_version: str
    node_count: int


@dataclass(frozen=True, slots=True)
class LampOutcome:
    """Outcome of a lamp command: done, expired, refused or unreachable, and why."""

    status: str
    detail: str
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class PoleOutcome:
    """Outcome of an order at one pole: done, expired, refused or unreachable, and why."""

    pole_code: str
    status: str
    detail: str
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class Night:
    """One night of a program, in Unix seconds; a point is (from when, level in percent)."""

    points: tuple[tuple[int, int], ...]
    sunset_s: int
    sunrise_s: int


@dataclass(frozen=True, slots=True)
class ManufacturedNode:
    """What the flashing station knows of a node; the claim code only as a hash."""

    mac: bytes
    bootstrap_secret: bytes = field(repr=False)
    bootstrap_salt: bytes = field(repr=False)
    claim_code_hash: str = field(repr=False)
    board_profile: str


@dataclass(frozen=True, slots=True)
class StationPermit:
    """What the factory allowed the station that made nodes, in all its imports together."""

    station_key: bytes
    station_name: str
    quota: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Release:
    """A published release; `downgrade` says who may go back to it from a newer one."""

    digest: bytes
    version: str
    sequence: int
    board_profile: str
    published_at_ms: int
    notes: str
    bundle_bytes: int
    image_bytes: int
    downgrade: str


@dataclass(frozen=True, slots=True)
class StoredCount:
    """What is stored of one boot of one node."""

    node_number: int
    boot: int
    reports: int
    readings: int
    first_sequence: int
    last_sequence: int


@dataclass(frozen=True, slots=True)
class AffectedNode:
    """A node that runs an affected version of a component."""

    number: int
    endpoint_name: str
    pole_code: str
    release_version: str
    component_version: str
