"""The steps of the rollout loop in PostgreSQL: facts and decisions in one transaction.

Not the decisions (domain/rollout.py). While a step runs, the rollout's row is locked: people who
change it and reports about its nodes come before or after the step, never in between.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql import rollout_plan
from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.adapters.sql.desired_releases import desire, direct_again, withdraw
from poleward_fleet.adapters.sql.policy_json import policy_of, policy_to_json
from poleward_fleet.adapters.sql.release_store import release_of
from poleward_fleet.adapters.sql.rollout_health import read_health
from poleward_fleet.adapters.sql.rollout_lock import lock_alone
from poleward_fleet.adapters.sql.rollout_store import target_of, wave_fact
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import (
    OVER,
    UNDER_WAY,
    Action,
    AlreadyRuns,
    CancelWaiting,
    Candidate,
    Conclude,
    Join,
    NodeStage,
    NoteReached,
    Offer,
    OpenWave,
    Overdue,
    ReturnUpdated,
    RolloutFacts,
    RolloutState,
    TakeBack,
    TimeOut,
    newest_open,
)
from poleward_fleet.domain.rollout_policy import (
    MAX_NODES,
    OnFailure,
    Policy,
    Wave,
    must_have_installed,
)
from poleward_fleet.domain.words import Words
from poleward_fleet.ports.areas import AllowedAreas
from poleward_fleet.ports.rollouts import Step

JOIN_PERIOD_MS = 15_000
# So many nodes are moved in one transaction at most, so that none of them takes long.
_AT_ONCE = 1_000

_UNFINISHED = text(
    "SELECT number FROM rollout o WHERE state IN ('running', 'paused') "
    "OR (state = 'stopped' AND policy ->> 'on_failure' = 'return' AND NOT is_returning) "
    "OR (state <> 'proposed' AND EXISTS (SELECT FROM rollout_tally t "
    "WHERE t.rollout_number = o.number AND t.nodes > 0 "
    "AND t.stage IN ('queued', 'offered', 'downloading', 'downloaded', 'trial'))) ORDER BY number"
)
_LEASE = text(
    "UPDATE rollout SET lease_owner = :owner, lease_until_ms = :until_ms WHERE number = :number "
    "AND (lease_owner = :owner OR lease_until_ms < :now_ms) RETURNING *"
)
_RELEASE = text("SELECT * FROM release WHERE digest = :digest")
_EXPIRED = text(
    "SELECT version FROM (SELECT version, expires_at_ms FROM trust_document "
    "ORDER BY version DESC LIMIT 1) AS newest WHERE expires_at_ms <= :now_ms"
)
_WAVES = text("SELECT * FROM rollout_wave WHERE rollout_number = :number ORDER BY wave")
_TALLY = text("SELECT * FROM rollout_tally WHERE rollout_number = :number AND nodes > 0")
_BELOW = text(
    "WITH RECURSIVE below (code) AS (SELECT CAST(:code AS text) UNION ALL "
    "SELECT a.code FROM area a JOIN below b ON a.parent_code = b.code) SELECT code FROM below"
)
# The nodes of each gateway that has room, at most its share, through the index and in the
# rollout's order: so nothing is read of the many that wait.
_CANDIDATES = text(
    """
