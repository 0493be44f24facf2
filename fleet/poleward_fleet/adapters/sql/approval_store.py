"""Requests for a second person in PostgreSQL.

Not who may decide (services/approvals.py).
"""

import json
from typing import Any

from sqlalchemy import Row, text

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.accounts import Permission
from poleward_fleet.domain.approvals import Approval, ApprovalState, GuardedAction
from poleward_fleet.domain.audit import AuditEntry

_SELECT = (
    "SELECT number, action, subject, permission, coalesce(area_code, '') AS area_code, detail, "
    "requested_by, requested_at_ms, expires_at_ms, decided_by, decided_at_ms, reason, "
    "CASE WHEN state IN ('pending', 'approved') AND expires_at_ms <= :now_ms THEN 'expired' "
    "ELSE state END AS state FROM approval "
)
_OPEN = text(
    _SELECT + "WHERE requested_by = :by AND action = :action AND subject = :subject "
    "AND permission = :permission AND coalesce(area_code, '') = :area_code "
    "AND detail = CAST(:detail AS jsonb) "
    "AND state IN ('pending', 'approved') AND expires_at_ms > :now_ms ORDER BY number LIMIT 1"
)
_FILE = text(
    "INSERT INTO approval (action, subject, permission, area_code, detail, requested_by, "
    "requested_at_ms, expires_at_ms) VALUES (:action, :subject, :permission, "
    "NULLIF(:area_code, ''), CAST(:detail AS jsonb), :by, :now_ms, :expires_at_ms)"
)
_ONE = text(_SELECT + "WHERE number = :number")
_NEWEST = text(_SELECT + "ORDER BY number DESC LIMIT :limit")
_MOVE = text(
    "UPDATE approval SET state = :state, decided_by = :decided_by, decided_at_ms = :now_ms, "
    "reason = :reason WHERE number = :number AND state = :expected AND expires_at_ms > :now_ms"
)
# One request at a time is looked for and filed, so that a repeated call finds the first one.
_LOCK = text("LOCK TABLE approval IN SHARE ROW EXCLUSIVE MODE")


class SqlApprovalStore:
    """ApprovalStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def file(
        self, guarded: GuardedAction, requested_by: str, *, now_ms: int, expires_at_ms: int
    ) -> Approval:
        """Return the open request of somebody for exactly this action; make it if there is none."""
        wanted = {
            "by": requested_by,
            "action": guarded.action,
            "subject": guarded.subject,
            "permission": guarded.permission.value,
            "area_code": guarded.area_code,
            "detail": json.dumps(dict(guarded.detail)),
            "now_ms": now_ms,
        }
        async with self._database.begin() as connection:
            await connection.execute(_LOCK)
            found = (await connection.execute(_OPEN, wanted)).one_or_none()
            if found is None:
                await connection.execute(_FILE, wanted | {"expires_at_ms": expires_at_ms})
                found = (await connection.execute(_OPEN, wanted)).one()
                detail = (("action", guarded.action), ("subject", guarded.subject))
                entry = AuditEntry(
                    requested_by, "approval.requested", str(found.number), detail + guarded.detail
                )
                await self._database.audit(connection, entry)
        return _approval(found)

    async def approval(self, number: int, now_ms: int) -> Approval | None:
        """Return a request."""
        rows = await self._database.rows(_ONE, {"number": number, "now_ms": now_ms})
        return _approval(rows[0]) if rows else None

    async def approvals(self, now_ms: int, limit: int) -> list[Approval]:
        """Return requests, newest first."""
        rows = await self._database.rows(_NEWEST, {"now_ms": now_ms, "limit": limit})
        return [_approval(row) for row in rows]

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
        async with self._database.begin() as connection:
            moved = await connection.execute(
                _MOVE,
                {
                    "number": number,
                    "expected": expected.value,
                    "state": state.value,
                    "decided_by": decided_by,
                    "reason": reason,
                    "now_ms": now_ms,
                },
            )
            if moved.rowcount == 0:
                return False
            await self._database.audit(connection, audit)
        return True


def _approval(row: Row[Any]) -> Approval:
    return Approval(
        number=row.number,
        guarded=GuardedAction(
            action=row.action,
            subject=row.subject,
            permission=Permission(row.permission),
            area_code=row.area_code,
            detail=tuple(sorted((str(k), str(v)) for k, v in row.detail.items())),
        ),
        state=ApprovalState(row.state),
        requested_by=row.requested_by,
        requested_at_ms=row.requested_at_ms,
        expires_at_ms=row.expires_at_ms,
        decided_by=row.decided_by,
        decided_at_ms=row.decided_at_ms,
        reason=row.reason,
    )
