"""Alarms in PostgreSQL.

Not when one begins or ends: domain/alarms.py.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.alarms import Alarm, AlarmChange, AlarmKind, AlarmState, severity_of
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import NotFoundError
from poleward_fleet.domain.telemetry import Severity
from poleward_fleet.ports.alarms import Judgement, WatchedNode
from poleward_fleet.ports.areas import AllowedAreas

_WATCHED = text(
    "SELECT n.number, p.lamp_nominal_w, p.latitude_deg, p.longitude_deg, s.content, "
    "(SELECT max(measured_at_ms) FROM latest WHERE node_number = n.number) AS judged_at_ms, "
    "ARRAY(SELECT kind FROM alarm a WHERE a.node_number = n.number AND a.cleared_at_ms = 0) "
    "AS raised FROM node n JOIN pole p ON p.code = n.pole_code "
    "LEFT JOIN alarm_state s ON s.node_number = n.number "
    "WHERE n.number = ANY (CAST(:numbers AS integer[]))"
)
# What is judged again after a crash raises the same alarm; a kind stands once for each node.
_RAISE = text(
    "INSERT INTO alarm (node_number, pole_code, kind, severity, raised_at_ms, noticed_at_ms) "
    "SELECT number, pole_code, k, v, t, :now_ms FROM ("
    "SELECT number, coalesce(pole_code, '') AS pole_code FROM node "
    "UNION ALL SELECT number, '' FROM gateway) AS subject "
    "JOIN unnest(CAST(:node_number AS integer[]), CAST(:kind AS text[]), "
    "CAST(:severity AS text[]), CAST(:at_ms AS bigint[])) AS r (n, k, v, t) ON number = n "
    "ORDER BY n, k ON CONFLICT DO NOTHING"
)
_CLEAR = text(
    "UPDATE alarm SET cleared_at_ms = greatest(t, 1) "
    "FROM unnest(CAST(:node_number AS integer[]), CAST(:kind AS text[]), "
    "CAST(:at_ms AS bigint[])) AS r (n, k, t) "
    "WHERE node_number = n AND kind = k AND cleared_at_ms = 0"
)
_KEEP_STATES = text(
    "INSERT INTO alarm_state (node_number, content) SELECT n, CAST(c AS jsonb) "
    "FROM unnest(CAST(:numbers AS integer[]), CAST(:content AS text[])) AS r (n, c) ORDER BY n "
    "ON CONFLICT ON CONSTRAINT alarm_state_pkey DO UPDATE SET content = excluded.content"
)
_SELECT = "SELECT a.*, coalesce(g.name, '') AS gateway_name FROM alarm a "
_ALLOWED = (
    "LEFT JOIN pole p ON p.code = a.pole_code LEFT JOIN gateway g ON g.number = a.node_number "
    "WHERE (CAST(:allowed AS text[]) IS NULL "
    "OR coalesce(p.area_code, g.area_code) = ANY (CAST(:allowed AS text[]))) "
)
_ALARMS = text(
    _SELECT + _ALLOWED +
    "AND (CAST(:is_open AS boolean) IS NULL OR (a.cleared_at_ms = 0) = :is_open) "
    "ORDER BY a.cleared_at_ms <> 0, a.raised_at_ms DESC, a.number DESC LIMIT :limit"
)  # fmt: skip
_ALARM = text(_SELECT + _ALLOWED + "AND a.number = :number")
_ACKNOWLEDGE = text(
    "UPDATE alarm SET acknowledged_at_ms = :now_ms, acknowledged_by = :by "
    "WHERE number = :number AND acknowledged_at_ms = 0"
)
_END = text("UPDATE alarm SET cleared_at_ms = :now_ms WHERE number = :number AND cleared_at_ms = 0")
_CALLS = text(
    "SELECT a.*, '' AS gateway_name FROM alarm a "
    "WHERE kind = 'sos' AND cleared_at_ms = 0 AND acknowledged_at_ms = 0"
)
_ESCALATE = text(
    "UPDATE alarm SET escalation = :escalation "
    "WHERE number = :number AND acknowledged_at_ms = 0 AND escalation < :escalation"
)

_END_FROZEN = text(
    "UPDATE alarm a SET cleared_at_ms = :now_ms WHERE a.kind = 'update.frozen' "
    "AND a.cleared_at_ms = 0 AND NOT EXISTS (SELECT FROM rollout_node rn "
    "JOIN rollout o ON o.number = rn.rollout_number WHERE rn.node_number = a.node_number "
    "AND o.state IN ('running', 'paused') "
    "AND rn.stage NOT IN ('confirmed', 'cancelled', 'superseded'))"
)


class SqlAlarmStore:
    """AlarmStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def watched(self, node_numbers: Collection[int]) -> dict[int, WatchedNode]:
        """Return what is known of nodes that stand in poles; the others are not judged."""
        rows = await self._database.rows(_WATCHED, {"numbers": list(node_numbers)})
        return {
            row.number: WatchedNode(
                _state(row), row.lamp_nominal_w, row.latitude_deg, row.longitude_deg
            )
            for row in rows
        }

    async def change(self, changes: Sequence[AlarmChange]) -> None:
        """Raise and clear alarms in a transaction of their own."""
        async with self._database.begin() as connection:
            await keep_judgement(connection, Judgement(changes), self._database.clock.now_ms())

    async def alarms(
        self, allowed: AllowedAreas, *, is_open: bool | None, limit: int
    ) -> list[Alarm]:
        """Return alarms, those that stand first, then the newest; all for is_open None."""
        wanted = _areas(allowed) | {"is_open": is_open, "limit": limit}
        return [_alarm(row) for row in await self._database.rows(_ALARMS, wanted)]

    async def alarm(self, number: int, allowed: AllowedAreas) -> Alarm:
        """Return one alarm."""
        rows = await self._database.rows(_ALARM, _areas(allowed) | {"number": number})
        if not rows:
            raise NotFoundError.of("no_alarm", number=number)
        return _alarm(rows[0])

    async def acknowledge(self, number: int, by: str, audit: AuditEntry) -> None:
        """Note who takes care; the first one stays."""
        now_ms = self._database.clock.now_ms()
        async with self._database.begin() as connection:
            done = await connection.execute(
                _ACKNOWLEDGE, {"number": number, "by": by, "now_ms": now_ms}
            )
            if done.rowcount:
                await self._database.audit(connection, audit)

    async def clear(self, number: int, audit: AuditEntry) -> None:
        """End an alarm."""
        async with self._database.begin() as connection:
            done = await connection.execute(
                _END, {"number": number, "now_ms": self._database.clock.now_ms()}
            )
            if done.rowcount:
                await self._database.audit(connection, audit)

    async def unacknowledged_calls(self) -> list[Alarm]:
        """Return emergency calls that stand and that nobody acknowledged."""
        return [_alarm(row) for row in await self._database.rows(_CALLS)]

    async def end_frozen(self) -> int:
        """End the alarms of frozen updates that no rollout wants any more; return how many."""
        async with self._database.begin() as connection:
            now = {"now_ms": self._database.clock.now_ms()}
            return (await connection.execute(_END_FROZEN, now)).rowcount

    async def escalate(self, number: int, escalation: int, audit: AuditEntry) -> None:
        """Note that a deadline passed."""
        async with self._database.begin() as connection:
            done = await connection.execute(_ESCALATE, {"number": number, "escalation": escalation})
            if done.rowcount:
                await self._database.audit(connection, audit)


