"""What the services need to keep release keys and trust documents.

Not an implementation (adapters).
"""

from collections.abc import Sequence
from typing import Protocol

from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.trust import (
    DirectiveKey,
    ReleaseKey,
    Trust,
    TrustDocument,
)


class TrustStore(Protocol):
    """Release keys and trust documents. What changes them returns the gateways to be told."""

    async def trust(self) -> Trust:
        """Return everything."""

    async def put_key(self, key: ReleaseKey, audit: AuditEntry) -> list[str]:
        """Trust a key; one that is known stays as it is."""

    async def revoke_key(self, key: ReleaseKey, audit: AuditEntry) -> list[str]:
        """Keep when and by whom a key was revoked."""

    async def make_directive_key(self, audit: AuditEntry, *, only_first: bool) -> DirectiveKey:
        """Make a key that signs once a document names it; its private half stays in the store.

        Args:
            audit: The record of it; the key's id becomes its subject.
            only_first: Only where there is none; return the oldest otherwise.
        """

    async def put_document(self, document: TrustDocument, audit: AuditEntry) -> list[str]:
        """Keep a document; release keys that it does not name are revoked.

        Raises:
            ConflictError: There is one with its number.
        """


class DocumentReader(Protocol):
    """Verifies trust documents."""

    def read_next(
        self, signed: bytes, previous: bytes | None, factory_keys: Sequence[bytes]
    ) -> TrustDocument:
        """Verify that a document follows the previous one.

        Args:
            signed: As it was sent.
            previous: The one before; None for the first, which `factory_keys` sign.
            factory_keys: Keys that were trusted before there was a document.

        Raises:
            ReleaseRefusedError: Says which check failed.
        """
