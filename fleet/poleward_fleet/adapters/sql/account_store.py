"""Accounts, browser sessions and API tokens in PostgreSQL.

Not passwords or tokens themselves: only hashes come here.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text

from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.adapters.sql.grouping import Grouping
from poleward_fleet.domain.accounts import (
    Account,
    BrowserSession,
    Permission,
    Role,
    SignIn,
)
from poleward_fleet.domain.api_tokens import ApiToken
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.ports.accounts import StoredAccount

# A token or session in use is written down at most this often.
_NOTE_MS = 60_000

_ACCOUNT = text("SELECT * FROM account WHERE name = :name")
_ACCOUNT_OF = text("SELECT * FROM account WHERE external_id = :external_id")
_PUT_ACCOUNT = text(
    "INSERT INTO account (name, password_hash, external_id, roles, area_code, created_at_ms) "
    "VALUES (:name, :password_hash, NULLIF(:external_id, ''), CAST(:roles AS text[]), "
    "NULLIF(:area_code, ''), :now_ms) "
    "ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash, "
    "external_id = excluded.external_id, roles = excluded.roles, area_code = excluded.area_code"
)
_ACCOUNTS = text(
    "SELECT a.*, (SELECT count(*) FROM api_token t "
    "WHERE t.account_name = a.name AND t.expires_at_ms > :now_ms) AS api_token_count "
    "FROM account a ORDER BY a.name"
)
_DROP_ACCOUNT = text("DELETE FROM account WHERE name = :name")
_DROP_SESSIONS = text("DELETE FROM session WHERE account_name = :name")
_ANY = text("SELECT EXISTS (SELECT FROM account)")
_EXPIRE = text("DELETE FROM session WHERE expires_at_ms <= :now_ms")
_PUT_SESSION = text(
    "INSERT INTO session (token_hash, account_name, started_at_ms, seen_at_ms, expires_at_ms, "
    "remote, agent) VALUES (:token_hash, :name, :now_ms, :now_ms, :expires_at_ms, :remote, :agent)"
)
_SESSION = text(
    "SELECT a.*, s.seen_at_ms FROM session s JOIN account a ON a.name = s.account_name "
    "WHERE s.token_hash = :token_hash AND s.expires_at_ms > :now_ms"
)
_SEEN = text("UPDATE session SET seen_at_ms = :now_ms WHERE token_hash = :token_hash")
_SESSIONS = text("SELECT * FROM session WHERE expires_at_ms > :now_ms ORDER BY number DESC")
_DROP = text("DELETE FROM session WHERE token_hash = :token_hash")
_END = text("DELETE FROM session WHERE number = :number")
_PUT_TOKEN = text(
    "INSERT INTO api_token (token_hash, account_name, label, scopes, calls_per_s, created_at_ms, "
    "created_by, expires_at_ms) VALUES (:token_hash, :name, :label, CAST(:scopes AS text[]), "
    ":calls_per_s, :now_ms, :created_by, :expires_at_ms)"
)
_TOKENS_IN_USE = text(
    "SELECT a.*, t.token_hash, t.number, t.account_name, t.label, t.scopes, t.calls_per_s, "
    "t.created_at_ms AS made_at_ms, t.created_by, t.expires_at_ms, t.used_at_ms "
    "FROM api_token t JOIN account a ON a.name = t.account_name "
    "WHERE t.token_hash = ANY (CAST(:token_hashes AS bytea[])) AND t.expires_at_ms > :now_ms"
)
_USED = text(
    "UPDATE api_token SET used_at_ms = :now_ms "
    "WHERE token_hash = ANY (CAST(:token_hashes AS bytea[])) AND used_at_ms <= :noted_ms"
)
_TOKENS = text(
    "SELECT *, created_at_ms AS made_at_ms FROM api_token "
    "WHERE expires_at_ms > :now_ms ORDER BY number"
)
_DROP_TOKEN = text("DELETE FROM api_token WHERE number = :number")


class SqlAccountStore:
    """AccountStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tokens_in_use = Grouping(self._find_tokens)

    async def account(self, name: str) -> StoredAccount | None:
        """Return an account."""
        rows = await self._database.rows(_ACCOUNT, {"name": name})
        return _stored(rows[0]) if rows else None

    async def account_of(self, external_id: str) -> StoredAccount | None:
        """Return the account of somebody at the identity provider."""
        rows = await self._database.rows(_ACCOUNT_OF, {"external_id": external_id})
        return _stored(rows[0]) if rows else None

    async def accounts(self, now_ms: int) -> list[Account]:
        """Return all accounts by name."""
        return [
            Account(
                row.name,
                frozenset(Role(role) for role in row.roles),
                row.area_code or "",
                row.api_token_count,
                _signs_in(row),
            )
            for row in await self._database.rows(_ACCOUNTS, {"now_ms": now_ms})
        ]

    async def put_account(self, account: StoredAccount, now_ms: int, audit: AuditEntry) -> None:
        """Add or replace an account; its sessions end."""
        async with self._database.begin() as connection:
            await connection.execute(
                _PUT_ACCOUNT,
                {
                    "name": account.name,
                    "password_hash": account.password_hash,
                    "external_id": account.external_id,
                    "roles": list(account.roles),
                    "area_code": account.area_code,
                    "now_ms": now_ms,
                },
            )
            await connection.execute(_DROP_SESSIONS, {"name": account.name})
            await self._database.audit(connection, audit)

    async def drop_account(self, name: str, audit: AuditEntry) -> None:
        """Remove an account with its sessions and API tokens."""
        async with self._database.begin() as connection:
            await connection.execute(_DROP_ACCOUNT, {"name": name})
            await self._database.audit(connection, audit)

    async def has_accounts(self) -> bool:
        """Tell whether any account exists."""
        return bool((await self._database.rows(_ANY))[0][0])

    async def put_session(
        self, token_hash: bytes, session: BrowserSession, audit: AuditEntry
    ) -> None:
        """Keep a session; its number is given here, and expired ones are dropped on the way."""
        async with self._database.begin() as connection:
            await connection.execute(_EXPIRE, {"now_ms": session.started_at_ms})
            await connection.execute(
                _PUT_SESSION,
                {
                    "token_hash": token_hash,
                    "name": session.account_name,
                    "now_ms": session.started_at_ms,
                    "expires_at_ms": session.expires_at_ms,
                    "remote": session.remote,
                    "agent": session.agent,
                },
            )
            await self._database.audit(connection, audit)

    async def session_account(self, token_hash: bytes, now_ms: int) -> StoredAccount | None:
        """Return whose session it is, unless expired, and note that it is in use."""
        wanted = {"token_hash": token_hash, "now_ms": now_ms}
        rows = await self._database.rows(_SESSION, wanted)
        if not rows:
            return None
        if rows[0].seen_at_ms + _NOTE_MS <= now_ms:
            await self._database.run(_SEEN, wanted)
        return _stored(rows[0])

    async def sessions(self, now_ms: int) -> list[BrowserSession]:
        """Return the sessions that are open, newest first."""
        return [
            BrowserSession(
                number=row.number,
                account_name=row.account_name,
                started_at_ms=row.started_at_ms,
                seen_at_ms=row.seen_at_ms,
                expires_at_ms=row.expires_at_ms,
                remote=row.remote,
                agent=row.agent,
            )
            for row in await self._database.rows(_SESSIONS, {"now_ms": now_ms})
        ]

    async def drop_session(self, token_hash: bytes, audit: AuditEntry) -> None:
        """Forget a session; recorded when there was one."""
        async with self._database.begin() as connection:
            if (await connection.execute(_DROP, {"token_hash": token_hash})).rowcount:
                await self._database.audit(connection, audit)

    async def end_session(self, number: int, audit: AuditEntry) -> None:
        """Forget a session by its number."""
        async with self._database.begin() as connection:
            if (await connection.execute(_END, {"number": number})).rowcount:
                await self._database.audit(connection, audit)

    async def put_api_token(self, token_hash: bytes, token: ApiToken, audit: AuditEntry) -> None:
        """Keep an API token; its number is given here."""
        async with self._database.begin() as connection:
            await connection.execute(
                _PUT_TOKEN,
                {
                    "token_hash": token_hash,
                    "name": token.account_name,
                    "label": token.label,
                    "scopes": sorted(scope.value for scope in token.scopes),
                    "calls_per_s": token.calls_per_s,
                    "now_ms": token.created_at_ms,
                    "created_by": token.created_by,
                    "expires_at_ms": token.expires_at_ms,
                },
            )
            await self._database.audit(connection, audit)

    async def api_tokens(self, now_ms: int) -> list[ApiToken]:
        """Return the API tokens that have not expired, by number."""
        rows = await self._database.rows(_TOKENS, {"now_ms": now_ms})
        return [_token(row) for row in rows]

    async def drop_api_token(self, number: int, audit: AuditEntry) -> None:
        """Remove an API token."""
        async with self._database.begin() as connection:
            if (await connection.execute(_DROP_TOKEN, {"number": number})).rowcount:
                await self._database.audit(connection, audit)

    async def api_token_account(
        self, token_hash: bytes, now_ms: int
    ) -> tuple[StoredAccount, ApiToken] | None:
        """Return whose API token it is, unless expired, and note that it is in use."""
        return await self._tokens_in_use.ask((token_hash, now_ms))

    async def _find_tokens(
        self, asked: Sequence[tuple[bytes, int]]
    ) -> list[tuple[StoredAccount, ApiToken] | None]:
        now_ms = max(asked_at_ms for _, asked_at_ms in asked)
        wanted = {"token_hashes": list({token_hash for token_hash, _ in asked}), "now_ms": now_ms}
        rows = await self._database.rows(_TOKENS_IN_USE, wanted)
        if any(row.used_at_ms + _NOTE_MS <= now_ms for row in rows):
            await self._database.run(_USED, wanted | {"noted_ms": now_ms - _NOTE_MS})
        found = {bytes(row.token_hash): (_stored(row), _token(row)) for row in rows}
        return [found.get(token_hash) for token_hash, _ in asked]


def _stored(row: Row[Any]) -> StoredAccount:
    return StoredAccount(
        row.name, row.password_hash, tuple(row.roles), row.area_code or "", row.external_id or ""
    )


def _signs_in(row: Row[Any]) -> SignIn:
    if row.external_id:
        return SignIn.SINGLE_SIGN_ON
    return SignIn.PASSWORD if row.password_hash else SignIn.NEVER


def _token(row: Row[Any]) -> ApiToken:
    return ApiToken(
        number=row.number,
        account_name=row.account_name,
        label=row.label,
        # A scope that this version does not know allows nothing.
        scopes=frozenset(scope for scope in Permission if scope.value in row.scopes),
        calls_per_s=row.calls_per_s,
        created_at_ms=row.made_at_ms,
        created_by=row.created_by,
        expires_at_ms=row.expires_at_ms,
        used_at_ms=row.used_at_ms,
    )
