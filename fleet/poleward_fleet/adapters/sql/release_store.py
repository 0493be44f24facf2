"""Published releases in PostgreSQL.

Not their content (adapters/artifacts) and not who may sign them (trust_store.py).
"""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, text

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError
from poleward_fleet.domain.releases import Release

_PUT = text(
    "INSERT INTO release (digest, version, sequence, board_profile, bundle_digest, bundle_bytes, "
    "image_digest, image_bytes, notes, published_at_ms, downgrade, signers) VALUES (:digest, "
    ":version, :sequence, :board_profile, :bundle_digest, :bundle_bytes, :image_digest, "
    ":image_bytes, :notes, :published_at_ms, :downgrade, CAST(:signers AS bytea[])) "
    "ON CONFLICT (digest) DO NOTHING"
)
# The same components may be published once more with a downgrade permission.
_IS_NUMBER_TAKEN = text(
    "SELECT EXISTS (SELECT FROM release WHERE board_profile = :board_profile "
    "AND sequence = :sequence AND digest <> :digest AND (downgrade = :downgrade "
    "OR bundle_digest <> :bundle_digest OR image_digest IS DISTINCT FROM :image_digest))"
)
_ALONE = text("LOCK TABLE release IN SHARE ROW EXCLUSIVE MODE")
_GET = text("SELECT * FROM release WHERE digest = :digest")
_WITH_SEQUENCE = text(
    "SELECT * FROM release WHERE board_profile = :board_profile AND sequence = :sequence"
)
_IMAGE_AT = text(
    "SELECT image_digest FROM release WHERE board_profile = :board_profile "
    "AND sequence <= :sequence AND image_digest IS NOT NULL ORDER BY sequence DESC LIMIT 1"
)
_ALL = text("SELECT * FROM release ORDER BY published_at_ms DESC, sequence DESC")


class SqlReleaseStore:
    """ReleaseStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, release: Release, audit: AuditEntry) -> None:
        """List a release; listing the same again is harmless."""
        named = asdict(release) | {"signers": list(release.signers)}
        async with self._database.begin() as connection:
            await connection.execute(_ALONE)
            if (await connection.execute(_IS_NUMBER_TAKEN, named)).scalar_one():
                raise ConflictError(
                    f"another release for {release.board_profile} has sequence number "
                    f"{release.sequence}; sign it again with a higher one"
                )
            if (await connection.execute(_PUT, named)).rowcount:
                await self._database.audit(connection, audit)

    async def get(self, digest: bytes) -> Release | None:
        """Return a release by the digest of its envelope."""
        rows = await self._database.rows(_GET, {"digest": digest})
        return release_of(rows[0]) if rows else None

    async def with_sequence(self, board_profile: str, sequence: int) -> Release | None:
        """Return the release of a kind of board that has a sequence number."""
        rows = await self._database.rows(
            _WITH_SEQUENCE, {"board_profile": board_profile, "sequence": sequence}
        )
        return release_of(rows[0]) if rows else None

    async def image_at(self, board_profile: str, sequence: int) -> bytes | None:
        """Return the image of the newest release up to a sequence number that has one."""
        rows = await self._database.rows(
            _IMAGE_AT, {"board_profile": board_profile, "sequence": sequence}
        )
        return bytes(rows[0].image_digest) if rows else None

    async def releases(self) -> list[Release]:
        """Return the releases, newest first."""
        return [release_of(row) for row in await self._database.rows(_ALL)]


def release_of(row: Row[Any]) -> Release:
    """Read a release."""
    return Release(
        digest=bytes(row.digest),
        version=row.version,
        sequence=row.sequence,
        board_profile=row.board_profile,
        published_at_ms=row.published_at_ms,
        notes=row.notes,
        bundle_digest=bytes(row.bundle_digest),
        bundle_bytes=row.bundle_bytes,
        image_digest=None if row.image_digest is None else bytes(row.image_digest),
        image_bytes=row.image_bytes,
        downgrade=row.downgrade,
        signers=tuple(map(bytes, row.signers)),
    )
