"""The fleet's accounts, API tokens and sessions as typed calls on plain values.

It prints nothing and retries nothing; each call has a deadline.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import grpc

from poleward.v1 import account_service_pb2 as accounts
from poleward.v1.account_service_pb2_grpc import AccountServiceStub
from poleward_tools.client.errors import translated

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Account:
    """A person or program; an empty area code means everywhere."""

    name: str
    roles: tuple[str, ...]
    area_code: str
    api_token_count: int
    signs_in: str


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What may be known of an API token; used_at_ms is 0 for never."""

    number: int
    account_name: str
    label: str
    scopes: tuple[str, ...]
    calls_per_s: int
    created_at_ms: int
    created_by: str
    expires_at_ms: int
    used_at_ms: int


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A login in a browser."""

    number: int
    account_name: str
    started_at_ms: int
    seen_at_ms: int
    expires_at_ms: int
    remote: str
    agent: str


class AccountCalls:
    """Calls about accounts on an open channel; every method raises ClientError."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._address = address
        self._stub = AccountServiceStub(channel)

    def roles(self) -> dict[str, tuple[str, ...]]:
        """List what each role may do."""
        with translated("list roles", self._address):
            answer = self._stub.ListRoles(accounts.ListRolesRequest(), timeout=_TIMEOUT_S)
        return {role.name: tuple(role.permissions) for role in answer.roles}

    def list_accounts(self) -> list[Account]:
        """List the accounts that the caller keeps, by name."""
        with translated("list accounts", self._address):
            answer = self._stub.ListAccounts(accounts.ListAccountsRequest(), timeout=_TIMEOUT_S)
        return [
            Account(
                name=account.name,
                roles=tuple(account.roles),
                area_code=account.area_code,
                api_token_count=account.api_token_count,
                signs_in=account.signs_in,
            )
            for account in answer.accounts
        ]

    def put(
        self,
        name: str,
        *,
        roles: Iterable[str],
        area_code: str = "",
        password: str = "",
        new_password: bool = False,
    ) -> str:
        """Add an account, or replace roles and area; returns the password if one was made."""
        request = accounts.PutAccountRequest(
            name=name,
            roles=roles,
            area_code=area_code,
            password=password,
            new_password=new_password,
        )
        with translated(f"save the account {name}", self._address):
            return self._stub.PutAccount(request, timeout=_TIMEOUT_S).password

    def drop(self, name: str) -> None:
        """Remove an account with its sessions and API tokens."""
        with translated(f"remove the account {name}", self._address):
            self._stub.DropAccount(accounts.DropAccountRequest(name=name), timeout=_TIMEOUT_S)

    def create_token(
        self,
        name: str,
        *,
        label: str = "",
        scopes: Iterable[str] = (),
        valid_days: int = 0,
        calls_per_s: int = 0,
    ) -> str:
        """Make an API token for an account."""
        request = accounts.CreateApiTokenRequest(
            name=name,
            label=label,
            scopes=scopes,
            valid_days=valid_days,
            calls_per_s=calls_per_s,
        )
        with translated(f"make an API token for {name}", self._address):
            return self._stub.CreateApiToken(request, timeout=_TIMEOUT_S).token

    def tokens(self, name: str = "") -> list[ApiToken]:
        """List API tokens, of one account or of all that the caller keeps."""
        request = accounts.ListApiTokensRequest(name=name)
        with translated("list API tokens", self._address):
            answer = self._stub.ListApiTokens(request, timeout=_TIMEOUT_S)
        return [_token(token) for token in answer.tokens]

    def revoke_tokens(self, *, name: str = "", number: int = 0) -> list[ApiToken]:
        """Make one API token, or all of an account, worthless; returns those that were valid."""
        request = accounts.RevokeApiTokensRequest(name=name, number=number)
        with translated(f"revoke {f'API token {number}' if number else name}", self._address):
            answer = self._stub.RevokeApiTokens(request, timeout=_TIMEOUT_S)
        return [_token(token) for token in answer.tokens]

    def sessions(self, name: str = "") -> list[BrowserSession]:
        """List open sessions, of one account or of all that the caller keeps."""
        request = accounts.ListSessionsRequest(name=name)
        with translated("list sessions", self._address):
            answer = self._stub.ListSessions(request, timeout=_TIMEOUT_S)
        return [_session(session) for session in answer.sessions]

    def end_session(self, number: int) -> BrowserSession:
        """Sign somebody out of one browser."""
        request = accounts.EndSessionRequest(number=number)
        with translated(f"end session {number}", self._address):
            return _session(self._stub.EndSession(request, timeout=_TIMEOUT_S).session)


def _token(token: accounts.ApiToken) -> ApiToken:
    return ApiToken(
        number=token.number,
        account_name=token.account_name,
        label=token.label,
        scopes=tuple(token.scopes),
        calls_per_s=token.calls_per_s,
        created_at_ms=token.created_at_ms,
        created_by=token.created_by,
        expires_at_ms=token.expires_at_ms,
        used_at_ms=token.used_at_ms,
    )


def _session(session: accounts.BrowserSession) -> BrowserSession:
    return BrowserSession(
        number=session.number,
        account_name=session.account_name,
        started_at_ms=session.started_at_ms,
        seen_at_ms=session.seen_at_ms,
        expires_at_ms=session.expires_at_ms,
        remote=session.remote,
        agent=session.agent,
    )
