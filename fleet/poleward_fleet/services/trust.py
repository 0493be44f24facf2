"""Who may sign: keys for releases and directives, and the documents that nodes follow.

Not what is signed (services/releases.py).
"""

from dataclasses import replace

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.approvals import GuardedAction
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    ReleaseRefusedError,
)
from poleward_fleet.domain.trust import (
    KEY_BYTES,
    DirectiveKey,
    ReleaseKey,
    Trust,
    TrustDocument,
)
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.releases import ArtifactStore
from poleward_fleet.ports.trust import DocumentReader, TrustStore
from poleward_fleet.services.approvals import ApprovalService
from poleward_fleet.services.gateways import GatewayLinks

_SYSTEM = "fleet"


class TrustService:
    """Use cases around release keys.

    - Before the first document keys are trusted one by one, and one of them signs a release.
    - A document replaces all that, and each replaces the one before (docs/ota.md).
    - Revoking takes a key from the fleet and its gateways at once; nodes drop it with the next
      document, which only the root keys can sign.

    Args:
        store: Where keys and documents are.
        artifacts: Gateways fetch documents by digest.
        reader: Verifies documents.
        approvals: A second person agrees to a revocation.
        links: Gateways are told.
        clock: Wall time.
    """

    def __init__(
        self,
        store: TrustStore,
        artifacts: ArtifactStore,
        reader: DocumentReader,
        approvals: ApprovalService,
        links: GatewayLinks,
        clock: Clock,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._reader = reader
        self._approvals = approvals
        self._links = links
        self._clock = clock

    async def trust(self, principal: Principal) -> Trust:
        """Return keys and documents."""
        principal.require(Permission.SEE)
        return await self._store.trust()

    async def trust_key(self, principal: Principal, public_key: bytes, name: str) -> None:
        """Trust a public key: from now on its signature makes a release valid.

        Raises:
            InvalidError: It is no public key.
            ConflictError: A document says which keys count, or the key was revoked.
        """
        principal.require(Permission.TRUST_KEYS)
        if len(public_key) not in KEY_BYTES:
            raise InvalidError(
                "a release key has 32 bytes (Ed25519) or 60 (HSS-LMS), this one has "
                f"{len(public_key)}"
            )
        trust = await self._store.trust()
        if trust.newest:
            raise ConflictError(
                f"trust document {trust.newest.version} says which keys sign releases; publish "
                "one that names this key (`poleward keys rotate`)"
            )
        key = ReleaseKey(public_key, name, self._clock.now_ms())
        _refuse_revoked(trust, (public_key,))
        entry = AuditEntry(principal.name, "release_key.trust", name, (("key", public_key.hex()),))
        self._links.desired_changed(await self._store.put_key(key, entry))

    async def revoke_key(self, principal: Principal, key_id: bytes, reason: str) -> None:
        """Have the fleet and its gateways refuse a key from now on.

        Raises:
            NotFoundError: There is no such key.
            ConflictError: It is revoked already.
            ApprovalNeededError: A second person has to agree first.
        """
        principal.require(Permission.TRUST_KEYS)
        found = [key for key in (await self._store.trust()).keys if key.key_id == key_id]
        if not found:
            raise NotFoundError.of("no_key", key=key_id.hex())
        (key,) = found
        if key.revoked_at_ms:
            raise ConflictError.of("key_revoked", key=key_id.hex(), person=key.revoked_by)
        detail = (("name", key.name), ("reason", reason))
        await self._approvals.require(
            principal,
            GuardedAction("release_key.revoke", key_id.hex(), Permission.TRUST_KEYS, detail=detail),
        )
        revoked = replace(key, revoked_at_ms=self._clock.now_ms(), revoked_by=principal.name)
        entry = AuditEntry(principal.name, "release_key.revoke", key_id.hex(), detail)
        self._links.desired_changed(await self._store.revoke_key(revoked, entry))

    async def make_directive_key(self, principal: Principal) -> DirectiveKey:
        """Make one more key for directives; it signs once a document names it."""
        principal.require(Permission.TRUST_KEYS)
        entry = AuditEntry(principal.name, "directive_key.make", "")
        return await self._store.make_directive_key(entry, only_first=False)

    async def make_first_directive_key(self) -> None:
        """Make a key for directives at the first start, for the first document to name."""
        entry = AuditEntry(_SYSTEM, "directive_key.make", "")
        await self._store.make_directive_key(entry, only_first=True)

    async def publish(self, principal: Principal, signed: bytes) -> TrustDocument:
        """Verify that a document follows the newest one, and give it to the gateways.

        Raises:
            ReleaseRefusedError: It does not; says why.
            ConflictError: It names a key that was revoked, or directive keys of others only, or
                somebody was faster.
        """
        principal.require(Permission.TRUST_KEYS)
        trust = await self._store.trust()
        document = self._reader.read_next(
            signed, trust.newest.signed if trust.newest else None, trust.signers
        )
        now_ms = self._clock.now_ms()
        if document.has_expired(now_ms):
            raise ReleaseRefusedError(
                f"trust document {document.version} has expired; sign one that has not"
            )
        _refuse_revoked(trust, document.release.keys)
        _require_own_directive_keys(trust, document)
        await self._artifacts.put(signed)
        published = replace(document, published_at_ms=now_ms, published_by=principal.name)
        threshold = f"{document.release.threshold} of {len(document.release.keys)}"
        entry = AuditEntry(
            principal.name,
            "trust_document.publish",
            str(document.version),
            (("digest", document.digest.hex()), ("release_keys", threshold)),
        )
        told = await self._store.put_document(published, entry)
        self._links.desired_changed(told)
        return published


def _refuse_revoked(trust: Trust, keys: tuple[bytes, ...]) -> None:
    for key in trust.keys:
        if key.revoked_at_ms and key.public_key in keys:
            raise ConflictError(
                f"release key {key.key_id.hex()} was revoked by {key.revoked_by} and is never "
                "trusted again; make a new one"
            )


def _require_own_directive_keys(trust: Trust, document: TrustDocument) -> None:
    """Refuse a document under which no node would install anything."""
    own = {key.public_key for key in trust.directive_keys}
    directive = document.directive
    signing = own.intersection(directive.keys)
    if directive.keys and len(signing) < directive.threshold:
        raise ConflictError(
            f"trust document {document.version} asks for {directive.threshold} of its "
            f"directive keys, this fleet has {len(signing)} of them; name those that "
            "`poleward keys directive` gives"
        )
