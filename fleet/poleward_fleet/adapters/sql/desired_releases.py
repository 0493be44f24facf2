"""Which release each node and each gateway should run, as the gateway is told.

Not who decides that (rollout_steps.py, rollout_progress.py).
"""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Gateways are locked in order of their names, as everywhere.
_TOUCHED = text(
    "SELECT name FROM gateway WHERE number = ANY (CAST(:nodes AS integer[])) "
    "OR name IN (SELECT gateway_name FROM desired_node "
    "WHERE node_number = ANY (CAST(:nodes AS integer[])) AND NOT removed) "
    "ORDER BY name FOR NO KEY UPDATE"
)
_DESIRE = text(
    "WITH g AS (UPDATE gateway SET desired_revision = desired_revision + 1, desired_release = "
    "CASE WHEN number = ANY (CAST(:nodes AS integer[])) THEN :digest ELSE desired_release END "
    "WHERE name = ANY (CAST(:gateways AS text[])) RETURNING name, desired_revision) "
    "UPDATE desired_node d SET release_digest = :digest, revision = g.desired_revision FROM g "
    "WHERE d.gateway_name = g.name AND d.node_number = ANY (CAST(:nodes AS integer[])) "
    "AND NOT d.removed"
)


async def desire(connection: AsyncConnection, nodes: Sequence[int], digest: bytes) -> set[str]:
    """Want nodes or gateways to run a release; return the gateways that have to be told."""
    return await _set(connection, nodes, digest)


async def withdraw(connection: AsyncConnection, nodes: Sequence[int]) -> set[str]:
    """Want nothing of them any more; return the gateways that have to be told."""
    return await _set(connection, nodes, None)


async def _set(connection: AsyncConnection, nodes: Sequence[int], digest: bytes | None) -> set[str]:
    if not nodes:
        return set()
    touched = (await connection.execute(_TOUCHED, {"nodes": list(nodes)})).scalars().all()
    if touched:
        named = {"nodes": list(nodes), "gateways": list(touched), "digest": digest}
        await connection.execute(_DESIRE, named)
    return set(touched)
