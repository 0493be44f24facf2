"""What can become of a board in a slot, as values.

How it comes to that is in `slot.py`.
"""

from dataclasses import dataclass
from enum import Enum


class Result(Enum):
    """How a board left its slot."""

    PASSED = "passed"
    # It had everything already; nothing was written.
    RECOGNISED = "recognised"
    # Not for this run: wrong chip, flash too small, address seen before. Trying again is no use.
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class BoardOutcome:
    """One board's way through a slot.

    Attributes:
        slot: name of the slot.
        result: how it ended.
        mac: address in hexadecimal, empty when no board answered.
        reason: why it was refused or failed, and what to do; else empty.
        warning: what did not keep it from passing, e.g. a label that was not printed.
        written_bytes: compressed bytes that went over the line.
        duration_s: of the last attempt.
        attempts: how often it was tried.
    """

    slot: str
    result: Result
    mac: str = ""
    reason: str = ""
    warning: str = ""
    written_bytes: int = 0
    duration_s: float = 0.0
    attempts: int = 1
