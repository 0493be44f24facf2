"""What the services need to keep accounts, sessions and API tokens.

Not an implementation (adapters).
"""

from dataclasses import dataclass
from typing import Protocol

from poleward_fleet.domain.accounts import Account, BrowserSession
from poleward_fleet.domain.api_tokens import ApiToken
from poleward_fleet.domain.audit import AuditEntry


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account as stored.

    Args:
        name: Unique.
        password_hash: Argon2id; empty for nobody who signs in with a password.
        roles: Values of domain.accounts.Role.
        area_code: Root of its subtree; empty for everywhere.
        external_id: Who it is at the identity provider; empty for a local account.
    """

    name: str
    password_hash: str
    roles: tuple[str, ...]
    area_code: str
    external_id: str = ""

    def __repr__(self) -> str:
        return f"StoredAccount(name={self.name!r})"


class AccountStore(Protocol):
    """Accounts, browser sessions and API tokens; only hashes of secrets."""

    async def account(self, name: str) -> StoredAccount | None:
        """Return an account."""

    async def account_of(self, external_id: str) -> StoredAccount | None:
        """Return the account of somebody at the identity provider."""

    async def accounts(self, now_ms: int) -> list[Account]:
        """Return all accounts by name."""

    async def put_account(self, account: StoredAccount, now_ms: int, audit: AuditEntry) -> None:
        """Add or replace an account; its sessions end."""

    async def drop_account(self, name: str, audit: AuditEntry) -> None:
        """Remove an account with its sessions and API tokens."""

    async def has_accounts(self) -> bool:
        """Tell whether any account exists."""

    async def put_session(
        self, token_hash: bytes, session: BrowserSession, audit: AuditEntry
    ) -> None:
        """Keep a session; its number is given here, and expired ones are dropped on the way."""

    async def session_account(self, token_hash: bytes, now_ms: int) -> StoredAccount | None:
        """Return whose session it is, unless expired, and note that it is in use."""

    async def sessions(self, now_ms: int) -> list[BrowserSession]:
        """Return the sessions that are open, newest first."""

    async def drop_session(self, token_hash: bytes, audit: AuditEntry) -> None:
        """Forget a session; recorded when there was one."""

    async def end_session(self, number: int, audit: AuditEntry) -> None:
        """Forget a session by its number."""

    async def put_api_token(self, token_hash: bytes, token: ApiToken, audit: AuditEntry) -> None:
        """Keep an API token; its number is given here."""

    async def api_tokens(self, now_ms: int) -> list[ApiToken]:
        """Return the API tokens that have not expired, by number."""

    async def drop_api_token(self, number: int, audit: AuditEntry) -> None:
        """Remove an API token."""

    async def api_token_account(
        self, token_hash: bytes, now_ms: int
    ) -> tuple[StoredAccount, ApiToken] | None:
        """Return whose API token it is, unless expired, and note that it is in use."""


class PasswordHasher(Protocol):
    """Slow hashes of passwords and claim codes (Argon2id)."""

    async def hash(self, secret: str) -> str:
        """Return a PHC string."""

    async def verify(self, phc: str, secret: str) -> bool:
        """Tell whether the secret belongs to the hash; takes the same time either way."""
