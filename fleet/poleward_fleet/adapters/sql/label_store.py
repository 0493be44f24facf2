"""Labels of poles in PostgreSQL.

Not what they are used for (rollout_plan.py).
"""

from collections.abc import Collection

from sqlalchemy import text

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.labels import LabelCount
from poleward_fleet.ports.areas import AllowedAreas

_CHANGE = text(
    "UPDATE pole SET labels = ARRAY(SELECT DISTINCT label FROM unnest(labels || "
    "CAST(:add AS text[])) AS given (label) WHERE label <> ALL (CAST(:remove AS text[])) "
    "ORDER BY label) WHERE code = ANY (CAST(:codes AS text[])) "
    "AND (CAST(:areas AS text[]) IS NULL OR area_code = ANY (CAST(:areas AS text[]))) "
    "RETURNING code"
)
_COUNTS = text(
    "SELECT label, count(*) AS poles FROM pole CROSS JOIN LATERAL unnest(labels) AS given (label) "
    "WHERE CAST(:areas AS text[]) IS NULL OR area_code = ANY (CAST(:areas AS text[])) "
    "GROUP BY label ORDER BY label"
)
_NAMED_IN_ERROR = 10


class SqlLabelStore:
    """LabelStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def change(
        self,
        pole_codes: Collection[str],
        areas: AllowedAreas,
        *,
        add: Collection[str],
        remove: Collection[str],
        audit: AuditEntry,
    ) -> None:
        """Give labels to poles and take labels away, all poles or none."""
        async with self._database.begin() as connection:
            rows = await connection.execute(
                _CHANGE,
                {
                    "codes": list(pole_codes),
                    "areas": None if areas is None else list(areas),
                    "add": list(add),
                    "remove": list(remove),
                },
            )
            unknown = sorted(set(pole_codes) - set(rows.scalars()))
            if unknown:
                raise InvalidError.of("unknown_poles", poles=", ".join(unknown[:_NAMED_IN_ERROR]))
            await self._database.audit(connection, audit)

    async def counts(self, areas: AllowedAreas) -> list[LabelCount]:
        """Return the labels that poles in the areas carry, by name."""
        named = {"areas": None if areas is None else list(areas)}
        rows = await self._database.rows(_COUNTS, named)
        return [LabelCount(row.label, row.poles) for row in rows]
