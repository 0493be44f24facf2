"""Connections to PostgreSQL, one transaction at a time, and the audit chain that they share.

Not the statements of the stores; each store module has its own.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from sqlalchemy import Row, TextClause, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from poleward_fleet.adapters.sql.secret_box import SecretBox
from poleward_fleet.domain.audit import GENESIS, AuditEntry, chain_digest
from poleward_fleet.domain.errors import InvalidError, PeerUnreachableError, UnavailableError
from poleward_fleet.ports.clock import Clock

OLDEST_SERVER = 180000  # RETURNING old.… came with PostgreSQL 18
READY_TIMEOUT_S = 3
_CONNECT_TIMEOUT_S = 10
_STATEMENT_TIMEOUT_S = 60
_AUDIT_LOCK = 0x61756474

_LAST_DIGEST = text("SELECT number, digest FROM audit ORDER BY number DESC LIMIT 1")
_APPEND_AUDIT = text(
    "INSERT INTO audit (number, at_ms, actor, action, subject, detail, digest) "
    "VALUES (:number, :at_ms, :actor, :action, :subject, CAST(:detail AS jsonb), :digest)"
)


def make_engine(url: str) -> AsyncEngine:
    """Return an engine with deadlines on connecting and on every statement."""
    engine = create_async_engine(
        url,
        pool_size=12,
        max_overflow=8,
        pool_timeout=_CONNECT_TIMEOUT_S,
        connect_args={"timeout": _CONNECT_TIMEOUT_S, "command_timeout": _STATEMENT_TIMEOUT_S},
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(
    connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
) -> None:
    """Have the pool connect anew after the server went away.

    The driver knows that by itself; asking the server, as a ping does, would cost each transaction
    three more round trips.
    """
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


def asyncpg_url(database_url: str) -> str:
    """Turn the usual postgresql:// or postgres:// into the URL of our driver."""
    for prefix in ("postgresql+asyncpg://", "postgresql://", "postgres://"):
        if database_url.startswith(prefix):
            return "postgresql+asyncpg://" + database_url.removeprefix(prefix)
    return database_url


async def check_server(engine: AsyncEngine) -> None:
    """Insist on a server that answers and is new enough.

    Raises:
        PeerUnreachableError: Says which of both failed and what to do.
    """
    where = engine.url.render_as_string(hide_password=True)
    try:
        async with engine.connect() as connection:
            version = int((await connection.execute(text("SHOW server_version_num"))).scalar_one())
    except (DBAPIError, OSError, TimeoutError) as error:
        reason = error.orig if isinstance(error, DBAPIError) and error.orig else error
        raise PeerUnreachableError(
            f"the database {where} cannot be reached: {reason or type(error).__name__}; "
            "check that PostgreSQL runs there and that address, name and password are right"
        ) from error
    if version < OLDEST_SERVER:
        raise PeerUnreachableError(
            f"the database {where} is PostgreSQL {version // 10000}; version 18 or newer is needed"
        )


class Database:
    """Transactions on one engine.

    Args:
        engine: Where.
        box: Opens and seals the columns that hold secrets.
        clock: Stamps audit records.
    """

    def __init__(self, engine: AsyncEngine, box: SecretBox, clock: Clock) -> None:
        self._engine = engine
        # One statement is a transaction anyway: no BEGIN and COMMIT on the wire.
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.box = box
        self.clock = clock

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a transaction; it commits at the end of the block.

        Raises:
            UnavailableError: The database is away or too busy.
            InvalidError: A value is none that PostgreSQL can hold, e.g. a text with a NUL.
        """
        return self._begin(self._engine)

    @asynccontextmanager
    async def _begin(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        try:
            async with engine.begin() as connection:
                yield connection
        except (OSError, TimeoutError) as error:
            raise UnavailableError(f"the database does not answer: {error!r}") from error
        except IntegrityError:
            raise
        except DBAPIError as error:
            if error.connection_invalidated:
                raise UnavailableError(f"the database went away: {error.orig}") from error
            if _is_bad_value(error):
                raise InvalidError(f"a value cannot be stored: {error.orig}") from error
            raise

    async def is_ready(self) -> bool:
        """Say whether the database answers, within READY_TIMEOUT_S."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self.rows(text("SELECT 1"))
        except (UnavailableError, TimeoutError, DBAPIError):
            return False
        return True

    async def rows(
        self, statement: TextClause, parameters: Mapping[str, Any] | None = None
    ) -> list[Row[Any]]:
        """Run one statement in a transaction of its own."""
        async with self._begin(self._single) as connection:
            return list((await connection.execute(statement, parameters)).all())

    async def run(self, statement: TextClause, parameters: Mapping[str, Any] | None = None) -> int:
        """Run one statement in a transaction of its own; return how many rows it touched."""
        async with self._begin(self._single) as connection:
            return int((await connection.execute(statement, parameters)).rowcount)

    async def audit(self, connection: AsyncConnection, *entries: AuditEntry) -> None:
        """Append to the chain within a transaction; other appenders wait until it ends.

        So it comes last: who waits here should hold nothing that the one before still needs.
        """
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _AUDIT_LOCK})
        last = (await connection.execute(_LAST_DIGEST)).one_or_none()
        newest, digest = (last.number, bytes(last.digest)) if last else (0, GENESIS)
        at_ms = self.clock.now_ms()
        rows: list[dict[str, Any]] = []
        for number, entry in enumerate(entries, newest + 1):
            digest = chain_digest(digest, at_ms, entry)
            rows.append(
                {
                    "number": number,
                    "at_ms": at_ms,
                    "actor": entry.actor,
                    "action": entry.action,
                    "subject": entry.subject,
                    "detail": json.dumps(dict(entry.detail)),
                    "digest": digest,
                }
            )
        await connection.execute(_APPEND_AUDIT, rows)


def _is_bad_value(error: DBAPIError) -> bool:
    """Tell whether the data is at fault: SQLSTATE class 22, or what the driver cannot encode."""
    cause = error.orig.__cause__ if error.orig else None
    return str(getattr(cause, "sqlstate", "")).startswith("22") or isinstance(cause, ValueError)


def broken_constraint(error: IntegrityError) -> str:
    """Return the name of the constraint that an error is about; empty when it is about none."""
    return getattr(error.orig.__cause__, "constraint_name", None) or "" if error.orig else ""