SELECT c.node_number, c.gateway_name, c.wave, n.release_sequence = :sequence AS runs
FROM unnest(CAST(:gateways AS text[]), CAST(:rooms AS bigint[])) AS g (name, room)
CROSS JOIN LATERAL (
    SELECT rn.* FROM rollout_node rn
    WHERE rn.rollout_number = :number AND rn.gateway_name = g.name AND rn.stage = 'queued'
        AND rn.wave <= :newest AND rn.delay_ms <= :now_ms - (CAST(:opened AS bigint[]))[rn.wave + 1]
        AND NOT EXISTS (SELECT FROM rollout_node o WHERE o.node_number = rn.node_number
            AND o.rollout_number <> rn.rollout_number
            AND o.stage IN ('offered', 'downloading', 'downloaded', 'trial'))
    ORDER BY rn.wave, rn.position LIMIT g.room
) c JOIN rollout_subject n ON n.number = c.node_number
ORDER BY c.wave, c.position LIMIT :room
"""
)
# A node that has the release and says why it waits, an emergency call, is not silent while it is
# heard.
_OVERDUE = text(
    "SELECT rn.node_number, rn.gateway_name, rn.wave, rn.stage, n.release_sequence = :sequence "
    "AS runs FROM unnest(CAST(:stages AS text[]), CAST(:until_ms AS bigint[])) "
    "AS s (stage, until_ms) JOIN rollout_node rn ON rn.rollout_number = :number "
    "AND rn.stage = s.stage AND rn.since_ms <= s.until_ms "
    "JOIN rollout_subject n ON n.number = rn.node_number "
    "WHERE rn.stage <> 'downloaded' OR rn.reason #>> '{values,text}' IS NULL "
    "OR n.heard_at_ms <= s.until_ms "
    "ORDER BY rn.since_ms LIMIT :at_once"
)
_MOVE = text(
    "UPDATE rollout_node rn SET stage = :stage, reason = CAST(:reason AS jsonb), "
    "since_ms = :now_ms, boot = n.boot FROM rollout_subject n WHERE n.number = rn.node_number "
    "AND rn.rollout_number = :number AND rn.node_number = ANY (CAST(:nodes AS integer[]))"
)
_OFFER = text(
    "UPDATE rollout_node SET stage = 'offered', reason = NULL, since_ms = :now_ms, "
    "offered_at_ms = :now_ms, attempts = attempts + 1 WHERE rollout_number = :number "
    "AND node_number = ANY (CAST(:nodes AS integer[]))"
)
# Those that are offered come first: nobody has to be told of the others.
_CANCEL = text(
    "UPDATE rollout_node rn SET stage = 'cancelled', since_ms = :now_ms WHERE (node_number, "
    "rollout_number) IN (SELECT node_number, rollout_number FROM rollout_node "
    "WHERE rollout_number = :number AND stage IN ('offered', 'queued') "
    "ORDER BY stage, since_ms LIMIT :at_once) "
    "RETURNING rn.node_number, old.stage AS was"
)
_BEGUN = text(
    "SELECT rn.node_number FROM rollout_node rn WHERE rn.rollout_number = :number "
    "AND rn.stage IN ('downloading', 'downloaded') AND EXISTS (SELECT FROM rollout_wanted w "
    "WHERE w.node_number = rn.node_number AND w.rollout_number = :number) "
    "ORDER BY rn.stage, rn.since_ms LIMIT :at_once"
)
_OPEN = text(
    "UPDATE rollout_wave SET opened_at_ms = :now_ms WHERE rollout_number = :number AND wave = :wave"
)
_REACHED = text(
    "UPDATE rollout_wave SET reached_at_ms = :now_ms "
    "WHERE rollout_number = :number AND wave = :wave"
)
_JOINED = text("UPDATE rollout SET joined_at_ms = :now_ms WHERE number = :number")
_CONCLUDE = text(
    "UPDATE rollout SET state = :state, reason = CAST(:reason AS jsonb) WHERE number = :number"
)
_STAYS_OPEN = text("UPDATE rollout SET also_later = :stays_open WHERE number = :number")
_RETURNING = text("UPDATE rollout SET is_returning = true WHERE number = :number")
_CREATE_RETURN = text(
    "INSERT INTO rollout (release_digest, area_code, also_later, returns_rollout, policy, state, "
    "joined_at_ms, created_at_ms, created_by) SELECT :digest, area_code, :stays_open, number, "
    "CAST(:policy AS jsonb), 'running', :now_ms, :now_ms, created_by "
    "FROM rollout WHERE number = :number RETURNING number"
)
_CREATE_WAVE = text("INSERT INTO rollout_wave (rollout_number, wave) VALUES (:number, 0)")
_MOVES = text(
    "SELECT EXISTS (SELECT FROM rollout_tally WHERE rollout_number = :number AND nodes > 0 "
    "AND stage IN ('downloading', 'downloaded', 'trial'))"
)


class SqlRolloutSteps:
    """RolloutSteps on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unfinished(self) -> list[int]:
        """Return the rollouts that may need action: not over, or with nodes under way."""
        return [row.number for row in await self._database.rows(_UNFINISHED)]

    async def renew_directives(self, *, now_ms: int, directed_before_ms: int) -> Collection[str]:
        """Have older directives made anew where they are still needed."""
        async with self._database.begin() as connection:
            return await direct_again(
                connection, now_ms=now_ms, directed_before_ms=directed_before_ms
            )

    async def step(
        self,
        number: int,
        owner: str,
        decide: Callable[[RolloutFacts], tuple[Action, ...]],
        *,
        now_ms: int,
        lease_ms: int,
        with_health: bool,
    ) -> Step | None:
        """Read the facts, decide, store the decisions; None when another owner has the rollout."""
        leasing = {
            "number": number,
            "owner": owner,
            "now_ms": now_ms,
            "until_ms": now_ms + lease_ms,
        }
        async with self._database.begin() as connection:
            await lock_alone(connection, number)
            row = (await connection.execute(_LEASE, leasing)).one_or_none()
            if row is None:
                return None
            found = await connection.execute(_RELEASE, {"digest": row.release_digest})
            release = release_of(found.one())
            policy = policy_of(row.policy)
            facts = await _facts(connection, row, policy, release, now_ms, with_health)
            actions = decide(facts)
            told: set[str] = set()
            for action in actions:
                told |= await _Doing(connection, row, policy, release, now_ms).do(action)
        return Step(actions, tuple(sorted(told)))


