"""Which release each node and each gateway should run, and what the gateway is told of it.

Not who decides that (rollout_steps.py, rollout_progress.py).
"""

from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.directive_signing import signed_directive
from poleward_fleet.adapters.sql.policy_json import policy_of
from poleward_fleet.domain.identity import NO_RELEASE, DesiredRelease
from poleward_fleet.domain.rollout_policy import openings

# Gateways are locked in order of their names, as everywhere.
_TOUCHED = text(
    "SELECT name FROM gateway WHERE number = ANY (CAST(:nodes AS integer[])) "
    "OR name IN (SELECT gateway_name FROM desired_node "
    "WHERE node_number = ANY (CAST(:nodes AS integer[])) AND NOT removed) "
    "ORDER BY name FOR NO KEY UPDATE"
)
_NEXT_REVISION = text(
    "UPDATE gateway SET desired_revision = desired_revision + 1 "
    "WHERE name = ANY (CAST(:gateways AS text[]))"
)
_DESIRE = (
    text(
        "UPDATE gateway SET desired_release = :digest, desired_rollout = :rollout, "
        "directed_at_ms = :now_ms WHERE number = ANY (CAST(:nodes AS integer[]))"
    ),
    text(
        "UPDATE desired_node d SET release_digest = :digest, rollout_number = :rollout, "
        "directed_at_ms = :now_ms, revision = g.desired_revision FROM gateway g "
        "WHERE d.gateway_name = g.name AND d.node_number = ANY (CAST(:nodes AS integer[])) "
        "AND NOT d.removed"
    ),
)
_WAITING = text(
    "SELECT d.node_number FROM desired_node d JOIN release r ON r.digest = d.release_digest "
    "JOIN node n ON n.number = d.node_number WHERE NOT d.removed "
    "AND n.release_sequence <> r.sequence AND d.directed_at_ms < :until_ms "
    "UNION ALL SELECT g.number FROM gateway g JOIN release r ON r.digest = g.desired_release "
    "WHERE g.release_sequence <> r.sequence AND g.directed_at_ms < :until_ms"
)
_DIRECT = (
    text(
        "UPDATE gateway SET directed_at_ms = :now_ms WHERE number = ANY (CAST(:nodes AS integer[]))"
    ),
    text(
        "UPDATE desired_node d SET directed_at_ms = :now_ms, revision = g.desired_revision "
        "FROM gateway g WHERE d.gateway_name = g.name "
        "AND d.node_number = ANY (CAST(:nodes AS integer[])) "
        "AND d.release_digest IS NOT NULL AND NOT d.removed"
    ),
)


def desired_release(
    row: Row[Any], directors: Sequence[Ed25519PrivateKey], now_ms: int
) -> DesiredRelease:
    """Return what a node or gateway is to be told.

    Args:
        row: Of a desire and of the rollout that it comes from.
        directors: Keys that sign directives; without any nobody asks for them.
        now_ms: Unix milliseconds.
    """
    if row.is_stopped or not row.release_digest:
        return NO_RELEASE
    digest = bytes(row.release_digest)
    if row.runs_it:
        return DesiredRelease(digest)
    policy = row.policy_with_windows
    return DesiredRelease(
        digest,
        signed_directive(row, directors) if directors else b"",
        openings(policy_of(policy), now_ms) if policy else (),
    )


async def desire(
    connection: AsyncConnection, nodes: Sequence[int], digest: bytes, *, rollout: int, now_ms: int
) -> set[str]:
    """Want nodes or gateways to run a release; return the gateways that have to be told."""
    wanted = {"digest": digest, "rollout": rollout, "now_ms": now_ms}
    return await _change(connection, nodes, _DESIRE, wanted)


async def withdraw(connection: AsyncConnection, nodes: Sequence[int]) -> set[str]:
    """Want nothing of them any more; return the gateways that have to be told."""
    nothing = {"digest": None, "rollout": None, "now_ms": 0}
    return await _change(connection, nodes, _DESIRE, nothing)


async def direct_again(
    connection: AsyncConnection, *, now_ms: int, directed_before_ms: int
) -> set[str]:
    """Have fresh directives for nodes and gateways that do not run yet what they should.

    Args:
        connection: To the database.
        now_ms: They hold from then.
        directed_before_ms: Only where the one that there is holds from before that.

    Returns:
        The gateways that have to be told.
    """
    waiting = await connection.execute(_WAITING, {"until_ms": directed_before_ms})
    return await _change(connection, waiting.scalars().all(), _DIRECT, {"now_ms": now_ms})


async def _change(
    connection: AsyncConnection,
    nodes: Sequence[int],
    statements: Sequence[TextClause],
    parameters: dict[str, Any],
) -> set[str]:
    if not nodes:
        return set()
    touched = (await connection.execute(_TOUCHED, {"nodes": list(nodes)})).scalars().all()
    if touched:
        named = {"nodes": list(nodes), "gateways": list(touched)} | parameters
        for statement in (_NEXT_REVISION, *statements):
            await connection.execute(statement, named)
    return set(touched)
