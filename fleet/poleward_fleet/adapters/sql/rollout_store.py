"""Rollouts in PostgreSQL: made, read, paused, resumed, aborted, approved.

Not which nodes they take (rollout_plan.py) nor the steps of the loop (rollout_steps.py).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, TextClause, text

from poleward_fleet.adapters.sql import rollout_nodes, rollout_plan
from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.adapters.sql.desired_releases import withdraw
from poleward_fleet.adapters.sql.policy_json import policy_of, policy_to_json
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import NodeStage, RolloutState, WaveFact
from poleward_fleet.domain.rollout_policy import Policy, Target
from poleward_fleet.domain.rollout_views import (
    DryRun,
    NodeRollout,
    ReasonCount,
    Rollout,
    RolloutNode,
)
from poleward_fleet.domain.words import Words
from poleward_fleet.ports.areas import AllowedAreas

_CREATE = text(
    "INSERT INTO rollout (release_digest, area_code, labels, pole_codes, also_later, policy, "
    "state, joined_at_ms, created_at_ms, created_by, name) "
    "VALUES (:digest, NULLIF(:area_code, ''), "
    "CAST(:labels AS text[]), CAST(:pole_codes AS text[]), :also_later, CAST(:policy AS jsonb), "
    ":state, :now_ms, :now_ms, :created_by, NULLIF(:name, '')) RETURNING number"
)
_IS_NAME_TAKEN = text("SELECT EXISTS (SELECT FROM rollout WHERE name = :name)")
_ROLLOUTS = text(
    "SELECT o.*, r.version, r.sequence, r.board_profile FROM rollout o "
    "JOIN release r ON r.digest = o.release_digest "
    "WHERE CAST(:number AS bigint) IS NULL OR o.number = :number ORDER BY o.number DESC"
)
_WAVES = text(
    "SELECT * FROM rollout_wave WHERE CAST(:number AS bigint) IS NULL OR rollout_number = :number "
    "ORDER BY rollout_number, wave"
)
_TALLY = text(
    "SELECT rollout_number, wave, stage, sum(nodes) AS nodes FROM rollout_tally "
    "WHERE (CAST(:number AS bigint) IS NULL OR rollout_number = :number) AND nodes > 0 "
    "GROUP BY rollout_number, wave, stage"
)
_TALLY_WITHIN = text(
    "SELECT rn.rollout_number, rn.wave, rn.stage, count(*) AS nodes FROM rollout_node rn "
    "JOIN rollout_subject n ON n.number = rn.node_number "
    "LEFT JOIN pole p ON p.code = n.pole_code "
    "WHERE (CAST(:number AS bigint) IS NULL OR rn.rollout_number = :number) "
    "AND coalesce(p.area_code, n.area_code) = ANY (CAST(:areas AS text[])) GROUP BY 1, 2, 3"
)
_SET_STATE = text(
    "UPDATE rollout SET state = :state, reason = CAST(:reason AS jsonb) WHERE number = :number "
    "AND state = ANY (CAST(:expected AS text[]))"
)
_APPROVE = text(
    "UPDATE rollout SET state = 'running', approved_by = :person "
    "WHERE number = :number AND state = 'proposed' AND created_by <> :person"
)
_APPROVE_WAVE = text(
    "UPDATE rollout_wave SET approved_by = :person "
    "WHERE rollout_number = :number AND wave = :wave AND approved_by = ''"
)
_ACCEPT = text(
    "UPDATE rollout o SET state = 'running', reason = NULL, accepted_failures = ("
    "SELECT coalesce(sum(nodes), 0) FROM rollout_tally WHERE rollout_number = o.number "
    "AND stage IN ('failed', 'rejected', 'returned', 'timed_out')), accepted_wave = ("
    "SELECT coalesce(max(wave), -1) FROM rollout_wave WHERE rollout_number = o.number "
    "AND opened_at_ms IS NOT NULL) WHERE number = :number AND state = 'paused'"
)

_UNKNOWN_GATEWAYS = text(
    "SELECT code FROM unnest(CAST(:codes AS text[])) AS wanted (code) WHERE NOT EXISTS ("
    "SELECT FROM gateway g WHERE g.name = wanted.code AND g.revoked_at_ms = 0 "
    "AND (CAST(:areas AS text[]) IS NULL OR g.area_code = ANY (CAST(:areas AS text[])))) ORDER BY 1"
)
_UNKNOWN_POLES = text(
    "SELECT code FROM unnest(CAST(:codes AS text[])) AS wanted (code) WHERE NOT EXISTS ("
    "SELECT FROM pole p WHERE p.code = wanted.code "
    "AND (CAST(:areas AS text[]) IS NULL OR p.area_code = ANY (CAST(:areas AS text[])))) ORDER BY 1"
)


class SqlRolloutStore:
    """RolloutStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        release: Release,
        target: Target,
        policy: Policy,
        *,
        areas: AllowedAreas,
        name: str,
        may_supersede: bool,
        now_ms: int,
        audit: AuditEntry,
    ) -> tuple[int, list[str]]:
        """Create a rollout; return its number and the gateways that have to be told."""
        state = RolloutState.PROPOSED if policy.needs_approval else RolloutState.RUNNING
        async with self._database.begin() as connection:
            if (await connection.execute(_IS_NAME_TAKEN, {"name": name})).scalar_one():
                raise ConflictError.of("name_taken", rollout=name)
            number = (
                await connection.execute(
                    _CREATE,
                    {
                        "digest": release.digest,
                        "area_code": target.area_code,
                        "labels": list(target.labels),
                        "pole_codes": list(target.pole_codes),
                        "also_later": target.also_later,
                        "policy": policy_to_json(policy),
                        "state": state.value,
                        "now_ms": now_ms,
                        "created_by": audit.actor,
                        "name": name,
                    },
                )
            ).scalar_one()
            parameters = rollout_plan.target_parameters(target, release, areas, name or str(number))
            await rollout_plan.fill(connection, number, policy, release, parameters, now_ms)
            offered = await rollout_plan.supersede(
                connection, number, release, now_ms, allowed=may_supersede
            )
            told = await withdraw(connection, offered)
            await self._database.audit(connection, audit)
            return int(number), sorted(told)

    async def dry_run(
        self, release: Release, target: Target, policy: Policy, *, areas: AllowedAreas, name: str
    ) -> DryRun:
        """Tell what a rollout would do."""
        async with self._database.begin() as connection:
            parameters = rollout_plan.target_parameters(target, release, areas, name)
            return await rollout_plan.dry_run(connection, policy, release, parameters)

    async def unknown(
        self, release: Release, codes: Collection[str], areas: AllowedAreas
    ) -> list[str]:
        """Return those codes that no pole, or no gateway, in the areas has."""
        if not codes:
            return []
        named = {"codes": list(codes), "areas": None if areas is None else list(areas)}
        statement = _UNKNOWN_GATEWAYS if release.is_for_gateways else _UNKNOWN_POLES
        return [row.code for row in await self._database.rows(statement, named)]

    async def rollouts(self, areas: AllowedAreas, number: int | None = None) -> list[Rollout]:
        """Return the rollouts that concern the areas, newest first, counting only nodes there."""
        parameters: dict[str, Any] = {"number": number}
        async with self._database.begin() as connection:
            rows = (await connection.execute(_ROLLOUTS, parameters)).all()
            waves = (await connection.execute(_WAVES, parameters)).all()
            if areas is None:
                tally = (await connection.execute(_TALLY, parameters)).all()
            else:
                parameters["areas"] = list(areas)
                tally = (await connection.execute(_TALLY_WITHIN, parameters)).all()
        counts: dict[tuple[int, int], dict[NodeStage, int]] = {}
        for count in tally:
            key = (count.rollout_number, count.wave)
            counts.setdefault(key, {})[NodeStage(count.stage)] = int(count.nodes)
        concerned = {count.rollout_number for count in tally}
        facts: dict[int, list[WaveFact]] = {}
        for wave in waves:
            found = counts.get((wave.rollout_number, wave.wave), {})
            facts.setdefault(wave.rollout_number, []).append(wave_fact(wave, found))
        return [
            _rollout(row, facts.get(row.number, ()))
            for row in rows
            if areas is None or row.number in concerned
        ]

    async def nodes(
        self,
        number: int,
        areas: AllowedAreas,
        *,
        stages: Sequence[NodeStage],
        skip: int,
        many: int,
    ) -> list[RolloutNode]:
        """Return nodes of a rollout in some stages: stage by stage, the latest move first."""
        return await rollout_nodes.read_nodes(
            self._database, number, areas, stages=stages, skip=skip, many=many
        )

    async def reasons(self, number: int, areas: AllowedAreas) -> list[ReasonCount]:
        """Return why nodes were not successful, or wait for another try, most frequent first."""
        return await rollout_nodes.read_reasons(self._database, number, areas)

    async def history(self, code: str, areas: AllowedAreas) -> list[NodeRollout]:
        """Return the rollouts of the node in a pole, or of a gateway, newest first."""
        return await rollout_nodes.read_history(self._database, code, areas)

    async def set_state(
        self,
        number: int,
        *,
        expected: Collection[RolloutState],
        state: RolloutState,
        reason: Words,
        audit: AuditEntry,
    ) -> bool:
        """Move a rollout from one of the expected states; False when it is in another."""
        return await self._change(
            _SET_STATE,
            {
                "number": number,
                "expected": [known.value for known in expected],
                "state": state.value,
                "reason": reason.to_json(),
            },
            audit,
        )

    async def resume(self, number: int, audit: AuditEntry) -> bool:
        """Let a paused rollout run and accept its failures so far; False when it is not paused."""
        return await self._change(_ACCEPT, {"number": number}, audit)

    async def approve(self, number: int, person: str, audit: AuditEntry) -> bool:
        """Let a proposed rollout run; False when it is not proposed, or by this person."""
        return await self._change(_APPROVE, {"number": number, "person": person}, audit)

    async def approve_wave(self, number: int, wave: int, person: str, audit: AuditEntry) -> bool:
        """Let the wave after this one begin; False when somebody else did."""
        named = {"number": number, "wave": wave, "person": person}
        return await self._change(_APPROVE_WAVE, named, audit)

    async def _change(
        self, statement: TextClause, parameters: Mapping[str, Any], audit: AuditEntry
    ) -> bool:
        async with self._database.begin() as connection:
            if (await connection.execute(statement, parameters)).rowcount == 0:
                return False
            await self._database.audit(connection, audit)
            return True


def wave_fact(row: Row[Any], counts: Mapping[NodeStage, int]) -> WaveFact:
    """Build what is known of a wave from its row and counts."""
    return WaveFact(counts, row.opened_at_ms, row.reached_at_ms, bool(row.approved_by))


def target_of(row: Row[Any]) -> Target:
    """Read the target of a rollout."""
    return Target(
        area_code=row.area_code or "",
        labels=tuple(row.labels),
        pole_codes=tuple(row.pole_codes),
        also_later=row.also_later,
    )


def _rollout(row: Row[Any], waves: Sequence[WaveFact]) -> Rollout:
    return Rollout(
        number=row.number,
        name=row.name or str(row.number),
        release_digest=bytes(row.release_digest),
        release_version=row.version,
        release_sequence=row.sequence,
        board_profile=row.board_profile,
        target=target_of(row),
        policy=policy_of(row.policy),
        state=RolloutState(row.state),
        reason=Words.of_json(row.reason),
        waves=tuple(waves),
        returns_rollout=row.returns_rollout or 0,
        accepted_wave=row.accepted_wave,
        created_at_ms=row.created_at_ms,
        created_by=row.created_by,
        approved_by=row.approved_by,
    )
