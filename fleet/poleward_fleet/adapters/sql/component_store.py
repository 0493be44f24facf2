"""Components of releases in PostgreSQL, and which nodes run them.

Not the releases (release_store.py).
"""

from collections.abc import Sequence

from sqlalchemy import text

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.identity import endpoint_name
from poleward_fleet.domain.sbom import Affected, AffectedNode, SoftwareComponent, version_order
from poleward_fleet.ports.areas import AllowedAreas

_PUT = text(
    "INSERT INTO release_component (release_digest, name, version, version_order) "
    "SELECT :release_digest, c.name, c.version, "
    "CAST(string_to_array(c.version_order, '.') AS integer[]) "
    "FROM unnest(CAST(:name AS text[]), CAST(:version AS text[]), CAST(:version_order AS text[])) "
    "AS c (name, version, version_order) ON CONFLICT DO NOTHING"
)
_OF_RELEASE = text(
    "SELECT name, version FROM release_component WHERE release_digest = :release_digest "
    "ORDER BY name, version_order"
)
# Few releases are affected, so nodes are found by what they run.
_AFFECTED = text(
    "SELECT n.number, n.mac, n.pole_code, r.release_version, r.component_version, "
    "count(*) OVER () AS total FROM (SELECT DISTINCT ON (r.board_profile, r.sequence) "
    "r.board_profile, r.sequence, r.version AS release_version, c.version AS component_version "
    "FROM release_component AS c JOIN release AS r ON r.digest = c.release_digest "
    "WHERE c.name = :component AND c.version_order < CAST(:below AS integer[]) "
    "ORDER BY r.board_profile, r.sequence) AS r "
    "JOIN node AS n ON n.release_sequence = r.sequence AND n.board_profile = r.board_profile "
    "LEFT JOIN pole AS p ON p.code = n.pole_code "
    "WHERE (:everywhere OR p.area_code = ANY (CAST(:areas AS text[]))) "
    "ORDER BY n.number LIMIT :limit"
)


class SqlComponentStore:
    """ComponentStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, release_digest: bytes, components: Sequence[SoftwareComponent]) -> None:
        """Keep what a release is made of; the same again is harmless."""
        orders = [version_order(one.version) for one in components]
        await self._database.run(
            _PUT,
            {
                "release_digest": release_digest,
                "name": [one.name for one in components],
                "version": [one.version for one in components],
                "version_order": [".".join(map(str, order)) for order in orders],
            },
        )

    async def of_release(self, release_digest: bytes) -> tuple[SoftwareComponent, ...]:
        """Return what a release is made of, by name; empty when nobody said."""
        rows = await self._database.rows(_OF_RELEASE, {"release_digest": release_digest})
        return tuple(SoftwareComponent(row.name, row.version) for row in rows)

    async def affected(
        self, component: str, below: tuple[int, ...], areas: AllowedAreas, limit: int
    ) -> Affected:
        """Find the nodes whose running release has a component below a version."""
        rows = await self._database.rows(
            _AFFECTED,
            {
                "component": component,
                "below": list(below),
                "everywhere": areas is None,
                "areas": sorted(areas or ()),
                "limit": limit,
            },
        )
        nodes = tuple(
            AffectedNode(
                row.number,
                endpoint_name(row.mac),
                row.pole_code or "",
                row.release_version,
                row.component_version,
            )
            for row in rows
        )
        return Affected(rows[0].total if rows else 0, nodes)
