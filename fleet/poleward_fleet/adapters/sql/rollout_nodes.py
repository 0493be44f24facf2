"""The nodes of rollouts for people: by stage, by reason, and what one node went through.

Not the facts that decisions are made from (rollout_steps.py).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.rollout import UNSUCCESSFUL, NodeStage, RolloutState
from poleward_fleet.domain.rollout_views import NodeRollout, ReasonCount, RolloutNode
from poleward_fleet.domain.words import Words
from poleward_fleet.ports.areas import AllowedAreas

# The page is found in the index alone, however far it is; then its few nodes are read. Nodes that
# moved in the same moment have an order, too, or pages would overlap.
_NODES = text(
    """
SELECT rn.*, n.code, n.pole_code FROM (
    SELECT s.turn, moved.node_number, moved.since_ms
    FROM unnest(CAST(:stages AS text[])) WITH ORDINALITY AS s (stage, turn)
    CROSS JOIN LATERAL (
        SELECT node_number, since_ms FROM rollout_node
        WHERE rollout_number = :number AND stage = s.stage
        ORDER BY since_ms DESC, node_number LIMIT :reach
    ) AS moved
    WHERE CAST(:areas AS text[]) IS NULL OR EXISTS (
        SELECT FROM rollout_subject n LEFT JOIN pole p ON p.code = n.pole_code
        WHERE n.number = moved.node_number
            AND coalesce(p.area_code, n.area_code) = ANY (CAST(:areas AS text[])))
    ORDER BY s.turn, moved.since_ms DESC, moved.node_number OFFSET :skip LIMIT :many
) AS page
JOIN rollout_node rn ON rn.rollout_number = :number AND rn.node_number = page.node_number
JOIN rollout_subject n ON n.number = rn.node_number
ORDER BY page.turn, page.since_ms DESC, page.node_number
"""
)
_REASONS = text(
    """
SELECT rn.stage, rn.reason, count(*) AS nodes FROM rollout_node rn
JOIN rollout_subject n ON n.number = rn.node_number LEFT JOIN pole p ON p.code = n.pole_code
WHERE rn.rollout_number = :number
    AND (rn.stage = ANY (CAST(:stages AS text[])) OR rn.stage = 'queued' AND rn.reason IS NOT NULL)
    AND (CAST(:areas AS text[]) IS NULL
        OR coalesce(p.area_code, n.area_code) = ANY (CAST(:areas AS text[])))
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT :many
"""
)
_HISTORY = text(
    """
SELECT rn.*, n.code, n.pole_code, o.state, r.version FROM rollout_subject n
JOIN rollout_node rn ON rn.node_number = n.number
JOIN rollout o ON o.number = rn.rollout_number JOIN release r ON r.digest = o.release_digest
LEFT JOIN pole p ON p.code = n.pole_code
WHERE n.code = :code AND (CAST(:areas AS text[]) IS NULL
    OR coalesce(p.area_code, n.area_code) = ANY (CAST(:areas AS text[])))
ORDER BY rn.rollout_number DESC LIMIT :many
"""
)
_REASONS_MAX = 20
_HISTORY_MAX = 20


async def read_nodes(
    database: Database,
    number: int,
    areas: AllowedAreas,
    *,
    stages: Sequence[NodeStage],
    skip: int,
    many: int,
) -> list[RolloutNode]:
    """Return nodes of a rollout in some stages: stage by stage, the latest move first."""
    rows = await database.rows(
        _NODES,
        {
            "number": number,
            "stages": [stage.value for stage in stages],
            "areas": None if areas is None else list(areas),
            # Nodes elsewhere are left out after the reach: look at all of them then.
            "reach": skip + many if areas is None else None,
            "skip": skip,
            "many": many,
        },
    )
    return [_node(row) for row in rows]


async def read_reasons(database: Database, number: int, areas: AllowedAreas) -> list[ReasonCount]:
    """Return why nodes were not successful, or wait for another try, most frequent first."""
    rows = await database.rows(
        _REASONS,
        {
            "number": number,
            "stages": [stage.value for stage in UNSUCCESSFUL],
            "areas": None if areas is None else list(areas),
            "many": _REASONS_MAX,
        },
    )
    return [ReasonCount(NodeStage(row.stage), Words.of_json(row.reason), row.nodes) for row in rows]


async def read_history(database: Database, code: str, areas: AllowedAreas) -> list[NodeRollout]:
    """Return the rollouts of the node in a pole, or of a gateway, newest first."""
    named = {
        "code": code,
        "areas": None if areas is None else list(areas),
        "many": _HISTORY_MAX,
    }
    return [
        NodeRollout(row.rollout_number, row.version, RolloutState(row.state), _node(row))
        for row in await database.rows(_HISTORY, named)
    ]


def _node(row: Row[Any]) -> RolloutNode:
    return RolloutNode(
        node_number=row.node_number,
        pole_code=row.pole_code or "",
        gateway_name="" if row.pole_code else row.code or "",
        wave=row.wave,
        stage=NodeStage(row.stage),
        reason=Words.of_json(row.reason),
        since_ms=row.since_ms,
        attempts=row.attempts,
    )
