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
    """Pack a roll-up: the beginnings, then for each series counts, means, least and greatest."""
    count = len(rollup.count)
    return packed_columns.pack(
        [rollup.from_ms, [count], *rollup.count],
        [*rollup.mean, *rollup.least, *rollup.greatest],
    )
