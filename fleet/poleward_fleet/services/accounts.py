"""Accounts, logins in browsers and API tokens.

Not roles (domain/accounts.py) nor hashing (ports.PasswordHasher).
"""

import hashlib
import secrets
from dataclasses import replace

from poleward_fleet.domain.accounts import (
    BrowserSession,
    Permission,
    Principal,
    Role,
    Session,
    permissions_of,
)
from poleward_fleet.domain.api_tokens import ApiToken
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import TooManyAttemptsError, UnauthenticatedError
from poleward_fleet.ports.accounts import AccountStore, PasswordHasher, StoredAccount
from poleward_fleet.ports.audit import AuditStore
from poleward_fleet.ports.clock import Clock
from poleward_fleet.services.call_limits import CallLimit

SESSION_MS = 12 * 3600_000
FIRST_TOKEN_MS = 366 * 24 * 3600_000
MAX_FAILURES = 5
LOCK_MS = 60_000
_MAX_TRACKED = 10_000
_AGENT_CHARACTERS = 200
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
        self._calls = CallLimit(clock)

    async def login(self, name: str, password: str, *, remote: str, agent: str = "") -> Session:
        """Check a password and open a session.

        Args:
            name: Of the account.
            password: Of the account.
            remote: Address it comes from.
            agent: What the browser calls itself.

        Raises:
            UnauthenticatedError: Wrong name or password (which of them is not told).
            TooManyAttemptsError: Too many failures for this name or this remote address.
        """
        keys = (f"name:{name}", f"remote:{remote}")
        for key in keys:
            self._attempts.check(key)
        account = await self._store.account(name)
        phc = account.password_hash if account and account.password_hash else _NOBODY
        if not await self._hasher.verify(phc, password) or account is None:
            for key in keys:
                self._attempts.failed(key)
            await self.note_failed_login(name, remote=remote, way="password")
            raise UnauthenticatedError("wrong name or password")
        for key in keys:
            self._attempts.succeeded(key)
        return await self.open_session(account, remote=remote, agent=agent, way="password")

    async def note_failed_login(self, name: str, *, remote: str, way: str, why: str = "") -> None:
        """Record that somebody failed to prove who they are."""
        detail = (("remote", remote), ("way", way), ("why", why))
        await self._audit.append(AuditEntry("?", "login.failed", name[:64], detail))

    async def open_session(
        self, account: StoredAccount, *, remote: str, agent: str, way: str
    ) -> Session:
        """Open a session for somebody who has proved who they are, in one way or another."""
        token = secrets.token_urlsafe(32)
        now_ms = self._clock.now_ms()
        session = BrowserSession(
            number=0,
            account_name=account.name,
            started_at_ms=now_ms,
            seen_at_ms=now_ms,
            expires_at_ms=now_ms + SESSION_MS,
            remote=remote,
            agent="".join(c for c in agent if c.isprintable())[:_AGENT_CHARACTERS],
        )
        entry = AuditEntry(account.name, "login", account.name, (("remote", remote), ("way", way)))
        await self._store.put_session(token_hash(token), session, entry)
        return Session(token, _principal(account), session.expires_at_ms)

    async def principal_of(self, token: str) -> Principal | None:
        """Return who a session belongs to; None when it is unknown or expired."""
        account = await self._store.session_account(token_hash(token), self._clock.now_ms())
        return _principal(account) if account else None

    async def logout(self, principal: Principal, token: str) -> None:
        """Close a session; closing it twice is harmless."""
        entry = AuditEntry(principal.name, "logout", principal.name)
        await self._store.drop_session(token_hash(token), entry)

    async def principal_of_api_token(self, token: str) -> Principal:
        """Return who an API token belongs to.

        Raises:
            UnauthenticatedError: The token is not known, or has expired.
            TooManyAttemptsError: It made more calls than it is good for.
        """
        found = await self._store.api_token_account(
            token_hash(secret_of(token)), self._clock.now_ms()
        )
        if found is None:
            raise UnauthenticatedError("the API token is not valid here, or not any more")
        account, api_token = found
        self._calls.spend(api_token.number, api_token.calls_per_s)
        return replace(_principal(account), scopes=api_token.scopes)

    async def principal_named(self, name: str) -> Principal | None:
        """Return who an account is, for what somebody did under that name; None for nobody."""
        account = await self._store.account(name)
        return _principal(account) if account else None

    async def add_account(
        self, actor: str, name: str, password: str, roles: frozenset[Role], area_code: str = ""
    ) -> None:
        """Add or replace an account; without a password nobody signs in with it."""
        before = await self._store.account(name)
        account = StoredAccount(
            name=name,
            password_hash=await self._hasher.hash(password) if password else "",
            roles=tuple(sorted(role.value for role in roles)),
            area_code=area_code,
        )
        await self.put_account(actor, before, account)

    async def put_account(
        self, actor: str, before: StoredAccount | None, account: StoredAccount
    ) -> None:
        """Store an account and record what changed; its sessions end."""
        detail = [("area", account.area_code), ("roles", " ".join(account.roles))]
        if before is not None:
            detail += [
                ("from_area", before.area_code),
                ("from_roles", " ".join(before.roles)),
                ("password", "changed" if before.password_hash != account.password_hash else ""),
            ]
        await self._store.put_account(
            account,
            self._clock.now_ms(),
            AuditEntry(actor, "account.put", account.name, tuple(detail)),
        )

    async def make_api_token(
        self,
        actor: str,
        name: str,
        *,
        label: str,
        scopes: frozenset[Permission],
        valid_ms: int,
        calls_per_s: int = 0,
    ) -> str:
        """Make an API token for an account; it is shown once."""
        secret = secrets.token_urlsafe(32)
        now_ms = self._clock.now_ms()
        token = ApiToken(
            number=0,
            account_name=name,
            label=label,
            scopes=scopes,
            calls_per_s=calls_per_s,
            created_at_ms=now_ms,
            created_by=actor,
            expires_at_ms=now_ms + valid_ms,
        )
        detail = (
            ("label", label),
            ("scopes", " ".join(sorted(scope.value for scope in scopes))),
            ("expires_at_ms", str(token.expires_at_ms)),
        )
        entry = AuditEntry(actor, "api_token.create", name, detail)
        await self._store.put_api_token(token_hash(secret), token, entry)
        return f"{secret}.{self._suffix}"

    async def make_first_administrator(self) -> tuple[str, str, str] | None:
        """Make the administrator of a fresh fleet; return name, password and API token.

        Returns None when there are accounts already.
        """
        if await self._store.has_accounts():
            return None
        name, password, roles = "admin", secrets.token_urlsafe(12), frozenset({Role.ADMINISTRATOR})
        await self.add_account("fleet", name, password, roles)
        token = await self.make_api_token(
            "fleet",
            name,
            label="first administrator",
            scopes=permissions_of(roles),
            valid_ms=FIRST_TOKEN_MS,
        )
        return name, password, token


def _principal(account: StoredAccount) -> Principal:
    return Principal(
        account.name, frozenset(Role(role) for role in account.roles), account.area_code
    )
