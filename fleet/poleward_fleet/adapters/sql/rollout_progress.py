"""Reports about nodes in rollouts, in PostgreSQL: what they mean is stored at once.

Not what they mean (domain/rollout_progress.py) and not the rollout's next step (rollout_steps.py).
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.desired_releases import withdraw
from poleward_fleet.adapters.sql.policy_json import policy_of
from poleward_fleet.adapters.sql.rollout_lock import lock_for_reports
from poleward_fleet.domain.gateway_link import NodeState
from poleward_fleet.domain.rollout import UNSUCCESSFUL, NodeStage
from poleward_fleet.domain.rollout_policy import Policy
from poleward_fleet.domain.rollout_progress import Move, Standing, move_after
from poleward_fleet.domain.words import NO_WORDS, Words

_STANDINGS = text(
    "SELECT rn.rollout_number, rn.node_number, rn.stage, rn.reason, rn.attempts, "
    "n.release_sequence, EXISTS (SELECT FROM rollout_wanted w WHERE w.node_number = rn.node_number "
    "AND w.rollout_number = rn.rollout_number) AS is_wanted, "
    "coalesce(w.opened_at_ms, 0) AS opened_at_ms, EXISTS (SELECT FROM rollout_node later "
    "JOIN rollout lo ON lo.number = later.rollout_number "
    "JOIN release lr ON lr.digest = lo.release_digest WHERE later.node_number = rn.node_number "
    "AND later.rollout_number > rn.rollout_number AND lr.sequence = n.release_sequence "
    "AND lr.downgrade <> '') AS was_brought_back FROM rollout_node rn "
    "JOIN rollout_subject n ON n.number = rn.node_number "
    "JOIN rollout_wave w ON w.rollout_number = rn.rollout_number AND w.wave = rn.wave "
    "WHERE rn.node_number = ANY (CAST(:numbers AS integer[])) "
    "AND rn.rollout_number = ANY (CAST(:rollouts AS bigint[]))"
)
_MOVE = text(
    "UPDATE rollout_node rn SET stage = r.stage, reason = CAST(r.reason AS jsonb), "
    "since_ms = :now_ms, delay_ms = r.delay_ms, boot = n.boot "
    "FROM unnest(CAST(:rollout AS bigint[]), CAST(:number AS integer[]), CAST(:stage AS text[]), "
    "CAST(:reason AS text[]), CAST(:delay_ms AS bigint[])) "
    "AS r (rollout, number, stage, reason, delay_ms) "
    "JOIN rollout_subject n ON n.number = r.number "
    "WHERE rn.rollout_number = r.rollout AND rn.node_number = r.number"
)


async def apply_progress(
    connection: AsyncConnection, states: Sequence[NodeState], now_ms: int
) -> tuple[frozenset[int], frozenset[str]]:
    """Store what states of nodes mean for rollouts.

    Returns:
        The rollouts that moved, and the gateways that have to be told.
    """
    told = {
        state.node_number: state
        for state in states
        if state.release_sequence is not None or state.update
    }
    if not told:
        return frozenset(), frozenset()
    numbers = {"numbers": list(told)}
    rollouts = await lock_for_reports(connection, list(told))
    if not rollouts:
        return frozenset(), frozenset()
    policies: Mapping[int, Policy] = {n: policy_of(row.policy) for n, row in rollouts.items()}
    moves: list[tuple[int, int, Move, int]] = []
    rows = await connection.execute(_STANDINGS, numbers | {"rollouts": list(rollouts)})
    for row in rows:
        state, rollout = told[row.node_number], rollouts[row.rollout_number]
        stage = NodeStage(row.stage)
        if stage is NodeStage.CONFIRMED and state.release_sequence is None:
            continue  # nothing was said about what it runs
        update = state.update
        has_none = update is not None and update.is_none
        if update is not None and update.release_digest != rollout.digest:
            update = None
        standing = Standing(
            stage=stage,
            attempts=row.attempts,
            running_sequence=row.release_sequence,
            wanted_sequence=rollout.sequence,
            policy=policies[row.rollout_number],
            reason=Words.of_json(row.reason),
            was_brought_back=row.was_brought_back,
            is_taken_back=has_none and not row.is_wanted,
        )
        move = move_after(
            standing, update.stage if update else None, update.words if update else NO_WORDS
        )
        if move is not None:
            delay_ms = now_ms - row.opened_at_ms + move.delay_ms
            moves.append((row.rollout_number, row.node_number, move, delay_ms))
    if not moves:
        return frozenset(), frozenset()
    await connection.execute(
        _MOVE,
        {
            "now_ms": now_ms,
            "rollout": [rollout for rollout, _, _, _ in moves],
            "number": [number for _, number, _, _ in moves],
            "stage": [move.stage.value for _, _, move, _ in moves],
            "reason": [move.reason.to_json() for *_, move, _ in moves],
            "delay_ms": [delay_ms for *_, delay_ms in moves],
        },
    )
    # What a node could not install is not asked of it again before its next attempt, if any.
    given_up = [
        number
        for _, number, move, _ in moves
        if move.stage in UNSUCCESSFUL or move.stage is NodeStage.QUEUED
    ]
    told_gateways = await withdraw(connection, given_up)
    return frozenset(rollout for rollout, _, _, _ in moves), frozenset(told_gateways)
