"""Which patches between components were made, in PostgreSQL.

Not their content (adapters/artifacts).
"""

from sqlalchemy import text

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.releases import Patch, PatchState

_GET = text(
    "SELECT digest, size_bytes FROM patch WHERE source_digest = :source AND target_digest = :target"
)
_PUT = text(
    "INSERT INTO patch (source_digest, target_digest, digest, size_bytes, made_at_ms) "
    "VALUES (:source, :target, :digest, :size_bytes, :now_ms) ON CONFLICT DO NOTHING"
)


class SqlPatchStore:
    """PatchStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, source_digest: bytes, target_digest: bytes) -> Patch | None:
        """Return what came of making a patch, None when nobody tried."""
        rows = await self._database.rows(_GET, {"source": source_digest, "target": target_digest})
        if not rows:
            return None
        if rows[0].digest is None:
            return Patch(PatchState.NONE)
        return Patch(PatchState.READY, bytes(rows[0].digest), rows[0].size_bytes)

    async def put(
        self, source_digest: bytes, target_digest: bytes, patch: Patch, now_ms: int
    ) -> None:
        """Keep what came of making a patch; a second time is harmless."""
        async with self._database.begin() as connection:
            await connection.execute(
                _PUT,
                {
                    "source": source_digest,
                    "target": target_digest,
                    "digest": patch.digest or None,
                    "size_bytes": patch.size_bytes,
                    "now_ms": now_ms,
                },
            )
