"""Commands to a node and their outcomes; pure values.

Not their execution: services/commands.py.
"""

from dataclasses import dataclass
from enum import Enum

from poleward_gateway.domain.nodes import NodeNumber


@dataclass(frozen=True, slots=True)
class SetLamp:
    """Overrides the level of a lamp.

    Args:
        instance: Lamp on the node, from 0.
        level_percent: 0 to 100.
        duration_s: Seconds from its start; 0 means until the next command.
        starts_at_s: Unix seconds at which the fade begins; 0 for at once.
        fade_ms: Duration of the fade; 0 for the node's own.
    """

    instance: int
    level_percent: int
    duration_s: int
    starts_at_s: int = 0
    fade_ms: int = 0


@dataclass(frozen=True, slots=True)
class Reboot:
    """Restarts the node."""


@dataclass(frozen=True, slots=True)
class AnswerCall:
    """Accepts the emergency call of a node, or ends it."""

    reset: bool


Action = SetLamp | Reboot | AnswerCall


@dataclass(frozen=True, slots=True)
class Command:
    """An action on one node, executed at most once.

    Args:
        command_id: 16 bytes; a command that is sent again has the same.
        deadline_ms: Unix milliseconds after which it must not be executed.
    """

    command_id: bytes
    node: NodeNumber
    deadline_ms: int
    action: Action


class CommandStatus(Enum):
    """Outcome of a command."""

    DONE = "done"
    EXPIRED = "expired"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Outcome of a command, in words where it is not done."""

    command_id: bytes
    status: CommandStatus
    detail: str
    finished_at_ms: int
