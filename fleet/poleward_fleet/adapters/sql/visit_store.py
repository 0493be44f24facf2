"""Visits of technicians in PostgreSQL.

Not the nodes and poles they are about.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text

from poleward_commissioning.checklist import Check, Place, Verdict
from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.visits import Visit

_VISIT = text("SELECT * FROM visit WHERE id = :id")
_OF_POLE = text("SELECT * FROM visit WHERE pole_code = :pole_code ORDER BY began_at_ms DESC")
_PUT = text(
    "INSERT INTO visit (id, node_number, pole_code, technician, began_at_ms, received_at_ms, "
    "latitude_deg, longitude_deg, accuracy_m) VALUES (:id, :node_number, :pole_code, "
    ":technician, :began_at_ms, :received_at_ms, :latitude_deg, :longitude_deg, :accuracy_m) "
    "ON CONFLICT (id) DO NOTHING"
)
_REFUSE = text("UPDATE visit SET conflict = :conflict WHERE id = :id")
_BLINKED = text(
    "UPDATE visit SET blink_w = CAST(:power_w AS float8[]), blink_failure = :failure "
    "WHERE id = :id AND signed_at_ms = 0"
)
_SIGN = text(
    "UPDATE visit SET signed_at_ms = :at_ms, note = :note, results = CAST(:results AS jsonb) "
    "WHERE id = :id AND signed_at_ms = 0"
)


class SqlVisitStore:
    """VisitStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def visit(self, visit_id: str) -> Visit | None:
        """Return a visit."""
        rows = await self._database.rows(_VISIT, {"id": visit_id})
        return _visit(rows[0]) if rows else None

    async def put(self, visit: Visit) -> None:
        """Keep a visit; one with the same id stays as it is."""
        await self._database.run(_PUT, _row(visit))

    async def refuse(self, visit: Visit, conflict: str, audit: AuditEntry) -> None:
        """Keep that a visit does not stand, and why."""
        async with self._database.begin() as connection:
            await connection.execute(_PUT, _row(visit))
            await connection.execute(_REFUSE, {"id": visit.visit_id, "conflict": conflict})
            await self._database.audit(connection, audit)

    async def blinked(self, visit_id: str, power_w: Sequence[float], failure: str) -> None:
        """Keep what the lamp drew, or why it could not be told."""
        parameters = {"id": visit_id, "power_w": list(power_w), "failure": failure}
        await self._database.run(_BLINKED, parameters)

    async def sign(
        self,
        visit_id: str,
        *,
        at_ms: int,
        note: str,
        results: Sequence[Check],
        audit: AuditEntry,
    ) -> None:
        """Keep that a visit was signed and what was seen."""
        seen = [[check.name, check.verdict.value, check.value] for check in results]
        async with self._database.begin() as connection:
            done = await connection.execute(
                _SIGN, {"id": visit_id, "at_ms": at_ms, "note": note, "results": json.dumps(seen)}
            )
            if done.rowcount:
                await self._database.audit(connection, audit)

    async def of_pole(self, pole_code: str) -> list[Visit]:
        """Return the visits to a pole, newest first."""
        rows = await self._database.rows(_OF_POLE, {"pole_code": pole_code})
        return [_visit(row) for row in rows]


def _row(visit: Visit) -> dict[str, object]:
    place = visit.place
    return {
        "id": visit.visit_id,
        "node_number": visit.node_number,
        "pole_code": visit.pole_code,
        "technician": visit.technician,
        "began_at_ms": visit.began_at_ms,
        "received_at_ms": visit.received_at_ms,
        "latitude_deg": place.latitude_deg if place else None,
        "longitude_deg": place.longitude_deg if place else None,
        "accuracy_m": place.accuracy_m if place else None,
    }


def _visit(row: Row[Any]) -> Visit:
    place = None
    if row.latitude_deg is not None:
        place = Place(row.latitude_deg, row.longitude_deg, row.accuracy_m)
    return Visit(
        visit_id=row.id,
        node_number=row.node_number,
        pole_code=row.pole_code,
        technician=row.technician,
        began_at_ms=row.began_at_ms,
        received_at_ms=row.received_at_ms,
        place=place,
        blink_w=tuple(row.blink_w),
        blink_failure=row.blink_failure,
        signed_at_ms=row.signed_at_ms,
        note=row.note,
        conflict=row.conflict,
        results=tuple(Check(name, Verdict(verdict), value) for name, verdict, value in row.results),
    )
