"""Reports and events as the gateway keeps them, and how it recognises one it already has.

Not how a node encodes them (adapters/node_link) nor where they are kept (adapters/storage). Report
and ReceivedMark are made for every report, as named tuples in a third of a dataclass's time.
"""

import array
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from poleward_gateway.domain.nodes import NodeNumber

GAP_EVENT = "reports.gap"
WIPED_EVENT = "node.wiped"
CLONED_EVENT = "node.cloned"
GATEWAY_EVENT_BASE = 1 << 30
"""Sequence numbers from here on belong to events that the gateway makes about a node."""

_WINDOW_BITS = 63
"""SQLite's integers are signed."""
_WINDOW_MASK = (1 << _WINDOW_BITS) - 1


@dataclass(frozen=True, slots=True)
class Series:
    """One measured quantity of a node."""

    metric: str
    instance: int


class Report(NamedTuple):
    """One report of a node; (node, boot, sequence) is its idempotency key.

    Args:
        values: Doubles, one per series of the layout; NaN where the node had no value.
        made_before: Reports that the node made in the boot before this one; the first report of a
            boot says so.
    """

    node: NodeNumber
    boot: int
    sequence: int
    time_ms: int
    layout: tuple[Series, ...]
    values: "array.array[float]"
    made_before: int | None = None


class Severity(Enum):
    """How much an event matters."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened on or to a node; (node, boot, sequence) is its idempotency key."""

    node: NodeNumber
    boot: int
    sequence: int
    occurred_at_ms: int
    kind: str
    severity: Severity
    detail: tuple[tuple[str, str], ...] = ()


class ReceivedMark(NamedTuple):
    """Which reports of a node's current boot were spooled: the highest, and a window below it.

    Only what is certainly known counts as a duplicate. A report from below the window or from an
    earlier boot is passed on: the fleet's unique key settles those.

    Args:
        boot: Boot count that `highest` belongs to.
        highest: Highest sequence number seen.
        window: Bit i is set when `highest - i` was seen.
    """

    boot: int
    highest: int
    window: int

    @classmethod
    def first(cls, boot: int, sequence: int) -> "ReceivedMark":
        """Make the mark after the first report of a boot."""
        return cls(boot=boot, highest=sequence, window=1)

    def holds(self, boot: int, sequence: int) -> bool:
        """Say whether a report is a duplicate."""
        distance = self.highest - sequence
        return (
            boot == self.boot and 0 <= distance < _WINDOW_BITS and bool(self.window >> distance & 1)
        )

    def after(self, boot: int, sequence: int) -> "ReceivedMark":
        """Return the mark once a report is spooled."""
        if boot < self.boot:
            return self
        if boot > self.boot:
            return ReceivedMark.first(boot, sequence)
        if sequence > self.highest:
            moved = sequence - self.highest
            window = (self.window << moved | 1) if moved < _WINDOW_BITS else 1
            return ReceivedMark(boot, sequence, window & _WINDOW_MASK)
        distance = self.highest - sequence
        if distance >= _WINDOW_BITS:
            return self
        return ReceivedMark(boot, self.highest, self.window | 1 << distance)


def missing_before(report: Report, boot: int, highest: int) -> list[tuple[int, range]]:
    """List the reports that a node made before one of its reports and that were never seen.

    Args:
        report: Any report of the node.
        boot: Boot of the newest report that was seen before.
        highest: Highest sequence number seen of that boot.

    Returns:
        Boot counts, each with the numbers that are missing of it.
    """
    if report.boot < boot:
        return []
    if report.boot == boot:
        missing = [(boot, range(highest + 1, report.sequence))]
    else:
        missing = [(report.boot, range(report.sequence))]
        if report.made_before is not None:
            seen = highest + 1 if report.boot == boot + 1 else 0
            missing.insert(0, (report.boot - 1, range(seen, report.made_before)))
    return [(of_boot, numbers) for of_boot, numbers in missing if numbers]


def gap_event(node: NodeNumber, boot: int, missing: range, now_ms: int) -> Event:
    """Describe reports that a node made but never delivered; the same gap gives the same key."""
    return Event(
        node=node,
        boot=boot,
        sequence=GATEWAY_EVENT_BASE + missing.start,
        occurred_at_ms=now_ms,
        kind=GAP_EVENT,
        severity=Severity.INFO,
        detail=(("first", str(missing.start)), ("last", str(missing.stop - 1))),
    )


_SEEN_EPOCH_S = 1_700_000_000


def seen_event(node: NodeNumber, kind: str, severity: Severity, now_ms: int) -> Event:
    """Describe what the gateway saw of a node; boot 0, because no boot of a node has that number.

    The same kind within one second is one event.
    """
    return Event(
        node=node,
        boot=0,
        sequence=now_ms // 1000 - _SEEN_EPOCH_S,
        occurred_at_ms=now_ms,
        kind=kind,
        severity=severity,
    )
