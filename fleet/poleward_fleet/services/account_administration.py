"""Accounts as an administrator keeps them: within their area, never above their rights.

Not logins and sessions (services/accounts.py).
"""

import secrets
from collections.abc import Iterable

from poleward_fleet.domain.accounts import (
    Account,
    Permission,
    Principal,
    Role,
    check_account_name,
)
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import InvalidError, NotFoundError
from poleward_fleet.ports.accounts import AccountStore
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.permissions import AreaTree

PASSWORD_CHARACTERS = 12


class AccountAdministration:
    """Use cases of whoever keeps accounts.

    - Who may act in one area keeps the accounts of that area and of those below, and no others.
    - Nobody takes away their own rights: the last administrator could lock everybody out.

    Args:
        store: Where accounts are.
        accounts: Makes them.
        areas: Tree for rights.
    """

    def __init__(self, store: AccountStore, accounts: AccountService, areas: AreaTree) -> None:
        self._store = store
        self._accounts = accounts
        self._areas = areas

    async def accounts(self, principal: Principal) -> list[Account]:
        """Return the accounts that the principal keeps, by name."""
        allowed = await self._areas.allowed(principal, Permission.MANAGE_ACCOUNTS)
        found = await self._store.accounts()
        return [one for one in found if allowed is None or one.area_code in allowed]

    async def put(
        self,
        principal: Principal,
        name: str,
        *,
        roles: Iterable[str],
        area_code: str = "",
        password: str = "",
    ) -> str:
        """Add or replace an account; return the password if one had to be made.

        Raises:
            InvalidError: Name, roles or password make no sense, or it is the principal's own.
            NotFoundError: The area, or an account of that name, is not the principal's to keep.
        """
        allowed = await self._areas.allowed(principal, Permission.MANAGE_ACCOUNTS, area_code)
        if allowed is not None and not area_code:
            raise InvalidError(f"name an area: yours is {principal.area_code}")
        check_account_name(name)
        if any(one.name == name for one in await self._store.accounts()):
            await self._kept(principal, name)
        if name == principal.name:
            raise InvalidError("another administrator has to change your own account")
        wanted = _roles(roles)
        if password and len(password) < PASSWORD_CHARACTERS:
            raise InvalidError(f"a password has at least {PASSWORD_CHARACTERS} characters")
        made = "" if password else secrets.token_urlsafe(PASSWORD_CHARACTERS)
        await self._accounts.add_account(principal.name, name, password or made, wanted, area_code)
        return made

    async def drop(self, principal: Principal, name: str) -> None:
        """Remove an account.

        Raises:
            InvalidError: It is the principal's own.
            NotFoundError: There is none that the principal keeps.
        """
        await self._kept(principal, name)
        if name == principal.name:
            raise InvalidError("another administrator has to remove your own account")
        await self._store.drop_account(name, AuditEntry(principal.name, "account.drop", name))

    async def make_api_token(self, principal: Principal, name: str) -> str:
        """Make an API token for an account; it is shown once.

        Raises:
            NotFoundError: There is none that the principal keeps.
        """
        await self._kept(principal, name)
        return await self._accounts.make_api_token(principal.name, name)

    async def revoke_api_tokens(self, principal: Principal, name: str) -> int:
        """Make the API tokens of an account worthless; return how many there were.

        Raises:
            NotFoundError: There is none that the principal keeps.
        """
        await self._kept(principal, name)
        return await self._store.drop_api_tokens(
            name, AuditEntry(principal.name, "api_token.revoke", name)
        )

    async def _kept(self, principal: Principal, name: str) -> Account:
        for account in await self.accounts(principal):
            if account.name == name:
                return account
        raise NotFoundError(f"account {name} does not exist")


def _roles(names: Iterable[str]) -> frozenset[Role]:
    known = {role.value: role for role in Role}
    wanted = set(names)
    if not wanted or not wanted <= set(known):
        raise InvalidError(f"an account has one or more of the roles {', '.join(known)}")
    return frozenset(known[name] for name in wanted)
