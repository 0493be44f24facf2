"""What a wave's updated nodes reported before and after the update, from PostgreSQL.

Not whether that is good enough (domain/rollout_health.py).
"""

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.domain.rollout_health import HealthFigures, WaveHealth

# The newest of a big wave stand for all of them.
_SAMPLE_NODES = 500
_SLACK_MS = 30_000
# Boots since a node confirmed; silent as everywhere: nothing heard for three intervals.
_NODES = text(
    """
WITH sample AS MATERIALIZED (
    SELECT rn.node_number, rn.offered_at_ms, rn.since_ms, rn.boot FROM rollout_node rn
    WHERE rn.rollout_number = :number AND rn.stage = 'confirmed' AND rn.wave = :wave
        AND rn.since_ms > :from_ms AND rn.offered_at_ms > 0
    ORDER BY rn.since_ms DESC LIMIT :sample
)
SELECT count(*) AS nodes, coalesce(avg(greatest(0, n.boot - s.boot)), 0) AS reboots,
    count(*) FILTER (WHERE greatest(n.heard_at_ms, l.measured_at_ms) + 3000 * n.report_interval_s
        + :slack_ms < :now_ms AND s.since_ms + 3000 * n.report_interval_s + :slack_ms < :now_ms)
        AS silent,
    coalesce(sum(:now_ms - s.since_ms), 0) / 3600000.0 AS hours_after,
    count(*) * :watched_ms / 3600000.0 AS hours_before,
    coalesce(sum((SELECT count(*) FROM event e WHERE e.node_number = s.node_number
        AND e.severity <> 'info' AND e.occurred_at_ms > s.since_ms)), 0) AS alarms_after,
    coalesce(sum((SELECT count(*) FROM event e WHERE e.node_number = s.node_number
        AND e.severity <> 'info' AND e.occurred_at_ms > s.offered_at_ms - :watched_ms
        AND e.occurred_at_ms <= s.offered_at_ms)), 0) AS alarms_before
FROM sample s JOIN rollout_subject n ON n.number = s.node_number
LEFT JOIN LATERAL (
    SELECT max(measured_at_ms) AS measured_at_ms FROM latest WHERE node_number = n.number
) l ON true
"""
)
# NaN stands for a value that a node did not have.
_REPORTS = text(
    """
WITH sample AS MATERIALIZED (
    SELECT rn.node_number, rn.offered_at_ms, rn.since_ms FROM rollout_node rn
    WHERE rn.rollout_number = :number AND rn.stage = 'confirmed' AND rn.wave = :wave
        AND rn.since_ms > :from_ms AND rn.offered_at_ms > 0
    ORDER BY rn.since_ms DESC LIMIT :sample
), place AS MATERIALIZED (
    SELECT id, array_position(series, 'lamp.level_percent/0') AS level_at,
        array_position(series, 'supply.active_power_w/0') AS power_at,
        array_position(series, 'node.memory_free_kib/0') AS memory_at FROM layout
), read AS (
    SELECT r.measured_at_ms > s.since_ms AS is_after, r."values" AS vals, place.*
    FROM sample s CROSS JOIN LATERAL (
        (SELECT * FROM report r WHERE r.node_number = s.node_number
            AND r.measured_at_ms BETWEEN s.offered_at_ms - :watched_ms AND s.offered_at_ms
            ORDER BY r.measured_at_ms DESC LIMIT :reports)
        UNION ALL
        (SELECT * FROM report r WHERE r.node_number = s.node_number
            AND r.measured_at_ms > s.since_ms ORDER BY r.measured_at_ms DESC LIMIT :reports)
    ) r JOIN place ON place.id = r.layout_id
)
SELECT is_after,
    avg(nullif(vals[memory_at], 'NaN')) AS memory_kib,
    sum(nullif(vals[power_at], 'NaN')) FILTER (WHERE vals[level_at] BETWEEN 1 AND 100)
        / nullif(sum(vals[level_at]) FILTER (WHERE vals[level_at] BETWEEN 1 AND 100
            AND vals[power_at] <> 'NaN'), 0) AS power_per_level,
    avg((SELECT count(*) FROM unnest(vals) AS v WHERE v <> 'NaN')) AS values_per_report
FROM read GROUP BY is_after
"""
)
_REPORTS_PER_NODE = 20


async def read_health(
    connection: AsyncConnection, number: int, wave: int, now_ms: int, watched_ms: int
) -> WaveHealth:
    """Return the figures of a wave's nodes that confirmed within the time they are watched."""
    parameters = {
        "number": number,
        "wave": wave,
        "now_ms": now_ms,
        "from_ms": now_ms - watched_ms,
        "watched_ms": watched_ms,
        "sample": _SAMPLE_NODES,
    }
    found = (await connection.execute(_NODES, parameters | {"slack_ms": _SLACK_MS})).one()
    reports: dict[bool, Row[Any]] = {}
    if found.nodes:
        rows = await connection.execute(_REPORTS, parameters | {"reports": _REPORTS_PER_NODE})
        reports = {row.is_after: row for row in rows}
    return WaveHealth(
        wave=wave,
        nodes=found.nodes,
        silent=found.silent,
        reboots=float(found.reboots),
        before=_figures(found.alarms_before, found.hours_before, reports.get(False)),
        after=_figures(found.alarms_after, found.hours_after, reports.get(True)),
    )


def _figures(alarms: int, node_hours: float, reports: Row[Any] | None) -> HealthFigures:
    if reports is None:
        return HealthFigures(int(alarms), float(node_hours))
    return HealthFigures(
        int(alarms),
        float(node_hours),
        _float(reports.memory_kib),
        _float(reports.power_per_level),
        _float(reports.values_per_report),
    )


def _float(figure: Any) -> float | None:
    return None if figure is None else float(figure)
