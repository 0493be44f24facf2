"""What somebody who is signed in changes of their own account: password, API tokens, sessions.

Not other people's (services/account_administration.py), and not for API tokens: a token that could
make tokens would outlive its own end.
"""

from collections.abc import Iterable
from dataclasses import replace

from poleward_fleet.domain.accounts import BrowserSession, Principal, check_password
from poleward_fleet.domain.api_tokens import ApiToken, token_label, token_scopes, token_valid_ms
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import (
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
)
from poleward_fleet.ports.accounts import AccountStore, PasswordHasher
from poleward_fleet.ports.clock import Clock
from poleward_fleet.services.accounts import AccountService, AttemptLimit


class OwnAccount:
    """Use cases of everybody who is signed in.

    Args:
        store: Where accounts are.
        accounts: Makes tokens.
        hasher: Argon2id.
        clock: For expiry.
    """

    def __init__(
        self, store: AccountStore, accounts: AccountService, hasher: PasswordHasher, clock: Clock
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._hasher = hasher
        self._clock = clock
        self._attempts = AttemptLimit(clock)

    async def change_password(self, principal: Principal, old: str, new: str) -> None:
        """Replace the password; every session of the account ends, also this one.

        Raises:
            InvalidError: The new one is too short, or the account has none.
            UnauthenticatedError: The old one is wrong.
            TooManyAttemptsError: It was wrong too often.
        """
        self._attempts.check(principal.name)
        account = await self._store.account(principal.name)
        if account is None or not account.password_hash:
            raise InvalidError.of("password_elsewhere")
        check_password(new)
        if not await self._hasher.verify(account.password_hash, old):
            self._attempts.failed(principal.name)
            raise UnauthenticatedError.of("old_password")
        changed = replace(account, password_hash=await self._hasher.hash(new))
        await self._accounts.put_account(principal.name, account, changed)

    async def has_password(self, principal: Principal) -> bool:
        """Tell whether the principal signs in with a password of ours."""
        account = await self._store.account(principal.name)
        return account is not None and bool(account.password_hash)

    async def sessions(self, principal: Principal) -> list[BrowserSession]:
        """Return the principal's open sessions, newest first."""
        found = await self._store.sessions(self._clock.now_ms())
        return [session for session in found if session.account_name == principal.name]

    async def end_session(self, principal: Principal, number: int) -> None:
        """Sign out of one browser.

        Raises:
            NotFoundError: It is not the principal's.
        """
        if not any(one.number == number for one in await self.sessions(principal)):
            raise NotFoundError.of("no_session", number=number)
        entry = AuditEntry(principal.name, "session.end", principal.name)
        await self._store.end_session(number, entry)

    async def api_tokens(self, principal: Principal) -> list[ApiToken]:
        """Return the principal's API tokens, by number."""
        found = await self._store.api_tokens(self._clock.now_ms())
        return [token for token in found if token.account_name == principal.name]

    async def make_api_token(
        self, principal: Principal, *, label: str, scopes: Iterable[str], valid_days: int
    ) -> str:
        """Make an API token of one's own; it is shown once.

        Raises:
            InvalidError: A value makes no sense, or goes beyond what the account may do.
            ForbiddenError: An API token asks.
        """
        if principal.scopes is not None:
            raise ForbiddenError.of("token_makes_token")
        return await self._accounts.make_api_token(
            principal.name,
            principal.name,
            label=token_label(label),
            scopes=token_scopes(
                scopes, givable=principal.permissions, carried=principal.permissions
            ),
            valid_ms=token_valid_ms(valid_days),
        )

    async def revoke_api_token(self, principal: Principal, number: int) -> None:
        """Make one of the principal's API tokens worthless.

        Raises:
            NotFoundError: It is not the principal's.
        """
        for token in await self.api_tokens(principal):
            if token.number == number:
                detail = (("account", principal.name), ("label", token.label))
                entry = AuditEntry(principal.name, "api_token.revoke", str(number), detail)
                await self._store.drop_api_token(number, entry)
                return
        raise NotFoundError.of("no_token", number=number)
