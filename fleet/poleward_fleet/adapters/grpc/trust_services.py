"""Keys and trust documents, for people and programs. TLS and a token.

Not releases (release_services.py).
"""

from typing import Any

import grpc

from poleward.v1 import trust_service_pb2 as trust_pb
from poleward.v1 import trust_service_pb2_grpc
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.trust import TrustService

_Context = grpc.aio.ServicerContext[Any, Any]


class TrustServicer(trust_service_pb2_grpc.TrustServiceServicer):
    """Who may sign releases."""

    def __init__(self, accounts: AccountService, trust: TrustService) -> None:
        self._accounts = accounts
        self._trust = trust

    async def TrustKey(
        self, request: trust_pb.TrustKeyRequest, context: _Context
    ) -> trust_pb.TrustKeyResponse:
        """Trust a public key."""
        principal = await principal_of(self._accounts, context)
        await self._trust.trust_key(principal, request.public_key, request.name)
        return trust_pb.TrustKeyResponse()

    async def RevokeKey(
        self, request: trust_pb.RevokeKeyRequest, context: _Context
    ) -> trust_pb.RevokeKeyResponse:
        """Revoke a key."""
        principal = await principal_of(self._accounts, context)
        await self._trust.revoke_key(principal, request.key_id, request.reason)
        return trust_pb.RevokeKeyResponse()

    async def PublishDocument(
        self, request: trust_pb.PublishDocumentRequest, context: _Context
    ) -> trust_pb.PublishDocumentResponse:
        """Verify a document and give it to the gateways."""
        principal = await principal_of(self._accounts, context)
        published = await self._trust.publish(principal, request.document)
        return trust_pb.PublishDocumentResponse(version=published.version)

    async def MakeDirectiveKey(
        self, request: trust_pb.MakeDirectiveKeyRequest, context: _Context
    ) -> trust_pb.MakeDirectiveKeyResponse:
        """Make one more key of the fleet's own."""
        principal = await principal_of(self._accounts, context)
        key = await self._trust.make_directive_key(principal)
        return trust_pb.MakeDirectiveKeyResponse(public_key=key.public_key)

    async def GetTrust(
        self, request: trust_pb.GetTrustRequest, context: _Context
    ) -> trust_pb.GetTrustResponse:
        """Tell which keys and documents there are."""
        trust = await self._trust.trust(await principal_of(self._accounts, context))
        return trust_pb.GetTrustResponse(
            keys=[
                trust_pb.TrustedKey(
                    public_key=key.public_key,
                    name=key.name,
                    trusted_at_ms=key.trusted_at_ms,
                    revoked_at_ms=key.revoked_at_ms,
                    revoked_by=key.revoked_by,
                )
                for key in trust.keys
            ],
            threshold=trust.threshold,
            documents=[
                trust_pb.TrustDocument(
                    version=document.version,
                    document=document.signed,
                    expires_at_ms=document.expires_at_ms,
                    published_at_ms=document.published_at_ms,
                    published_by=document.published_by,
                )
                for document in trust.documents
            ],
            directive_keys=[
                trust_pb.DirectiveKey(
                    public_key=key.public_key,
                    made_at_ms=key.made_at_ms,
                    signs=key.public_key in trust.directors,
                )
                for key in trust.directive_keys
            ],
        )
