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


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records somebody wants to see; what is empty or None does not matter.

    Args:
        actor: Exactly this account.
        action: Exactly this action, or every action of a kind, e.g. "rollout".
        subject: Part of the subject.
        from_ms: Not before this moment.
        to_ms: Before this moment.
    """

    actor: str = ""
    action: str = ""
    subject: str = ""
    from_ms: int | None = None
    to_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What a walk along the chain found.

    Args:
        records: How many records there are.
        newest: Digest of the newest; whoever notes it can tell later that nothing was cut off.
        broken: Number of the first record that was altered or follows a removed one, if any.
    """

    records: int
    newest: bytes
    broken: int | None


def chain_digest(previous: bytes, at_ms: int, entry: AuditEntry) -> bytes:
    """Compute the digest of an entry from the digest before it and its content."""
    content = json.dumps(
        [at_ms, entry.actor, entry.action, entry.subject, sorted(entry.detail)],
        ensure_ascii=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(previous + content.encode()).digest()


def first_broken(
    records: Iterable[AuditRecord], previous: bytes = GENESIS, first: int = 1
) -> int | None:
    """Return the number of the first record that is missing or was altered, if any.

    Args:
        records: In order.
        previous: Digest of the record before them.
        first: Number that the first of them has to have.
    """
    for number, record in enumerate(records, first):
        if record.number != number:
            return number
        if chain_digest(previous, record.at_ms, record.entry) != record.digest:
            return number
        previous = record.digest
    return None
