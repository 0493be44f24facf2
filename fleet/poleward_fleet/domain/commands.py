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
    """Override the level of a lamp.

    Args:
        level_percent: 0 to 100.
        instance: Lamp on the pole, from 0.
        duration_s: 0 means until the next command.
        starts_at_s: Unix seconds at which the fade begins; 0 for at once.
        fade_ms: Duration of the fade; 0 for the node's own.
    """

    level_percent: int
    instance: int = 0
    duration_s: int = 0
    starts_at_s: int = 0
    fade_ms: int = 0


@dataclass(frozen=True, slots=True)
class Reboot:
    """Restart the node."""


@dataclass(frozen=True, slots=True)
class AnswerCall:
    """Accept the emergency call of the node, or end it."""

    reset: bool


Action = SetLamp | Reboot | AnswerCall


@dataclass(frozen=True, slots=True)
class Command:
    """An action on one node; sent again with the same id until its result is known."""

    command_id: bytes  # 16 bytes
    node_number: int
    deadline_ms: int
    action: Action


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """What became of a command."""

    status: CommandStatus
    detail: str  # for people; empty when done
    elapsed_ms: int  # from request to the node's confirmation
