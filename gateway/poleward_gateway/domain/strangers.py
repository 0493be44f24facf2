"""Who was refused at the gateway's port, as values.

Not how many are remembered: services/strangers.py.
"""

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """Why a request under OSCORE was refused."""

    UNKNOWN_KEY_ID = "unknown_key_id"
    """No node of the gateway has the key id: a stranger, or a node of another gateway."""
    WRONG_KEY = "wrong_key"
    """A node of the gateway has it, but the request was made with another key."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen of one key id since the gateway started.

    Args:
        peer: Address that it was seen from last.
    """

    fault: Fault
    key_id: bytes
    peer: str
    first_seen_at_ms: int
    last_seen_at_ms: int
    attempts: int


@dataclass(frozen=True, slots=True)
class StrangersSeen:
    """What the fleet has not been told yet."""

    sightings: tuple[Sighting, ...]
    attempts_per_minute: int
