"""What the services need to keep alarms.

Not an implementation (adapters).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from poleward_fleet.domain.alarms import Alarm, AlarmChange, AlarmState
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.ports.areas import AllowedAreas


@dataclass(frozen=True, slots=True)
class WatchedNode:
    """What judging a node's reports needs besides them."""

    state: AlarmState
    nominal_w: float
    latitude_deg: float
    longitude_deg: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from some reports: it is stored together with them, or not at all.

    Args:
        changes: Alarms that begin or end, in order.
        states: New states of nodes that must remember something.
    """

    changes: Sequence[AlarmChange] = ()
    states: Mapping[int, AlarmState] | None = None


NO_JUDGEMENT = Judgement()


class AlarmStore(Protocol):
    """Alarms and what judging remembers. Raising and clearing twice are harmless."""

    async def watched(self, node_numbers: Collection[int]) -> dict[int, WatchedNode]:
        """Return what is known of nodes that stand in poles; the others are not judged."""

    async def change(self, changes: Sequence[AlarmChange]) -> None:
        """Raise and clear alarms in a transaction of their own."""

    async def alarms(
        self, allowed: AllowedAreas, *, is_open: bool | None, limit: int
    ) -> list[Alarm]:
        """Return alarms, those that stand first, then the newest; all for is_open None."""

    async def alarm(self, number: int, allowed: AllowedAreas) -> Alarm:
        """Return one alarm.

        Raises:
            NotFoundError: No such alarm, or not in these areas.
        """

    async def acknowledge(self, number: int, by: str, audit: AuditEntry) -> None:
        """Note who takes care; the first one stays."""

    async def clear(self, number: int, audit: AuditEntry) -> None:
        """End an alarm."""

    async def unacknowledged_calls(self) -> list[Alarm]:
        """Return emergency calls that stand and that nobody acknowledged."""

    async def end_frozen(self) -> int:
        """End the alarms of frozen updates that no rollout wants any more; return how many."""

    async def escalate(self, number: int, escalation: int, audit: AuditEntry) -> None:
        """Note that a deadline passed."""
