"""A day of one node's reports, or its roll-up, as one packed value.

Not when and where: history_store.py.
"""

from poleward_fleet.adapters.sql import packed_columns
from poleward_fleet.domain.history import ReportDay, Rollup


def pack_day(day: ReportDay) -> bytes:
    """Pack reports."""
    return packed_columns.pack([day.boot, day.sequence, day.measured_at_ms], day.values)


def unpack_day(packed: bytes) -> ReportDay:
    """Unpack reports.

    Raises:
        DamagedColumnsError: The bytes are not whole.
    """
    (boot, sequence, times), values = packed_columns.unpack(packed, 3)
    return ReportDay(boot, sequence, times, values)


def pack_rollup(rollup: Rollup) -> bytes:
    """Pack a roll-up: beginnings and counts, then means, least and greatest values."""
    return packed_columns.pack(
        [rollup.from_ms, *rollup.count], [*rollup.mean, *rollup.least, *rollup.greatest]
    )


def unpack_rollup(packed: bytes, series: int) -> Rollup:
    """Unpack a roll-up of as many series.

    Raises:
        DamagedColumnsError: The bytes are not whole.
    """
    (from_ms, *count), values = packed_columns.unpack(packed, 1 + series)
    return Rollup(
        from_ms, count, values[:series], values[series : 2 * series], values[2 * series :]
    )
