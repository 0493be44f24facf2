"""Reports, events and readings as values.

Not how they travel (gRPC) nor how they are stored (SQL).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """One measured quantity of a node."""

    metric: str
    instance: int = 0


Layout = tuple[SeriesKey, ...]


@dataclass(frozen=True, slots=True)
class ReportColumns:
    """Many reports as columns: row i of each column belongs to report i.

    The values of all reports follow each other; a report owns as many as its layout has series.
    NaN stands where the node had no value.
    """

    layouts: tuple[Layout, ...]
    node_number: Sequence[int]
    boot: Sequence[int]
    sequence: Sequence[int]
    layout: Sequence[int]
    measured_at_ms: Sequence[int]
    value: Sequence[float]


class Severity(Enum):
    """Severity of an event."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """Something that happened on or to a node."""

    node_number: int
    boot: int
    sequence: int
    occurred_at_ms: int
    kind: str
    severity: Severity
    detail: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LatestValue:
    """The newest value of one series."""

    series: SeriesKey
    value: float
    measured_at_ms: int


@dataclass(frozen=True, slots=True)
class Series:
    """Readings of one series, oldest first: two columns of the same length."""

    series: SeriesKey
    measured_at_ms: tuple[int, ...]
    value: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StoredCount:
    """How much of one boot of one node is stored."""

    node_number: int
    boot: int
    reports: int
    readings: int
    first_sequence: int
    last_sequence: int

    @property
    def missing(self) -> int:
        """Reports that the sequence numbers say are missing."""
        return self.last_sequence - self.first_sequence + 1 - self.reports
