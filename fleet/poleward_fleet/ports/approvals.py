"""What the services need to keep requests that wait for a second person.

Not an implementation (adapters).
"""

from typing import Protocol

from poleward_fleet.domain.approvals import Approval, ApprovalState, GuardedAction
from poleward_fleet.domain.audit import AuditEntry


class ApprovalStore(Protocol):
    """Requests and decisions."""

    async def file(
        self, guarded: GuardedAction, requested_by: str, *, now_ms: int, expires_at_ms: int
    ) -> Approval:
        """Return the open request of somebody for exactly this action; make it if there is none."""

    async def approval(self, number: int, now_ms: int) -> Approval | None:
        """Return a request."""

    async def approvals(self, now_ms: int, limit: int) -> list[Approval]:
        """Return requests, newest first."""

    async def move(
        self,
        number: int,
        expected: ApprovalState,
        state: ApprovalState,
        *,
        decided_by: str,
        reason: str,
        now_ms: int,
        audit: AuditEntry,
    ) -> bool:
        """Move a request that has not expired on; False when it is not in the expected state."""
