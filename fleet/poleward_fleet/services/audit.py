"""Reading, exporting and verifying the audit record.

Not writing it: each change writes its own entry in its own transaction.
"""

from collections.abc import AsyncIterator

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditCheck, AuditFilter, AuditRecord
from poleward_fleet.domain.errors import ForbiddenError
from poleward_fleet.ports.audit import AuditStore

_PAGE = 1000
EVERYTHING = AuditFilter()


class AuditService:
    """Use cases around the audit record; for whoever may act everywhere, as the record covers that.

    Args:
        store: Where it is.
    """

    def __init__(self, store: AuditStore) -> None:
        self._store = store

    async def records(
        self,
        principal: Principal,
        *,
        wanted: AuditFilter = EVERYTHING,
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditRecord]:
        """Return records, newest first, with numbers below `before`."""
        _check(principal)
        return await self._store.records(wanted, before=before, limit=min(limit, _PAGE))

    async def export(
        self, principal: Principal, *, wanted: AuditFilter = EVERYTHING
    ) -> AsyncIterator[list[AuditRecord]]:
        """Yield the records in pages, oldest first; those that are written meanwhile, too."""
        _check(principal)
        after = 0
        while records := await self._store.records_after(wanted, after=after, limit=_PAGE):
            yield records
            after = records[-1].number

    async def check(self, principal: Principal) -> AuditCheck:
        """Walk the whole chain."""
        _check(principal)
        return await self._store.check()

    async def holds(self, principal: Principal, number: int, digest: bytes) -> bool:
        """Tell whether a record that somebody noted earlier is still there, unaltered."""
        _check(principal)
        return await self._store.digest_of(number) == digest


def _check(principal: Principal) -> None:
    principal.require(Permission.AUDIT)
    if principal.area_code:
        raise ForbiddenError(
            "the audit record covers everywhere; only somebody who may act everywhere reads it"
        )
