"""What the services need to keep visits.

Not an implementation (adapters).
"""

from collections.abc import Sequence
from typing import Protocol

from poleward_commissioning.checklist import Check
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.visits import Visit


class VisitStore(Protocol):
    """Visits of technicians."""

    async def visit(self, visit_id: str) -> Visit | None:
        """Return a visit."""

    async def put(self, visit: Visit) -> None:
        """Keep a visit; one with the same id stays as it is."""

    async def refuse(self, visit: Visit, conflict: str, audit: AuditEntry) -> None:
        """Keep that a visit does not stand, and why."""

    async def blinked(self, visit_id: str, power_w: Sequence[float], failure: str) -> None:
        """Keep what the lamp drew, or why it could not be told."""

    async def sign(
        self,
        visit_id: str,
        *,
        at_ms: int,
        note: str,
        results: Sequence[Check],
        audit: AuditEntry,
    ) -> None:
        """Keep that a visit was signed and what was seen."""

    async def of_pole(self, pole_code: str) -> list[Visit]:
        """Return the visits to a pole, newest first."""
