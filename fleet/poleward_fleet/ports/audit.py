"""What the services need to keep the audit record.

Not an implementation (adapters).
"""

from typing import Protocol

from poleward_fleet.domain.audit import AuditCheck, AuditEntry, AuditFilter, AuditRecord


class AuditStore(Protocol):
    """The chained audit record."""

    async def append(self, entry: AuditEntry) -> None:
        """Record something that has no transaction of its own."""

    async def records(
        self, wanted: AuditFilter, *, before: int | None, limit: int
    ) -> list[AuditRecord]:
        """Return records, newest first."""

    async def records_after(
        self, wanted: AuditFilter, *, after: int, limit: int
    ) -> list[AuditRecord]:
        """Return records, oldest first."""

    async def digest_of(self, number: int) -> bytes | None:
        """Return the digest of a record."""

    async def check(self) -> AuditCheck:
        """Walk the chain."""
