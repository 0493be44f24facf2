"""Reading the audit record.

Not writing it: each change writes its own entry in its own transaction.
"""

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditRecord
from poleward_fleet.ports.audit import AuditStore


class AuditService:
    """Use cases around the audit record."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store

    async def records(
        self, principal: Principal, *, before: int | None = None, limit: int = 100
    ) -> list[AuditRecord]:
        """Return records, newest first, with numbers below `before`."""
        principal.require(Permission.AUDIT)
        return await self._store.records(before=before, limit=min(limit, 1000))

    async def first_broken(self, principal: Principal) -> int | None:
        """Return the number of the first record that was altered or follows a removed one."""
        principal.require(Permission.AUDIT)
        return await self._store.first_broken()
