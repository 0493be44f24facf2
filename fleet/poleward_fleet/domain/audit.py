"""The audit record: who changed what, when and why, each entry chained to the one before.

Not where it is stored. A changed or missing entry breaks the chain from there on.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change that is about to be recorded."""

    actor: str
    action: str  # e.g. "lamp.set"
    subject: str  # what it was done to, e.g. a pole code
    detail: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A recorded change."""

    number: int
    at_ms: int
    entry: AuditEntry
    digest: bytes


def chain_digest(previous: bytes, at_ms: int, entry: AuditEntry) -> bytes:
    """Compute the digest of an entry from the digest before it and its content."""
    content = json.dumps(
        [at_ms, entry.actor, entry.action, entry.subject, sorted(entry.detail)],
        ensure_ascii=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(previous + content.encode()).digest()


def first_broken(records: Iterable[AuditRecord], previous: bytes = GENESIS) -> int | None:
    """Return the number of the first record that does not follow from the one before, if any."""
    for record in records:
        if chain_digest(previous, record.at_ms, record.entry) != record.digest:
            return record.number
        previous = record.digest
    return None
