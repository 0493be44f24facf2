"""The accounts' part of the port for people and programs.

Not who calls (callers.py).
"""

from typing import Any

import grpc

from poleward.v1 import account_service_pb2 as account_pb
from poleward.v1 import account_service_pb2_grpc
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.services.account_administration import AccountAdministration
from poleward_fleet.services.accounts import AccountService

_Context = grpc.aio.ServicerContext[Any, Any]


class AccountServicer(account_service_pb2_grpc.AccountServiceServicer):
    """Accounts and API tokens."""

    def __init__(self, accounts: AccountService, administration: AccountAdministration) -> None:
        self._accounts = accounts
        self._administration = administration

    async def ListAccounts(  # noqa: N802
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
                )
                for account in found
            ]
        )

    async def PutAccount(  # noqa: N802
        self, request: account_pb.PutAccountRequest, context: _Context
    ) -> account_pb.PutAccountResponse:
        """Add or replace an account."""
        principal = await principal_of(self._accounts, context)
        made = await self._administration.put(
            principal,
            request.name,
            roles=request.roles,
            area_code=request.area_code,
            password=request.password,
        )
        return account_pb.PutAccountResponse(password=made)

    async def DropAccount(  # noqa: N802
        self, request: account_pb.DropAccountRequest, context: _Context
    ) -> account_pb.DropAccountResponse:
        """Remove an account."""
        principal = await principal_of(self._accounts, context)
        await self._administration.drop(principal, request.name)
        return account_pb.DropAccountResponse()

    async def CreateApiToken(  # noqa: N802
        self, request: account_pb.CreateApiTokenRequest, context: _Context
    ) -> account_pb.CreateApiTokenResponse:
        """Make an API token."""
        principal = await principal_of(self._accounts, context)
        token = await self._administration.make_api_token(principal, request.name)
        return account_pb.CreateApiTokenResponse(token=token)

    async def RevokeApiTokens(  # noqa: N802
        self, request: account_pb.RevokeApiTokensRequest, context: _Context
    ) -> account_pb.RevokeApiTokensResponse:
        """Make all API tokens of an account worthless."""
        principal = await principal_of(self._accounts, context)
        revoked = await self._administration.revoke_api_tokens(principal, request.name)
        return account_pb.RevokeApiTokensResponse(revoked=revoked)
