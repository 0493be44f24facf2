"""Who was refused at gateways: what a gateway says, and what the fleet makes of it.

Not the refusal, which is the gateway's, nor nodes that are in quarantine (life_cycle.py).
"""

from dataclasses import dataclass
from enum import Enum

SIGHTINGS_MAX = 256
"""Key ids that are kept of each gateway; those not seen for longest go."""

ATTEMPTS_ALARM = 20
"""Refused requests a minute from which somebody should look; a lost node makes a few."""
ATTEMPTS_CALM = 10


class StrangerKind(Enum):
    """Whom a gateway refused."""

    UNKNOWN_NODE = "unknown_node"
    FOREIGN_NODE = "foreign_node"
    """A node of the fleet, by its key id; this gateway does not serve it."""
    WRONG_KEY = "wrong_key"
    """Somebody with the key id of a node of the gateway, and without its key."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a gateway saw of one key id since it started."""

    is_wrong_key: bool
    key_id: bytes
    peer: str
    first_seen_at_ms: int
    last_seen_at_ms: int
    attempts: int


@dataclass(frozen=True, slots=True)
class StrangersSeen:
    """What a gateway saw lately."""

    sightings: tuple[Sighting, ...]
    attempts_per_minute: int


@dataclass(frozen=True, slots=True)
class Stranger:
    """A sighting with what the fleet knows.

    Args:
        node_number: Of the node whose key id it is; 0 for none.
    """

    gateway_name: str
    kind: StrangerKind
    sighting: Sighting
    node_number: int


def verdict(attempts_per_minute: int) -> bool | None:
    """Say whether so many attempts are an alarm; None in between, where nothing changes."""
    if attempts_per_minute >= ATTEMPTS_ALARM:
        return True
    return False if attempts_per_minute <= ATTEMPTS_CALM else None


def kind_of(sighting: Sighting, node_number: int) -> StrangerKind:
    """Return whom a gateway refused, given the node whose key id was used."""
    if sighting.is_wrong_key:
        return StrangerKind.WRONG_KEY
    return StrangerKind.FOREIGN_NODE if node_number else StrangerKind.UNKNOWN_NODE
