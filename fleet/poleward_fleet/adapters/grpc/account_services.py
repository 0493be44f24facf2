"""The accounts' part of the port for people and programs.

Not who calls (callers.py).
"""

from typing import Any

import grpc

from poleward.v1 import account_service_pb2 as account_pb
from poleward.v1 import account_service_pb2_grpc
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.domain.accounts import PERMISSIONS, BrowserSession
from poleward_fleet.domain.api_tokens import ApiToken
from poleward_fleet.services.account_administration import AccountAdministration
from poleward_fleet.services.accounts import AccountService

_Context = grpc.aio.ServicerContext[Any, Any]


class AccountServicer(account_service_pb2_grpc.AccountServiceServicer):
    """Accounts, API tokens and sessions."""

    def __init__(self, accounts: AccountService, administration: AccountAdministration) -> None:
        self._accounts = accounts
        self._administration = administration

    async def ListRoles(
        self, request: account_pb.ListRolesRequest, context: _Context
    ) -> account_pb.ListRolesResponse:
        """List the roles; the same for everybody."""
        await principal_of(self._accounts, context)
        return account_pb.ListRolesResponse(
            roles=[
                account_pb.Role(name=role.value, permissions=sorted(one.value for one in carried))
                for role, carried in PERMISSIONS.items()
            ]
        )

    async def ListAccounts(
        self, request: account_pb.ListAccountsRequest, context: _Context
    ) -> account_pb.ListAccountsResponse:
        """List the accounts of the caller's area."""
        principal = await principal_of(self._accounts, context)
        found = await self._administration.accounts(principal)
        return account_pb.ListAccountsResponse(
            accounts=[
                account_pb.Account(
                    name=account.name,
                    roles=sorted(role.value for role in account.roles),
                    area_code=account.area_code,
                    api_token_count=account.api_token_count,
                    signs_in=account.signs_in.value,
                )
                for account in found
            ]
        )

    async def PutAccount(
        self, request: account_pb.PutAccountRequest, context: _Context
    ) -> account_pb.PutAccountResponse:
        """Add an account, or replace roles and area of one."""
        principal = await principal_of(self._accounts, context)
        made = await self._administration.put(
            principal,
            request.name,
            roles=request.roles,
            area_code=request.area_code,
            password=request.password,
            new_password=request.new_password,
        )
        return account_pb.PutAccountResponse(password=made)

    async def DropAccount(
        self, request: account_pb.DropAccountRequest, context: _Context
    ) -> account_pb.DropAccountResponse:
        """Remove an account."""
        principal = await principal_of(self._accounts, context)
        await self._administration.drop(principal, request.name)
        return account_pb.DropAccountResponse()

    async def CreateApiToken(
        self, request: account_pb.CreateApiTokenRequest, context: _Context
    ) -> account_pb.CreateApiTokenResponse:
        """Make an API token."""
        principal = await principal_of(self._accounts, context)
        token = await self._administration.make_api_token(
            principal,
            request.name,
            label=request.label,
            scopes=request.scopes,
            valid_days=request.valid_days,
            calls_per_s=request.calls_per_s,
        )
        return account_pb.CreateApiTokenResponse(token=token)

    async def ListApiTokens(
        self, request: account_pb.ListApiTokensRequest, context: _Context
    ) -> account_pb.ListApiTokensResponse:
        """List API tokens."""
        principal = await principal_of(self._accounts, context)
        found = await self._administration.api_tokens(principal, request.name)
        return account_pb.ListApiTokensResponse(tokens=[_token(token) for token in found])

    async def RevokeApiTokens(
        self, request: account_pb.RevokeApiTokensRequest, context: _Context
    ) -> account_pb.RevokeApiTokensResponse:
        """Make one API token, or all of an account, worthless."""
        principal = await principal_of(self._accounts, context)
        gone = await self._administration.revoke_api_tokens(
            principal, number=request.number, name=request.name
        )
        return account_pb.RevokeApiTokensResponse(tokens=[_token(token) for token in gone])

    async def ListSessions(
        self, request: account_pb.ListSessionsRequest, context: _Context
    ) -> account_pb.ListSessionsResponse:
        """List open sessions."""
        principal = await principal_of(self._accounts, context)
        found = await self._administration.sessions(principal, request.name)
        return account_pb.ListSessionsResponse(sessions=[_session(one) for one in found])

    async def EndSession(
        self, request: account_pb.EndSessionRequest, context: _Context
    ) -> account_pb.EndSessionResponse:
        """Sign somebody out of one browser."""
        principal = await principal_of(self._accounts, context)
        session = await self._administration.end_session(principal, request.number)
        return account_pb.EndSessionResponse(session=_session(session))


def _token(token: ApiToken) -> account_pb.ApiToken:
    return account_pb.ApiToken(
        number=token.number,
        account_name=token.account_name,
        label=token.label,
        scopes=sorted(scope.value for scope in token.scopes),
        calls_per_s=token.calls_per_s,
        created_at_ms=token.created_at_ms,
        created_by=token.created_by,
        expires_at_ms=token.expires_at_ms,
        used_at_ms=token.used_at_ms,
    )


def _session(session: BrowserSession) -> account_pb.BrowserSession:
    return account_pb.BrowserSession(
        number=session.number,
        account_name=session.account_name,
        started_at_ms=session.started_at_ms,
        seen_at_ms=session.seen_at_ms,
        expires_at_ms=session.expires_at_ms,
        remote=session.remote,
        agent=session.agent,
    )
