"""Commands to a node and their outcomes; pure values.

Not their execution: services/commands.py.
"""

from dataclasses import dataclass
from enum import Enum

from poleward_gateway.domain.nodes import NodeNumber


@dataclass(frozen=True, slots=True)
class SetLamp:
    """Overrides the level of a lamp; `duration_s` 0 means until the next command."""

    instance: int
    level_percent: int
    duration_s: int


@dataclass(frozen=True, slots=True)
class Reboot:
    """Restarts the node."""


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
    action: SetLamp | Reboot


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