async def keep_judgement(connection: AsyncConnection, judgement: Judgement, now_ms: int) -> None:
    """Store what follows from reports or events within their transaction."""
    for is_raised, changes in in_rounds(judgement.changes):
        what: dict[str, Any] = {
            "node_number": [change.node_number for change in changes],
            "kind": [change.kind.value for change in changes],
            "at_ms": [change.at_ms for change in changes],
        }
        if is_raised:
            what["severity"] = [severity_of(change.kind).value for change in changes]
            await connection.execute(_RAISE, what | {"now_ms": now_ms})
        else:
            await connection.execute(_CLEAR, what)
    if judgement.states:
        states = judgement.states
        await connection.execute(
            _KEEP_STATES,
            {
                "numbers": list(states),
                "content": [json.dumps(_content(state)) for state in states.values()],
            },
        )


def in_rounds(changes: Sequence[AlarmChange]) -> list[tuple[bool, list[AlarmChange]]]:
    """Group changes of the same direction, those of one alarm in their order.

    A whole city goes on or off at once; a statement for each of its lamps would take seconds.
    """
    rounds: list[tuple[bool, list[AlarmChange]]] = []
    next_round: dict[tuple[int, str], int] = {}
    for change in changes:
        key = (change.node_number, change.kind.value)
        place = next_round.get(key, 0)
        while place < len(rounds) and rounds[place][0] is not change.is_raised:
            place += 1
        if place == len(rounds):
            rounds.append((change.is_raised, []))
        rounds[place][1].append(change)
        next_round[key] = place + 1
    return rounds


def _content(state: AlarmState) -> dict[str, Any]:
    """Return what must survive; which alarms stand is in their own table."""
    return {
        "lit_since_ms": state.lit_since_ms,
        "ignitions_ms": state.ignitions_ms,
        "changing_since_ms": {kind.value: at for kind, at in state.changing_since_ms.items()},
    }


def _state(row: Row[Any]) -> AlarmState:
    content: Mapping[str, Any] = row.content or {}
    changing: Mapping[str, int] = content.get("changing_since_ms", {})
    return AlarmState(
        judged_at_ms=row.judged_at_ms or 0,
        lit_since_ms=content.get("lit_since_ms", 0),
        ignitions_ms=tuple(content.get("ignitions_ms", ())),
        raised=frozenset(AlarmKind(kind) for kind in row.raised),
        changing_since_ms={AlarmKind(kind): at_ms for kind, at_ms in changing.items()},
    )


def _areas(allowed: AllowedAreas) -> dict[str, Any]:
    return {"allowed": None if allowed is None else list(allowed)}


def _alarm(row: Row[Any]) -> Alarm:
    return Alarm(
        number=row.number,
        node_number=row.node_number,
        pole_code=row.pole_code,
        kind=AlarmKind(row.kind),
        severity=Severity(row.severity),
        raised_at_ms=row.raised_at_ms,
        noticed_at_ms=row.noticed_at_ms,
        acknowledged_at_ms=row.acknowledged_at_ms,
        acknowledged_by=row.acknowledged_by,
        cleared_at_ms=row.cleared_at_ms,
        escalation=row.escalation,
        gateway_name=row.gateway_name,
    )
