"""Accounts, logins in browsers and API tokens.

Not roles (domain/accounts.py) nor hashing (ports.PasswordHasher).
"""

import hashlib
import secrets

from poleward_fleet.domain.accounts import Principal, Role, Session
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import TooManyAttemptsError, UnauthenticatedError
from poleward_fleet.ports.accounts import AccountStore, PasswordHasher, StoredAccount
from poleward_fleet.ports.audit import AuditStore
from poleward_fleet.ports.clock import Clock

SESSION_MS = 12 * 3600_000
MAX_FAILURES = 5
LOCK_MS = 60_000
_MAX_TRACKED = 10_000
# Verified when the name is unknown, so that the answer takes as long as for a known one.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43


def token_hash(token: str) -> bytes:
    """Hash a token for storing; tokens are long and random, so a fast hash is right."""
    return hashlib.sha256(token.encode()).digest()


def secret_of(token: str) -> str:
    """Return the part of `<secret>.<CA fingerprint>` that is the secret."""
    return token.partition(".")[0]


class AttemptLimit:
    """Counts failures by key; after MAX_FAILURES further attempts wait LOCK_MS.

    Bounded: beyond _MAX_TRACKED keys the oldest are forgotten.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[int, int]] = {}

    def check(self, key: str) -> None:
        """Insist that the key may try.

        Raises:
            TooManyAttemptsError: Says how long to wait.
        """
        count, last_ms = self._failures.get(key, (0, 0))
        wait_ms = last_ms + LOCK_MS - self._clock.now_ms()
        if count >= MAX_FAILURES and wait_ms > 0:
            wait_s = -(-wait_ms // 1000)
            raise TooManyAttemptsError(f"too many failed attempts; try again in {wait_s} s", wait_s)

    def failed(self, key: str) -> None:
        """Count a failure."""
        count, last_ms = self._failures.pop(key, (0, 0))
        if last_ms + LOCK_MS < self._clock.now_ms():
            count = 0
        self._failures[key] = (count + 1, self._clock.now_ms())
        while len(self._failures) > _MAX_TRACKED:
            self._failures.pop(next(iter(self._failures)))

    def succeeded(self, key: str) -> None:
        """Forget the failures."""
        self._failures.pop(key, None)


class AccountService:
    """Use cases around who somebody is.

    Args:
        store: Where accounts are.
        audit: Where failed logins are recorded.
        hasher: Argon2id.
        clock: For expiry.
        ca_fingerprint: SHA-256 of the CA certificate, hex; goes into tokens so that their holder
            can pin the CA.
    """

    def __init__(
        self,
        store: AccountStore,
        audit: AuditStore,
        hasher: PasswordHasher,
        clock: Clock,
        ca_fingerprint: str,
    ) -> None:
        self._store = store
        self._audit = audit
        self._hasher = hasher
        self._clock = clock
        self._suffix = ca_fingerprint[:32]
        self._attempts = AttemptLimit(clock)

    async def login(self, name: str, password: str, *, remote: str) -> Session:
        """Check a password and open a session."""
        keys = (f"name:{name}", f"remote:{remote}")
        for key in keys:
            self._attempts.check(key)
        account = await self._store.account(name)
        right = await self._hasher.verify(account.password_hash if account else _NOBODY, password)
        if account is None or not right:
            for key in keys:
                self._attempts.failed(key)
            await self._audit.append(
                AuditEntry("?", "login.failed", name[:64], (("remote", remote),))
            )
            raise UnauthenticatedError("wrong name or password")
        for key in keys:
            self._attempts.succeeded(key)
        token = secrets.token_urlsafe(32)
        expires_at_ms = self._clock.now_ms() + SESSION_MS
        await self._store.put_session(token_hash(token), name, expires_at_ms)
        await self._audit.append(AuditEntry(name, "login", name, (("remote", remote),)))
        return Session(token, _principal(account), expires_at_ms)

    async def principal_of(self, token: str) -> Principal | None:
        """Return who a session belongs to; None when it is unknown or expired."""
        account = await self._store.session_account(token_hash(token), self._clock.now_ms())
        return _principal(account) if account else None

    async def logout(self, token: str) -> None:
        """Close a session; closing it twice is harmless."""
        await self._store.drop_session(token_hash(token))

    async def principal_of_api_token(self, token: str) -> Principal:
        """Return who an API token belongs to.

        Raises:
            UnauthenticatedError: The token is not known.
        """
        account = await self._store.api_token_account(token_hash(secret_of(token)))
        if account is None:
            raise UnauthenticatedError("the API token is not valid here")
        return _principal(account)

    async def add_account(
        self, actor: str, name: str, password: str, roles: frozenset[Role], area_code: str = ""
    ) -> None:
        """Add or replace an account."""
        account = StoredAccount(
            name=name,
            password_hash=await self._hasher.hash(password),
            roles=tuple(sorted(role.value for role in roles)),
            area_code=area_code,
        )
        detail = (("area", area_code), ("roles", " ".join(account.roles)))
        await self._store.put_account(
            account, self._clock.now_ms(), AuditEntry(actor, "account.put", name, detail)
        )

    async def make_api_token(self, actor: str, name: str) -> str:
        """Make an API token for an account; it is shown once."""
        secret = secrets.token_urlsafe(32)
        await self._store.put_api_token(
            token_hash(secret),
            name,
            self._clock.now_ms(),
            AuditEntry(actor, "api_token.create", name),
        )
        return f"{secret}.{self._suffix}"

    async def make_first_administrator(self) -> tuple[str, str, str] | None:
        """Make the administrator of a fresh fleet; return name, password and API token.

        Returns None when there are accounts already.
        """
        if await self._store.has_accounts():
            return None
        name, password = "admin", secrets.token_urlsafe(12)
        await self.add_account("fleet", name, password, frozenset({Role.ADMINISTRATOR}))
        return name, password, await self.make_api_token("fleet", name)


def _principal(account: StoredAccount) -> Principal:
    return Principal(
        account.name, frozenset(Role(role) for role in account.roles), account.area_code
    )
