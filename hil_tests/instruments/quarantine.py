"""Tests that are known to be unreliable: who looks after each, why, and until when.

A quarantined test is still executed; until its expiry its failure does not fail the run.
"""

import datetime
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KEYS = {"test", "owner", "reason", "expires"}


class QuarantineError(Exception):
    """The list is not written as it must be; correct the entry that is named."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One quarantined test, by its node id without parameters."""

    test: str
    owner: str
    reason: str
    expires: datetime.date


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The list as of a day."""

    entries: tuple[Entry, ...]
    today: datetime.date

    @classmethod
    def load(cls, path: Path, today: datetime.date) -> "Quarantine":
        """Read a list.

        Raises:
            QuarantineError: an entry lacks its owner, reason or expiry.
        """
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(_entry(found, path) for found in content.get("quarantined", [])), today)

    def entry(self, test_id: str) -> Entry | None:
        """Return the entry that excuses a test, None when there is none or it has expired."""
        name = test_id.partition("[")[0]
        return next(
            (found for found in self.entries if found.test == name and found not in self.expired),
            None,
        )

    @property
    def expired(self) -> tuple[Entry, ...]:
        """Entries that excuse nothing any more."""
        return tuple(found for found in self.entries if found.expires < self.today)


def _entry(found: dict[str, Any], path: Path) -> Entry:
    named = found.get("test", "an entry without `test`")
    if missing := _KEYS - found.keys():
        raise QuarantineError(f"{path}: {named} lacks {', '.join(sorted(missing))}")
    if unknown := found.keys() - _KEYS:
        raise QuarantineError(f"{path}: {named} has unknown {', '.join(sorted(unknown))}")
    if not isinstance(found["expires"], datetime.date):
        raise QuarantineError(f"{path}: {named}: `expires` is no date such as 2027-01-31")
    return Entry(found["test"], found["owner"], found["reason"], found["expires"])
