"""Signing in at an identity provider: the way there, the way back, the account that follows.

Not the protocol's messages (adapters/openid.py).
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from poleward_fleet.domain.accounts import Session, check_account_name
from poleward_fleet.domain.errors import (
    ConflictError,
    FleetError,
    ForbiddenError,
    NotFoundError,
    UnauthenticatedError,
)
from poleward_fleet.domain.single_sign_on import Grant, ProvedIdentity, grant_of
from poleward_fleet.ports.accounts import AccountStore, StoredAccount
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.identity_provider import IdentityProvider
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.permissions import AreaTree

PENDING_MS = 10 * 60_000
_MAX_PENDING = 1_000
_WAY = "single_sign_on"


@dataclass(frozen=True, slots=True)
class _Pending:
    """A browser that was sent to the provider."""

    verifier: str
    nonce: str
    target: str
    until_ms: int


class SingleSignOn:
    """Use cases of signing in elsewhere.

    - Roles and area follow the provider's claims at every sign-in; without a grant there is none.
    - A local account is never taken over by a person of the same name at the provider.

    Bounded: of more than _MAX_PENDING browsers on their way the oldest have to start again.

    Args:
        provider: Proves who somebody is.
        grants: What people may do, in the order in which they count.
        accounts: Opens sessions.
        store: Where accounts are.
        areas: Tree, to check the grants' areas.
        clock: For expiry.
    """

    def __init__(
        self,
        provider: IdentityProvider,
        grants: Sequence[Grant],
        accounts: AccountService,
        store: AccountStore,
        areas: AreaTree,
        clock: Clock,
    ) -> None:
        self._provider = provider
        self._grants = grants
        self._accounts = accounts
        self._store = store
        self._areas = areas
        self._clock = clock
        self._pending: dict[str, _Pending] = {}

    @property
    def provider_name(self) -> str:
        """What people call the provider."""
        return self._provider.name

    async def start(self, target: str) -> tuple[str, str]:
        """Return where to send the browser, and the state that it has to bring back.

        Args:
            target: Path of the page to go on to.

        Raises:
            UnavailableError: The provider does not answer.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        url = await self._provider.authorization_url(
            state=state, nonce=nonce, challenge=_challenge(verifier)
        )
        until_ms = self._clock.now_ms() + PENDING_MS
        self._pending[state] = _Pending(verifier, nonce, target, until_ms)
        while len(self._pending) > _MAX_PENDING:
            self._pending.pop(next(iter(self._pending)))
        return url, state

    async def finish(
        self, *, state: str, browser_state: str, code: str, remote: str, agent: str
    ) -> tuple[Session, str]:
        """Open a session for whoever the provider vouches for; return it and where to go on.

        Args:
            state: As the provider handed it back.
            browser_state: As this browser keeps it; another one's sign-in is refused.
            code: From the provider.
            remote: Address it comes from.
            agent: What the browser calls itself.

        Raises:
            UnauthenticatedError: The sign-in is not this browser's, too old, or not vouched for.
            ForbiddenError: The person has no role here.
            ConflictError: A local account has the person's name.
            UnavailableError: The provider does not answer.
        """
        try:
            if not hmac.compare_digest(state.encode(), browser_state.encode()):
                raise UnauthenticatedError("this sign-in was not begun in this browser")
            pending = self._pending.pop(state, None)
            if pending is None or pending.until_ms <= self._clock.now_ms():
                raise UnauthenticatedError("this sign-in took too long; begin again")
            identity = await self._provider.identity(
                code=code, verifier=pending.verifier, nonce=pending.nonce
            )
            account = await self._account(identity)
        except FleetError as error:
            await self._accounts.note_failed_login("?", remote=remote, way=_WAY, why=str(error))
            raise
        session = await self._accounts.open_session(account, remote=remote, agent=agent, way=_WAY)
        return session, pending.target

    async def _account(self, identity: ProvedIdentity) -> StoredAccount:
        """Return the person's account, with what the provider's claims grant now."""
        grant = grant_of(identity.values, self._grants)
        if grant is None:
            raise ForbiddenError(
                f"{identity.name} has no role here; ask an administrator which group to be in"
            )
        if grant.area_code:
            try:
                await self._areas.subtree(grant.area_code)
            except NotFoundError as error:
                raise ForbiddenError(
                    f"the area {grant.area_code} of {identity.name} does not exist here; "
                    "an administrator has to correct the configuration"
                ) from error
        before = await self._store.account_of(identity.external_id)
        if before is None:
            check_account_name(identity.name)
            if await self._store.account(identity.name) is not None:
                raise ConflictError(
                    f"a local account is called {identity.name}; an administrator has to remove it"
                )
        granted = StoredAccount(
            name=before.name if before else identity.name,
            password_hash="",
            roles=tuple(sorted(role.value for role in grant.roles)),
            area_code=grant.area_code,
            external_id=identity.external_id,
        )
        if before is None or replace(before, password_hash="") != granted:
            await self._accounts.put_account(_WAY, before, granted)
        return granted


def _challenge(verifier: str) -> str:
    # RFC 7636, 4.2
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
