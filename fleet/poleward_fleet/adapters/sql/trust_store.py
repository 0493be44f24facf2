"""Release keys and trust documents in PostgreSQL.

Not releases (release_store.py).
"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.adapters.sql.desired_releases import direct_again
from poleward_fleet.adapters.sql.directive_signing import directive_keys, make_key
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError
from poleward_fleet.domain.trust import DirectiveKey, KeyRole, ReleaseKey, Trust, TrustDocument

_KEYS = text("SELECT * FROM release_key ORDER BY trusted_at_ms, public_key")
_DOCUMENTS = text("SELECT * FROM trust_document ORDER BY version")
_PUT_KEY = text(
    "INSERT INTO release_key (public_key, name, trusted_at_ms) "
    "VALUES (:public_key, :name, :now_ms) ON CONFLICT (public_key) DO NOTHING"
)
_REVOKE = text(
    "UPDATE release_key SET revoked_at_ms = :now_ms, revoked_by = :by "
    "WHERE public_key = :public_key AND revoked_at_ms IS NULL"
)
_REVOKE_OTHERS = text(
    "UPDATE release_key SET revoked_at_ms = :now_ms, revoked_by = :by "
    "WHERE revoked_at_ms IS NULL AND public_key <> ALL (CAST(:kept AS bytea[]))"
)
_PUT_DOCUMENT = text(
    "INSERT INTO trust_document (version, digest, document, root_keys, root_threshold, "
    "release_keys, release_threshold, directive_keys, directive_threshold, expires_at_ms, "
    "published_at_ms, published_by) VALUES (:version, :digest, :document, "
    "CAST(:root_keys AS bytea[]), :root_threshold, CAST(:release_keys AS bytea[]), "
    ":release_threshold, CAST(:directive_keys AS bytea[]), :directive_threshold, :expires_at_ms, "
    ":published_at_ms, :published_by)"
)
_EVERY_REVISION = text("UPDATE gateway SET desired_revision = desired_revision + 1 RETURNING name")


class SqlTrustStore:
    """TrustStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def trust(self) -> Trust:
        """Return everything."""
        async with self._database.begin() as connection:
            keys = [
                ReleaseKey(
                    bytes(row.public_key),
                    row.name,
                    row.trusted_at_ms,
                    row.revoked_at_ms or 0,
                    row.revoked_by,
                )
                for row in await connection.execute(_KEYS)
            ]
            documents = [
                TrustDocument(
                    version=row.version,
                    digest=bytes(row.digest),
                    signed=bytes(row.document),
                    root=_role(row.root_keys, row.root_threshold),
                    release=_role(row.release_keys, row.release_threshold),
                    directive=_role(row.directive_keys, row.directive_threshold),
                    expires_at_ms=row.expires_at_ms,
                    published_at_ms=row.published_at_ms,
                    published_by=row.published_by,
                )
                for row in await connection.execute(_DOCUMENTS)
            ]
            return Trust(tuple(keys), tuple(documents), await directive_keys(connection))

    async def put_key(self, key: ReleaseKey, audit: AuditEntry) -> list[str]:
        """Trust a key; one that is known stays as it is."""
        async with self._database.begin() as connection:
            done = await connection.execute(
                _PUT_KEY,
                {"public_key": key.public_key, "name": key.name, "now_ms": key.trusted_at_ms},
            )
            return await self._tell(connection, audit) if done.rowcount else []

    async def revoke_key(self, key: ReleaseKey, audit: AuditEntry) -> list[str]:
        """Keep when and by whom a key was revoked."""
        async with self._database.begin() as connection:
            done = await connection.execute(
                _REVOKE,
                {"public_key": key.public_key, "now_ms": key.revoked_at_ms, "by": key.revoked_by},
            )
            return await self._tell(connection, audit) if done.rowcount else []

    async def put_document(self, document: TrustDocument, audit: AuditEntry) -> list[str]:
        """Keep a document; release keys that it does not name are revoked."""
        keys = document.release.keys
        name = f"trust document {document.version}"
        now_ms = document.published_at_ms
        try:
            async with self._database.begin() as connection:
                await connection.execute(
                    _PUT_DOCUMENT,
                    {
                        "version": document.version,
                        "digest": document.digest,
                        "document": document.signed,
                        "root_keys": list(document.root.keys),
                        "root_threshold": document.root.threshold,
                        "release_keys": list(keys),
                        "release_threshold": document.release.threshold,
                        "directive_keys": list(document.directive.keys),
                        "directive_threshold": document.directive.threshold,
                        "expires_at_ms": document.expires_at_ms,
                        "published_at_ms": now_ms,
                        "published_by": document.published_by,
                    },
                )
                await connection.execute(
                    _REVOKE_OTHERS, {"kept": list(keys), "now_ms": now_ms, "by": name}
                )
                for key in keys:
                    await connection.execute(
                        _PUT_KEY, {"public_key": key, "name": name, "now_ms": now_ms}
                    )
                # What is under way goes on under the keys of this document.
                await direct_again(connection, now_ms=now_ms, directed_before_ms=now_ms + 1)
                return await self._tell(connection, audit)
        except IntegrityError as error:
            raise ConflictError(
                f"{name} was published by somebody else meanwhile; sign the one after it"
            ) from error

    async def make_directive_key(self, audit: AuditEntry, *, only_first: bool) -> DirectiveKey:
        """Make a key, or return the oldest where only the first is wanted and there is one."""
        async with self._database.begin() as connection:
            known = await directive_keys(connection)
            if only_first and known:
                return known[0]
            key = await make_key(connection, self._database.box, self._database.clock.now_ms())
            await self._database.audit(connection, replace(audit, subject=key.key_id.hex()))
            return key

    async def _tell(self, connection: AsyncConnection, audit: AuditEntry) -> list[str]:
        names = [row.name for row in await connection.execute(_EVERY_REVISION)]
        await self._database.audit(connection, audit)
        return names


def _role(keys: Sequence[bytes], threshold: int) -> KeyRole:
    return KeyRole(tuple(map(bytes, keys)), threshold)
