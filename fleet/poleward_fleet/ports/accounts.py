"""What the services need to keep accounts, sessions and API tokens.

Not an implementation (adapters).
"""

from dataclasses import dataclass
from typing import Protocol

from poleward_fleet.domain.accounts import Account
from poleward_fleet.domain.audit import AuditEntry


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account as stored."""

    name: str
    password_hash: str
    roles: tuple[str, ...]
    area_code: str

    def __repr__(self) -> str:
        return f"StoredAccount(name={self.name!r})"


class AccountStore(Protocol):
    """Accounts, browser sessions and API tokens; only hashes of secrets."""

    async def account(self, name: str) -> StoredAccount | None:
        """Return an account."""

    async def accounts(self) -> list[Account]:
        """Return all accounts by name."""

    async def put_account(self, account: StoredAccount, now_ms: int, audit: AuditEntry) -> None:
        """Add or replace an account; its sessions end."""

    async def drop_account(self, name: str, audit: AuditEntry) -> None:
        """Remove an account with its sessions and API tokens."""

    async def has_accounts(self) -> bool:
        """Tell whether any account exists."""

    async def put_session(self, token_hash: bytes, name: str, expires_at_ms: int) -> None:
        """Keep a session; expired ones are dropped on the way."""

    async def session_account(self, token_hash: bytes, now_ms: int) -> StoredAccount | None:
        """Return whose session it is, unless expired."""

    async def drop_session(self, token_hash: bytes) -> None:
        """Forget a session."""

    async def put_api_token(
        self, token_hash: bytes, name: str, now_ms: int, audit: AuditEntry
    ) -> None:
        """Keep an API token."""

    async def drop_api_tokens(self, name: str, audit: AuditEntry) -> int:
        """Remove the API tokens of an account; return how many there were."""

    async def api_token_account(self, token_hash: bytes) -> StoredAccount | None:
        """Return whose API token it is."""


class PasswordHasher(Protocol):
    """Slow hashes of passwords and claim codes (Argon2id)."""

    async def hash(self, secret: str) -> str:
        """Return a PHC string."""

    async def verify(self, phc: str, secret: str) -> bool:
        """Tell whether the secret belongs to the hash; takes the same time either way."""
