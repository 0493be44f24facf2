"""Accounts, their API tokens and sessions, as an administrator keeps them within their area.

Not logins (services/accounts.py) nor what somebody changes of their own (services/own_account.py).
"""

import secrets
from collections.abc import Collection, Iterable

from poleward_fleet.domain.accounts import (
    PASSWORD_CHARACTERS,
    Account,
    BrowserSession,
    Permission,
    Principal,
    Role,
    check_account_name,
    check_password,
    permissions_of,
)
from poleward_fleet.domain.api_tokens import (
    ApiToken,
    token_label,
    token_rate,
    token_scopes,
    token_valid_ms,
    words,
)
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ForbiddenError, InvalidError, NotFoundError
from poleward_fleet.ports.accounts import AccountStore, PasswordHasher, StoredAccount
from poleward_fleet.ports.clock import Clock
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.permissions import AreaTree


class AccountAdministration:
    """Use cases of whoever keeps accounts.

    - Who may act in one area keeps the accounts of that area and of those below, and no others.
    - Nobody gives, as a role or in a token, what they do not have themselves.
    - Nobody takes away their own rights: the last administrator could lock everybody out.
    - A token that somebody made for another never approves in the other's name.

    Args:
        store: Where accounts are.
        accounts: Makes them.
        hasher: Argon2id.
        areas: Tree for rights.
        clock: For expiry.
    """

    def __init__(
        self,
        store: AccountStore,
        accounts: AccountService,
        hasher: PasswordHasher,
        areas: AreaTree,
        clock: Clock,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._hasher = hasher
        self._areas = areas
        self._clock = clock

    async def accounts(self, principal: Principal) -> list[Account]:
        """Return the accounts that the principal keeps, by name."""
        allowed = await self._areas.allowed(principal, Permission.MANAGE_ACCOUNTS)
        found = await self._store.accounts(self._clock.now_ms())
        return [one for one in found if allowed is None or one.area_code in allowed]

    async def account(self, principal: Principal, name: str) -> Account:
        """Return an account that the principal keeps.

        Raises:
            NotFoundError: There is none of that name.
        """
        for account in await self.accounts(principal):
            if account.name == name:
                return account
        raise NotFoundError.of("no_account", account=name)

    async def put(
        self,
        principal: Principal,
        name: str,
        *,
        roles: Iterable[str],
        area_code: str = "",
        password: str = "",
        new_password: bool = False,
    ) -> str:
        """Add an account, or replace roles and area of one; return the password if one was made.

        A new account of a person gets a password; an old one keeps its own unless another is given
        or `new_password` asks for one. Integrators and who signs in elsewhere never have one.

        Raises:
            InvalidError: Name, roles or password make no sense, or it is the principal's own.
            ForbiddenError: The roles carry more than the principal's own.
            NotFoundError: The area, or an account of that name, is not the principal's to keep.
        """
        allowed = await self._areas.allowed(principal, Permission.MANAGE_ACCOUNTS, area_code)
        if allowed is not None and not area_code:
            raise InvalidError.of("needs_area", area=principal.area_code)
        check_account_name(name)
        before = await self._store.account(name)
        if before is not None:
            await self.account(principal, name)
        if name == principal.name:
            raise InvalidError.of("change_own")
        wanted = _roles(roles)
        _check_has(principal, permissions_of(wanted))
        made = ""
        if wanted == {Role.INTEGRATOR} or (before and before.external_id):
            if password or new_password:
                raise InvalidError.of("never_password", person=name)
            phc = ""
        elif password or new_password or before is None or not before.password_hash:
            if password:
                check_password(password)
            made = "" if password else secrets.token_urlsafe(PASSWORD_CHARACTERS)
            phc = await self._hasher.hash(password or made)
        else:
            phc = before.password_hash
        account = StoredAccount(
            name=name,
            password_hash=phc,
            roles=tuple(sorted(role.value for role in wanted)),
            area_code=area_code,
            external_id=before.external_id if before else "",
        )
        await self._accounts.put_account(principal.name, before, account)
        return made

    async def drop(self, principal: Principal, name: str) -> None:
        """Remove an account.

        Raises:
            InvalidError: It is the principal's own.
            NotFoundError: There is none that the principal keeps.
        """
        await self.account(principal, name)
        if name == principal.name:
            raise InvalidError.of("remove_own")
        await self._store.drop_account(name, AuditEntry(principal.name, "account.drop", name))

    async def api_tokens(self, principal: Principal, name: str = "") -> list[ApiToken]:
        """Return the API tokens of the accounts that the principal keeps, or of one of them."""
        names = await self._names(principal, name)
        found = await self._store.api_tokens(self._clock.now_ms())
        return [token for token in found if token.account_name in names]

    async def make_api_token(
        self,
        principal: Principal,
        name: str,
        *,
        label: str = "",
        scopes: Iterable[str] = (),
        valid_days: int = 0,
        calls_per_s: int = 0,
    ) -> str:
        """Make an API token for an account; it is shown once.

        Args:
            principal: Who makes it.
            name: Of the account.
            label: What it is for, in words.
            scopes: Values of Permission; without any, all that can be given.
            valid_days: Until it expires; 0 for TOKEN_DAYS.
            calls_per_s: How many calls it may make; 0 for any number.

        Raises:
            NotFoundError: There is no account that the principal keeps.
            InvalidError: A value makes no sense, or the account may not do what the token is for.
            ForbiddenError: The token would carry more than the principal has.
        """
        account = await self.account(principal, name)
        givable = permissions_of(account.roles) & principal.permissions
        if name != principal.name:
            givable -= {Permission.APPROVE}
        wanted = token_scopes(scopes, givable=givable, carried=permissions_of(account.roles))
        _check_has(principal, wanted)
        if name != principal.name and Permission.APPROVE in wanted:
            raise ForbiddenError.of("approves_for_other", person=name)
        return await self._accounts.make_api_token(
            principal.name,
            name,
            label=token_label(label),
            scopes=wanted,
            valid_ms=token_valid_ms(valid_days),
            calls_per_s=token_rate(calls_per_s),
        )

    async def revoke_api_tokens(
        self, principal: Principal, *, number: int = 0, name: str = ""
    ) -> list[ApiToken]:
        """Make one API token, or all of an account, worthless; return those that were valid.

        Raises:
            NotFoundError: There is no such token or account that the principal keeps.
            InvalidError: Neither a token nor an account is named.
        """
        if not number and not name:
            raise InvalidError.of("which_token")
        found = await self.api_tokens(principal, name)
        gone = [token for token in found if number in (0, token.number)]
        if number and not gone:
            raise NotFoundError.of("no_token", number=number)
        for token in gone:
            detail = (("account", token.account_name), ("label", token.label))
            entry = AuditEntry(principal.name, "api_token.revoke", str(token.number), detail)
            await self._store.drop_api_token(token.number, entry)
        return gone

    async def sessions(self, principal: Principal, name: str = "") -> list[BrowserSession]:
        """Return the open sessions of the accounts that the principal keeps, or of one of them."""
        names = await self._names(principal, name)
        found = await self._store.sessions(self._clock.now_ms())
        return [session for session in found if session.account_name in names]

    async def end_session(self, principal: Principal, number: int) -> BrowserSession:
        """Sign somebody out of one browser.

        Raises:
            NotFoundError: There is no such session of an account that the principal keeps.
        """
        for session in await self.sessions(principal):
            if session.number == number:
                entry = AuditEntry(principal.name, "session.end", session.account_name)
                await self._store.end_session(number, entry)
                return session
        raise NotFoundError.of("no_session", number=number)

    async def _names(self, principal: Principal, name: str) -> Collection[str]:
        if name:
            return {(await self.account(principal, name)).name}
        return {account.name for account in await self.accounts(principal)}


def _check_has(principal: Principal, permissions: frozenset[Permission]) -> None:
    if beyond := permissions - principal.permissions:
        raise ForbiddenError.of("beyond_own", permissions=words(beyond))


def _roles(names: Iterable[str]) -> frozenset[Role]:
    known = {role.value: role for role in Role}
    wanted = set(names)
    if not wanted or not wanted <= set(known):
        raise InvalidError.of("account_roles", roles=", ".join(known))
    return frozenset(known[name] for name in wanted)
