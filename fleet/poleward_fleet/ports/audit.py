"""What the services need to keep the audit record.

Not an implementation (adapters).
"""

from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry, AuditRecord


class AuditStore(Protocol):
    """The chained audit record."""

    async def append(self, entry: AuditEntry) -> None:
        """Record something that has no transaction of its own."""

    async def records(self, *, before: int | None, limit: int) -> list[AuditRecord]:
        """Return records, newest first."""

    async def first_broken(self) -> int | None:
        """Walk the chain; return the first record that does not follow from the one before."""
