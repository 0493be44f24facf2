"""How a series is written in the database.

Not what a metric means: domain/metrics.py.
"""

from poleward_fleet.domain.telemetry import SeriesKey


def series_name(key: SeriesKey) -> str:
    """Write a series, e.g. "supply.voltage_v/0"."""
    return f"{key.metric}/{key.instance}"


def series_key(name: str) -> SeriesKey:
    """Read a series again."""
    metric, _, instance = name.rpartition("/")
    return SeriesKey(metric, int(instance))
