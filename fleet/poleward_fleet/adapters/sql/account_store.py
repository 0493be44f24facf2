"""Accounts, browser sessions and API tokens in PostgreSQL.

Not passwords or tokens themselves: only hashes come here.
"""

from typing import Any

from sqlalchemy import Row, text

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.domain.accounts import Account, Role
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.ports.accounts import StoredAccount

_COLUMNS = "a.name, a.password_hash, a.roles, coalesce(a.area_code, '') AS area_code"
_ACCOUNT = text(f"SELECT {_COLUMNS} FROM account a WHERE name = :name")  # noqa: S608 — constant
_PUT_ACCOUNT = text(
    "INSERT INTO account (name, password_hash, roles, area_code, created_at_ms) "
    "VALUES (:name, :password_hash, CAST(:roles AS text[]), NULLIF(:area_code, ''), :now_ms) "
    "ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash, "
    "roles = excluded.roles, area_code = excluded.area_code"
)
_ACCOUNTS = text(
    "SELECT a.name, a.roles, coalesce(a.area_code, '') AS area_code, "
    "(SELECT count(*) FROM api_token t WHERE t.account_name = a.name) AS api_token_count "
    "FROM account a ORDER BY a.name"
)
_DROP_ACCOUNT = text("DELETE FROM account WHERE name = :name")
_DROP_SESSIONS = text("DELETE FROM session WHERE account_name = :name")
_DROP_TOKENS = text("DELETE FROM api_token WHERE account_name = :name")
_ANY = text("SELECT EXISTS (SELECT FROM account)")
_EXPIRE = text("DELETE FROM session WHERE expires_at_ms <= :now_ms")
_PUT_SESSION = text(
    "INSERT INTO session (token_hash, account_name, expires_at_ms) "
    "VALUES (:token_hash, :name, :expires_at_ms)"
)
_SESSION = text(
    f"SELECT {_COLUMNS} FROM session s JOIN account a ON a.name = s.account_name "  # noqa: S608
    "WHERE s.token_hash = :token_hash AND s.expires_at_ms > :now_ms"
)
_DROP = text("DELETE FROM session WHERE token_hash = :token_hash")
_PUT_TOKEN = text(
    "INSERT INTO api_token (token_hash, account_name, created_at_ms) "
    "VALUES (:token_hash, :name, :now_ms)"
)
_TOKEN = text(
    f"SELECT {_COLUMNS} FROM api_token t JOIN account a ON a.name = t.account_name "  # noqa: S608
    "WHERE t.token_hash = :token_hash"
)


class SqlAccountStore:
    """AccountStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def account(self, name: str) -> StoredAccount | None:
        """Return an account."""
        return _first(await self._database.rows(_ACCOUNT, {"name": name}))

    async def accounts(self) -> list[Account]:
        """Return all accounts by name."""
        return [
            Account(
                row.name,
                frozenset(Role(role) for role in row.roles),
                row.area_code,
                row.api_token_count,
            )
            for row in await self._database.rows(_ACCOUNTS)
        ]

    async def drop_account(self, name: str, audit: AuditEntry) -> None:
        """Remove an account with its sessions and API tokens."""
        async with self._database.begin() as connection:
            await connection.execute(_DROP_ACCOUNT, {"name": name})
            await self._database.audit(connection, audit)

    async def drop_api_tokens(self, name: str, audit: AuditEntry) -> int:
        """Remove the API tokens of an account; return how many there were."""
        async with self._database.begin() as connection:
            dropped = (await connection.execute(_DROP_TOKENS, {"name": name})).rowcount
            await self._database.audit(connection, audit)
        return dropped

    async def put_account(self, account: StoredAccount, now_ms: int, audit: AuditEntry) -> None:
        """Add or replace an account; its sessions end."""
        async with self._database.begin() as connection:
            await connection.execute(
                _PUT_ACCOUNT,
                {
                    "name": account.name,
                    "password_hash": account.password_hash,
                    "roles": list(account.roles),
                    "area_code": account.area_code,
                    "now_ms": now_ms,
                },
            )
            await connection.execute(_DROP_SESSIONS, {"name": account.name})
            await self._database.audit(connection, audit)

    async def has_accounts(self) -> bool:
        """Tell whether any account exists."""
        return bool((await self._database.rows(_ANY))[0][0])

    async def put_session(self, token_hash: bytes, name: str, expires_at_ms: int) -> None:
        """Keep a session; expired ones are dropped on the way."""
        async with self._database.begin() as connection:
            await connection.execute(_EXPIRE, {"now_ms": self._database.clock.now_ms()})
            await connection.execute(
                _PUT_SESSION,
                {"token_hash": token_hash, "name": name, "expires_at_ms": expires_at_ms},
            )

    async def session_account(self, token_hash: bytes, now_ms: int) -> StoredAccount | None:
        """Return whose session it is, unless expired."""
        return _first(
            await self._database.rows(_SESSION, {"token_hash": token_hash, "now_ms": now_ms})
        )

    async def drop_session(self, token_hash: bytes) -> None:
        """Forget a session."""
        await self._database.run(_DROP, {"token_hash": token_hash})

    async def put_api_token(
        self, token_hash: bytes, name: str, now_ms: int, audit: AuditEntry
    ) -> None:
        """Keep an API token."""
        async with self._database.begin() as connection:
            await connection.execute(
                _PUT_TOKEN, {"token_hash": token_hash, "name": name, "now_ms": now_ms}
            )
            await self._database.audit(connection, audit)

    async def api_token_account(self, token_hash: bytes) -> StoredAccount | None:
        """Return whose API token it is."""
        return _first(await self._database.rows(_TOKEN, {"token_hash": token_hash}))


def _first(rows: list[Row[Any]]) -> StoredAccount | None:
    if not rows:
        return None
    row = rows[0]
    return StoredAccount(row.name, row.password_hash, tuple(row.roles), row.area_code)
