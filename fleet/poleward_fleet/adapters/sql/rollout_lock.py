"""Who may move the nodes of a rollout at a moment: one step alone, or any number of reports.

Not who owns a rollout for longer; that is its lease. PostgreSQL's advisory locks are used because
they are given in the order asked for: with locks on the row, reports that keep coming would never
let a step in, and a person who stops a rollout would wait for them.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

_SPACE = 0x726F6C6C
_ALONE = text("SELECT pg_advisory_xact_lock(:space, CAST(:number AS integer))")
# In order, so that two who want several rollouts never wait for each other.
_SHARED = text(
    "SELECT o.number, o.policy, o.digest, o.sequence, "
    "pg_advisory_xact_lock_shared(:space, CAST(o.number AS integer)) FROM ("
    "SELECT o.number, o.policy, r.digest, r.sequence FROM rollout o "
    "JOIN release r ON r.digest = o.release_digest WHERE o.number IN ("
    "SELECT rn.rollout_number FROM rollout_node rn "
    "JOIN rollout ro ON ro.number = rn.rollout_number "
    "WHERE rn.node_number = ANY (CAST(:nodes AS integer[])) "
    "AND (rn.stage IN ('offered', 'downloading', 'downloaded', 'trial') "
    "OR (rn.stage = 'confirmed' AND ro.state IN ('running', 'paused')))) "
    "ORDER BY o.number) AS o"
)


async def lock_alone(connection: AsyncConnection, number: int) -> None:
    """Keep everybody else from a rollout's nodes until the transaction ends."""
    await connection.execute(_ALONE, {"space": _SPACE, "number": number})


async def lock_for_reports(
    connection: AsyncConnection, nodes: Sequence[int]
) -> dict[int, Row[Any]]:
    """Keep steps from the rollouts that reports about nodes may move; return those by number.

    A row has what never changes: number, policy, and digest and sequence of the release.
    """
    rows = await connection.execute(_SHARED, {"space": _SPACE, "nodes": list(nodes)})
    return {row.number: row for row in rows}
