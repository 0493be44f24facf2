"""Commands to a pole and their outcomes.

Not how they reach the node: that is the gateway's stream.
"""

from dataclasses import dataclass
from enum import Enum


class CommandStatus(Enum):
    """Outcome of a command."""

    PENDING = "pending"
    DONE = "done"
    EXPIRED = "expired"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class SetLamp:
    """Override the level of a lamp; duration 0 means until the next command."""

    level_percent: int
    instance: int = 0
    duration_s: int = 0


@dataclass(frozen=True, slots=True)
class Reboot:
    """Restart the node."""


@dataclass(frozen=True, slots=True)
class Command:
    """An action on one node; sent again with the same id until its result is known."""

    command_id: bytes  # 16 bytes
    node_number: int
    deadline_ms: int
    action: SetLamp | Reboot


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """What became of a command."""

    status: CommandStatus
    detail: str  # for people; empty when done
    elapsed_ms: int  # from request to the node's confirmation