async def _facts(
    connection: AsyncConnection,
    row: Row[Any],
    policy: Policy,
    release: Release,
    now_ms: int,
    with_health: bool,
) -> RolloutFacts:
    named = {"number": row.number}
    waves = (await connection.execute(_WAVES, named)).all()
    counts: list[dict[NodeStage, int]] = [{} for _ in waves]
    under_way: dict[str, int] = {}
    queued: set[str] = set()
    opened = [wave.opened_at_ms for wave in waves]
    for tally in await connection.execute(_TALLY, named):
        stage = NodeStage(tally.stage)
        counts[tally.wave][stage] = counts[tally.wave].get(stage, 0) + tally.nodes
        if stage in UNDER_WAY:
            under_way[tally.gateway_name] = under_way.get(tally.gateway_name, 0) + tally.nodes
        elif stage is NodeStage.QUEUED and opened[tally.wave] is not None:
            queued.add(tally.gateway_name)
    facts = RolloutFacts(
        state=RolloutState(row.state),
        policy=policy,
        waves=tuple(wave_fact(wave, count) for wave, count in zip(waves, counts, strict=True)),
        under_way=under_way,
        overdue=await _overdue(connection, row.number, policy, release, now_ms),
        accepted_failures=row.accepted_failures,
        accepted_wave=row.accepted_wave,
        is_returning=row.is_returning,
    )
    if facts.state in OVER:
        begun = await connection.execute(_BEGUN, named | {"at_once": _AT_ONCE})
        return replace(facts, begun=tuple(begun.scalars()))
    newest = newest_open(facts.waves)
    if with_health and newest >= 0 and policy.waves[newest].wait_s:
        watched_ms = policy.waves[newest].wait_s * 1000
        health = await read_health(connection, row.number, newest, now_ms, watched_ms)
        facts = replace(facts, health=health)
    if facts.state is not RolloutState.RUNNING:
        return facts
    rooms = {
        name: room
        for name in sorted(queued)
        if (room := policy.gateway_concurrency - under_way.get(name, 0)) > 0
    }
    room = min(_AT_ONCE, policy.concurrency - sum(under_way.values()) + len(facts.overdue))
    candidates: tuple[Candidate, ...] = ()
    if rooms and room > 0:
        share = -(-room // len(rooms))
        rows = await connection.execute(
            _CANDIDATES,
            named
            | {
                "gateways": list(rooms),
                "rooms": [min(share, left) for left in rooms.values()],
                "sequence": release.sequence,
                "newest": newest,
                "opened": opened,
                "now_ms": now_ms,
                "room": room,
            },
        )
        candidates = tuple(Candidate(*found) for found in rows)
    expired = (await connection.execute(_EXPIRED, {"now_ms": now_ms})).scalar_one_or_none()
    return replace(
        facts,
        candidates=candidates,
        may_grow=row.also_later,
        is_join_due=row.also_later and now_ms - row.joined_at_ms >= JOIN_PERIOD_MS,
        expired_document=expired or 0,
    )


async def _overdue(
    connection: AsyncConnection, number: int, policy: Policy, release: Release, now_ms: int
) -> tuple[Overdue, ...]:
    limits_s = {
        "offered": policy.deadlines.offered_s,
        "downloading": policy.deadlines.downloading_s,
        "downloaded": policy.deadlines.downloaded_s,
        "trial": policy.deadlines.trial_s,
    }
    if not must_have_installed(policy, now_ms):
        del limits_s["downloaded"]
    rows = await connection.execute(
        _OVERDUE,
        {
            "number": number,
            "sequence": release.sequence,
            "stages": list(limits_s),
            "until_ms": [now_ms - limit_s * 1000 for limit_s in limits_s.values()],
            "at_once": _AT_ONCE,
        },
    )
    return tuple(
        Overdue(row.node_number, row.gateway_name, row.wave, NodeStage(row.stage), row.runs)
        for row in rows
    )


class _Doing:
    """Stores one decision about one rollout."""

    def __init__(
        self,
        connection: AsyncConnection,
        row: Row[Any],
        policy: Policy,
        release: Release,
        now_ms: int,
    ) -> None:
        self._connection = connection
        self._row = row
        self._policy = policy
        self._release = release
        self._named: dict[str, Any] = {"number": row.number, "now_ms": now_ms}

    async def do(self, action: Action) -> set[str]:
        """Store it; return the gateways that have to be told."""
        match action:
            case Offer(nodes):
                await self._run(_OFFER, nodes=list(nodes))
                return await desire(
                    self._connection,
                    nodes,
                    self._release.digest,
                    rollout=self._row.number,
                    now_ms=self._named["now_ms"],
                )
            case TimeOut(nodes):
                await self._move(nodes, "timed_out", Words.of("silent"))
                return await withdraw(self._connection, nodes)
            case AlreadyRuns(nodes):
                await self._move(nodes, "confirmed", Words.of("ran_already"))
            case CancelWaiting():
                rows = await self._run(_CANCEL, at_once=_AT_ONCE)
                return await withdraw(
                    self._connection, [row.node_number for row in rows if row.was == "offered"]
                )
            case TakeBack(nodes):
                return await withdraw(self._connection, nodes)
            case OpenWave(wave):
                await self._run(_OPEN, wave=wave)
            case NoteReached(wave):
                await self._run(_REACHED, wave=wave)
            case Join():
                await self._join()
            case Conclude(state, reason):
                await self._run(_CONCLUDE, state=state.value, reason=reason.to_json())
            case ReturnUpdated():
                await self._return()
        return set()

    async def _run(self, statement: Any, **parameters: Any) -> Any:
        return await self._connection.execute(statement, self._named | parameters)

    async def _move(self, nodes: tuple[int, ...], stage: str, reason: Words) -> None:
        await self._run(_MOVE, nodes=list(nodes), stage=stage, reason=reason.to_json())

    async def _join(self) -> None:
        await self._run(_JOINED)
        number, now_ms = self._row.number, self._named["now_ms"]
        if self._row.returns_rollout is not None:
            # Looked at first: what moves no more by then has come to its end and is joined.
            moves = await self._moves(self._row.returns_rollout)
            await rollout_plan.join_updated(
                self._connection, number, returned=self._row.returns_rollout, now_ms=now_ms
            )
            await self._run(_STAYS_OPEN, stays_open=moves)
            return
        target = target_of(self._row)
        areas: AllowedAreas = None
        if target.area_code:
            below = await self._connection.execute(_BELOW, {"code": target.area_code})
            areas = list(below.scalars())
        name = self._row.name or str(self._row.number)
        parameters = rollout_plan.target_parameters(target, self._release, areas, name)
        last_wave = len(self._policy.waves) - 1
        await rollout_plan.join(
            self._connection, number, parameters | {"now_ms": now_ms, "last_wave": last_wave}
        )

    async def _moves(self, number: int) -> bool:
        """Tell whether nodes of a rollout are still under way."""
        found = await self._connection.execute(_MOVES, {"number": number})
        return bool(found.scalar_one())

    async def _return(self) -> None:
        """Begin to return the updated nodes; those that confirm later join."""
        await self._run(_RETURNING)
        moves = await self._moves(self._row.number)
        policy = replace(
            self._policy,
            waves=(Wave(),),
            jitter_s=0,
            max_failures=MAX_NODES,
            max_failure_percent=100,
            on_failure=OnFailure.CANCEL,
            return_digest=b"",
            windows=(),
            needs_approval=False,
        )
        async with self._connection.begin_nested() as attempt:
            made = await self._run(
                _CREATE_RETURN,
                digest=self._policy.return_digest,
                policy=policy_to_json(policy),
                stays_open=moves,
            )
            number = made.scalar_one()
            await self._connection.execute(_CREATE_WAVE, {"number": number})
            joined = await rollout_plan.join_updated(
                self._connection,
                number,
                returned=self._row.number,
                now_ms=self._named["now_ms"],
            )
            if not joined and not moves:
                await attempt.rollback()  # every node returned by itself
