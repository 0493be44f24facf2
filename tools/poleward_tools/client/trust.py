"""The fleet's release keys and trust documents as typed calls on plain values.

It prints nothing and retries nothing; each call has a deadline.
"""

import hashlib
from dataclasses import dataclass

import grpc

from poleward.v1 import trust_service_pb2 as trust
from poleward.v1.trust_service_pb2_grpc import TrustServiceStub
from poleward_tools.client.errors import translated

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class ReleaseKey:
    """A key that may sign releases, unless it was revoked; then revoked_at_ms is not 0."""

    key_id: str
    public_key: bytes
    name: str
    trusted_at_ms: int
    revoked_at_ms: int
    revoked_by: str


@dataclass(frozen=True, slots=True)
class PublishedDocument:
    """A trust document as it was published."""

    version: int
    document: bytes
    expires_at_ms: int
    published_at_ms: int
    published_by: str


@dataclass(frozen=True, slots=True)
class DirectiveKey:
    """A key of the fleet's own; it signs directives once a document names it."""

    key_id: str
    public_key: bytes
    made_at_ms: int
    signs: bool


@dataclass(frozen=True, slots=True)
class Trust:
    """Keys and documents, oldest first, and how many keys have to sign a release."""

    keys: list[ReleaseKey]
    threshold: int
    documents: list[PublishedDocument]
    directive_keys: list[DirectiveKey]


class TrustCalls:
    """Calls about release keys on an open channel; every method raises ClientError."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._address = address
        self._stub = TrustServiceStub(channel)

    def trust_key(self, public_key: bytes, name: str) -> None:
        """Add a public key whose signature makes a release valid."""
        request = trust.TrustKeyRequest(public_key=public_key, name=name)
        with translated(f"trust the release key {name}", self._address):
            self._stub.TrustKey(request, timeout=_TIMEOUT_S)

    def revoke_key(self, key_id: bytes, reason: str) -> None:
        """Have a key refused from now on; refused until a second person has agreed."""
        request = trust.RevokeKeyRequest(key_id=key_id, reason=reason)
        with translated(f"revoke the release key {key_id.hex()}", self._address):
            self._stub.RevokeKey(request, timeout=_TIMEOUT_S)

    def publish_document(self, document: bytes) -> int:
        """Have fleet, gateways and nodes follow a trust document; returns its number."""
        request = trust.PublishDocumentRequest(document=document)
        with translated("publish the trust document", self._address):
            return self._stub.PublishDocument(request, timeout=_TIMEOUT_S).version

    def make_directive_key(self) -> bytes:
        """Have the fleet make one more key for directives; returns its public half."""
        request = trust.MakeDirectiveKeyRequest()
        with translated("make a directive key", self._address):
            return self._stub.MakeDirectiveKey(request, timeout=_TIMEOUT_S).public_key

    def get(self) -> Trust:
        """Get keys and documents."""
        with translated("list release keys", self._address):
            answer = self._stub.GetTrust(trust.GetTrustRequest(), timeout=_TIMEOUT_S)
        return Trust(
            keys=[
                ReleaseKey(
                    key_id=_key_id(key.public_key),
                    public_key=key.public_key,
                    name=key.name,
                    trusted_at_ms=key.trusted_at_ms,
                    revoked_at_ms=key.revoked_at_ms,
                    revoked_by=key.revoked_by,
                )
                for key in answer.keys
            ],
            threshold=answer.threshold,
            documents=[
                PublishedDocument(
                    version=document.version,
                    document=document.document,
                    expires_at_ms=document.expires_at_ms,
                    published_at_ms=document.published_at_ms,
                    published_by=document.published_by,
                )
                for document in answer.documents
            ],
            directive_keys=[
                DirectiveKey(_key_id(key.public_key), key.public_key, key.made_at_ms, key.signs)
                for key in answer.directive_keys
            ],
        )


def _key_id(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()[:16]
