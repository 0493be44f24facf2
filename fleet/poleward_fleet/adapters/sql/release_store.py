"""Published releases and trusted release keys in PostgreSQL.

Not their content (adapters/artifacts).
"""

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError
from poleward_fleet.domain.releases import Release, ReleaseKey

_PUT_KEY = text(
    "INSERT INTO release_key (public_key, name, trusted_at_ms) "
    "VALUES (:public_key, :name, :now_ms) ON CONFLICT (public_key) DO NOTHING"
)
_EVERY_REVISION = text("UPDATE gateway SET desired_revision = desired_revision + 1 RETURNING name")
_KEYS = text("SELECT public_key, name FROM release_key ORDER BY trusted_at_ms, public_key")
_PUT = text(
    "INSERT INTO release (digest, version, sequence, board_profile, bundle_digest, bundle_bytes, "
    "notes, published_at_ms) VALUES (:digest, :version, :sequence, :board_profile, "
    ":bundle_digest, :bundle_bytes, :notes, :published_at_ms) ON CONFLICT (digest) DO NOTHING"
)
_GET = text("SELECT * FROM release WHERE digest = :digest")
_WITH_SEQUENCE = text(
    "SELECT * FROM release WHERE board_profile = :board_profile AND sequence = :sequence"
)
_ALL = text("SELECT * FROM release ORDER BY published_at_ms DESC, sequence DESC")


class SqlReleaseStore:
    """ReleaseStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_key(self, key: ReleaseKey, now_ms: int, audit: AuditEntry) -> list[str]:
        """Trust a key; return the gateways that have to be told."""
        async with self._database.begin() as connection:
            done = await connection.execute(
                _PUT_KEY, {"public_key": key.public_key, "name": key.name, "now_ms": now_ms}
            )
            if done.rowcount == 0:
                return []
            names = [row.name for row in await connection.execute(_EVERY_REVISION)]
            await self._database.audit(connection, audit)
            return names

    async def keys(self) -> list[ReleaseKey]:
        """Return the trusted keys."""
        rows = await self._database.rows(_KEYS)
        return [ReleaseKey(bytes(row.public_key), row.name) for row in rows]

    async def put(self, release: Release, audit: AuditEntry) -> None:
        """List a release; listing the same again is harmless."""
        try:
            async with self._database.begin() as connection:
                done = await connection.execute(
                    _PUT,
                    {
                        "digest": release.digest,
                        "version": release.version,
                        "sequence": release.sequence,
                        "board_profile": release.board_profile,
                        "bundle_digest": release.bundle_digest,
                        "bundle_bytes": release.bundle_bytes,
                        "notes": release.notes,
                        "published_at_ms": release.published_at_ms,
                    },
                )
                if done.rowcount:
                    await self._database.audit(connection, audit)
        except IntegrityError as error:
            raise ConflictError(
                f"another release for {release.board_profile} has sequence number "
                f"{release.sequence}; sign it again with a higher one"
            ) from error

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
    )
