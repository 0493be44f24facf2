"""Rollouts and the nodes in them in PostgreSQL.

Not the decisions (domain/rollout.py) nor the loop (services/rollouts.py).
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError, InvalidError
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import (
    Action,
    AlreadyRuns,
    Cancel,
    Conclude,
    NodeFact,
    NodeStage,
    Offer,
    Rollout,
    RolloutFacts,
    RolloutNode,
    RolloutState,
    TimeOut,
)
from poleward_fleet.ports.areas import AllowedAreas

_CREATE = text(
    "INSERT INTO rollout (release_digest, area_code, concurrency, max_failures, state, "
    "created_at_ms, created_by) VALUES (:digest, NULLIF(:area_code, ''), :concurrency, "
    ":max_failures, 'running', :now_ms, :created_by) RETURNING number"
)
# Canaries prefer recently heard nodes, so the order of offering is by number only among equals.
_FILL = text(
    "INSERT INTO rollout_node (rollout_number, node_number, stage, since_ms) "
    "SELECT :number, n.number, 'queued', :now_ms FROM node n JOIN pole p ON p.code = n.pole_code "
    "WHERE n.life_state IN ('commissioned', 'in_service') AND n.gateway_name IS NOT NULL "
    "AND n.board_profile = :board_profile "
    "AND (CAST(:allowed AS text[]) IS NULL OR p.area_code = ANY (CAST(:allowed AS text[])))"
)
_CLASH = text(
    "SELECT rn.rollout_number, rn.node_number FROM rollout_node rn JOIN rollout_node mine "
    "ON mine.node_number = rn.node_number AND mine.rollout_number = :number "
    "WHERE rn.rollout_number <> :number "
    "AND rn.stage IN ('queued', 'offered', 'downloading', 'downloaded', 'trial') LIMIT 1"
)
_ROLLOUTS = """
SELECT o.*, r.version, r.sequence, c.stages, c.counts FROM rollout o
JOIN release r ON r.digest = o.release_digest
LEFT JOIN LATERAL (
    SELECT array_agg(stage) AS stages, array_agg(n) AS counts FROM (
        SELECT stage, count(*) AS n FROM rollout_node WHERE rollout_number = o.number GROUP BY stage
    ) AS s
) c ON true
"""
_ALL = text(_ROLLOUTS + "ORDER BY o.number DESC")
_ONE = text(_ROLLOUTS + "WHERE o.number = :number")
_NODES = text(
    "SELECT rn.*, coalesce(n.pole_code, '') AS pole_code FROM rollout_node rn "
    "JOIN node n ON n.number = rn.node_number WHERE rn.rollout_number = :number "
    "ORDER BY rn.node_number"
)
_UNFINISHED = text(
    "SELECT number FROM rollout o WHERE state IN ('running', 'paused') OR EXISTS (SELECT FROM "
    "rollout_node rn WHERE rn.rollout_number = o.number "
    "AND rn.stage IN ('queued', 'offered', 'downloading', 'downloaded', 'trial')) ORDER BY number"
)
_LEASE = text(
    "UPDATE rollout SET lease_owner = :owner, lease_until_ms = :until_ms WHERE number = :number "
    "AND (lease_owner = :owner OR lease_until_ms < :now_ms)"
)
_HEAD = text("SELECT state, concurrency, max_failures FROM rollout WHERE number = :number")
_FACTS = text(
    "SELECT rn.node_number, rn.stage, rn.since_ms, n.release_sequence = r.sequence AS runs "
    "FROM rollout_node rn JOIN rollout o ON o.number = rn.rollout_number "
    "JOIN release r ON r.digest = o.release_digest JOIN node n ON n.number = rn.node_number "
    "WHERE rn.rollout_number = :number ORDER BY n.link_state <> 'online', rn.node_number"
)
_MOVE = text(
    "UPDATE rollout_node SET stage = :stage, reason = :reason, since_ms = :now_ms "
    "WHERE rollout_number = :number AND node_number = ANY (CAST(:nodes AS integer[])) "
    "AND stage = ANY (CAST(:from_stages AS text[])) RETURNING node_number"
)
_TOUCHED = text(
    "SELECT DISTINCT gateway_name FROM desired_node "
    "WHERE node_number = ANY (CAST(:nodes AS integer[])) AND NOT removed ORDER BY gateway_name"
)
_DESIRE = text(
    "WITH g AS (UPDATE gateway SET desired_revision = desired_revision + 1 "
    "WHERE name = ANY (CAST(:gateways AS text[])) RETURNING name, desired_revision) "
    "UPDATE desired_node d SET release_digest = CASE WHEN :wanted THEN o.release_digest END, "
    "revision = g.desired_revision FROM g, rollout o WHERE d.gateway_name = g.name "
    "AND o.number = :number AND d.node_number = ANY (CAST(:nodes AS integer[])) AND NOT d.removed"
)
_CONCLUDE = text(
    "UPDATE rollout SET state = :state, reason = :reason "
    "WHERE number = :number AND state IN ('running', 'paused')"
)
_SET_STATE = text(
    "UPDATE rollout SET state = :state WHERE number = :number "
    "AND state = ANY (CAST(:expected AS text[]))"
)
_UNDER_WAY = ["offered", "downloading", "downloaded", "trial"]


class SqlRolloutStore:
    """RolloutStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        release: Release,
        *,
        allowed: AllowedAreas,
        area_code: str,
        concurrency: int,
        max_failures: int,
        now_ms: int,
        audit: AuditEntry,
    ) -> int:
        """Create a rollout to the nodes that fit the release; return its number."""
        async with self._database.begin() as connection:
            number = (
                await connection.execute(
                    _CREATE,
                    {
                        "digest": release.digest,
                        "area_code": area_code,
                        "concurrency": concurrency,
                        "max_failures": max_failures,
                        "now_ms": now_ms,
                        "created_by": audit.actor,
                    },
                )
            ).scalar_one()
            nodes = await connection.execute(
                _FILL,
                {
                    "number": number,
                    "now_ms": now_ms,
                    "board_profile": release.board_profile,
                    "allowed": None if allowed is None else list(allowed),
                },
            )
            if nodes.rowcount == 0:
                raise InvalidError(
                    f"no node with board profile {release.board_profile} is in service there"
                )
            clash = (await connection.execute(_CLASH, {"number": number})).one_or_none()
            if clash is not None:
                raise ConflictError(
                    f"node {clash.node_number} is in rollout {clash.rollout_number}, which is not "
                    "over; wait for it or abort it"
                )
            await self._database.audit(connection, audit)
            return int(number)

    async def rollouts(self) -> list[Rollout]:
        """Return the rollouts, newest first."""
        return [_rollout(row) for row in await self._database.rows(_ALL)]

    async def rollout(self, number: int) -> Rollout | None:
        """Return one rollout."""
        rows = await self._database.rows(_ONE, {"number": number})
        return _rollout(rows[0]) if rows else None

    async def nodes(self, number: int) -> tuple[RolloutNode, ...]:
        """Return the nodes of a rollout by number."""
        rows = await self._database.rows(_NODES, {"number": number})
        return tuple(
            RolloutNode(
                node_number=row.node_number,
                pole_code=row.pole_code,
                stage=NodeStage(row.stage),
                reason=row.reason,
                since_ms=row.since_ms,
            )
            for row in rows
        )

    async def unfinished(self) -> list[int]:
        """Return the rollouts that may need action: not over, or with nodes under way."""
        return [row.number for row in await self._database.rows(_UNFINISHED)]

    async def lease(self, number: int, owner: str, *, now_ms: int, until_ms: int) -> bool:
        """Become or stay the owner of a rollout until a time; False when another one is."""
        parameters = {"number": number, "owner": owner, "now_ms": now_ms, "until_ms": until_ms}
        return await self._database.run(_LEASE, parameters) == 1

    async def facts(self, number: int) -> RolloutFacts:
        """Return what next_actions needs."""
        async with self._database.begin() as connection:
            head = (await connection.execute(_HEAD, {"number": number})).one()
            rows = await connection.execute(_FACTS, {"number": number})
            return RolloutFacts(
                state=RolloutState(head.state),
                concurrency=head.concurrency,
                max_failures=head.max_failures,
                nodes=tuple(
                    NodeFact(row.node_number, NodeStage(row.stage), row.since_ms, row.runs)
                    for row in rows
                ),
            )

    async def carry_out(self, number: int, actions: Sequence[Action], now_ms: int) -> list[str]:
        """Store decisions in one transaction; return the gateways that have to be told."""
        told: set[str] = set()
        async with self._database.begin() as connection:
            for action in actions:
                match action:
                    case Offer(nodes):
                        moved = await self._move(
                            connection, number, nodes, ["queued"], "offered", "", now_ms
                        )
                        told |= await self._desire(connection, number, moved, wanted=True)
                    case TimeOut(nodes):
                        reason = "it did not get further in time"
                        moved = await self._move(
                            connection, number, nodes, _UNDER_WAY, "timed_out", reason, now_ms
                        )
                        told |= await self._desire(connection, number, moved, wanted=False)
                    case AlreadyRuns(nodes):
                        await self._move(
                            connection,
                            number,
                            nodes,
                            ["queued", *_UNDER_WAY],
                            "confirmed",
                            "",
                            now_ms,
                        )
                    case Cancel(nodes):
                        await self._move(
                            connection, number, nodes, ["queued"], "cancelled", "", now_ms
                        )
                    case Conclude(state, reason):
                        await connection.execute(
                            _CONCLUDE, {"number": number, "state": state.value, "reason": reason}
                        )
        return sorted(told)

    async def _move(
        self,
        connection: AsyncConnection,
        number: int,
        nodes: Sequence[int],
        from_stages: Sequence[str],
        stage: str,
        reason: str,
        now_ms: int,
    ) -> list[int]:
        rows = await connection.execute(
            _MOVE,
            {
                "number": number,
                "nodes": list(nodes),
                "from_stages": list(from_stages),
                "stage": stage,
                "reason": reason,
                "now_ms": now_ms,
            },
        )
        return list(rows.scalars().all())

    async def _desire(
        self, connection: AsyncConnection, number: int, nodes: Sequence[int], *, wanted: bool
    ) -> set[str]:
        touched = (await connection.execute(_TOUCHED, {"nodes": list(nodes)})).scalars().all()
        if touched:
            await connection.execute(
                _DESIRE,
                {
                    "number": number,
                    "nodes": list(nodes),
                    "gateways": list(touched),
                    "wanted": wanted,
                },
            )
        return set(touched)

    async def set_state(
        self, number: int, *, expected: Collection[str], state: str, audit: AuditEntry
    ) -> bool:
        """Move a rollout from one of the expected states; False when it is in another."""
        async with self._database.begin() as connection:
            done = await connection.execute(
                _SET_STATE, {"number": number, "expected": list(expected), "state": state}
            )
            if done.rowcount == 0:
                return False
            await self._database.audit(connection, audit)
            return True


def _rollout(row: Row[Any]) -> Rollout:
    counts = zip(row.stages or (), row.counts or (), strict=True)
    return Rollout(
        number=row.number,
        release_digest=bytes(row.release_digest),
        release_version=row.version,
        release_sequence=row.sequence,
        area_code=row.area_code or "",
        concurrency=row.concurrency,
        max_failures=row.max_failures,
        state=RolloutState(row.state),
        reason=row.reason,
        counts=tuple(sorted(((NodeStage(s), n) for s, n in counts), key=lambda c: c[0].value)),
        created_at_ms=row.created_at_ms,
        created_by=row.created_by,
    )
