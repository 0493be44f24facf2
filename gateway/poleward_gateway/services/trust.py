"""Follows the chain of trust documents, decides who may sign releases, and has nodes follow.

Not the verification of documents (port DocumentVerifier) and not that of releases.
"""

import functools
from collections.abc import Awaitable, Callable

import structlog

from poleward_gateway.domain.errors import ArtifactError, ArtifactUnavailableError, NodeError
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.domain.trust import Signers, TrustDocument
from poleward_gateway.ports.clock import Clock
from poleward_gateway.ports.nodes import NodeLink
from poleward_gateway.ports.releases import DocumentVerifier, TrustStore
from poleward_gateway.ports.stores import DesiredStore
from poleward_gateway.services.jobs import JobPool
from poleward_gateway.services.registry import Registry

_log = structlog.get_logger(__name__)

FETCH_AGAIN_S = 10.0
"""Between two attempts to get a document that the fleet has."""
ANNOUNCE_AGAIN_S = 60.0
"""Between two announcements to a node that does not follow."""


class TrustChain:
    """Every trust document from number 1 on.

    The first one is believed as the fleet gives it; each further one only with the signatures that
    the one before asks for. From then on the fleet can take release keys away and add none.

    Args:
        fetch: Downloads content by its digest; raises ArtifactError.
    """

    def __init__(
        self,
        store: TrustStore,
        desired: DesiredStore,
        verifier: DocumentVerifier,
        fetch: Callable[[bytes], Awaitable[bytes]],
        registry: Registry,
        link: NodeLink,
        jobs: JobPool,
        clock: Clock,
    ) -> None:
        self._store = store
        self._desired = desired
        self._verifier = verifier
        self._fetch = fetch
        self._registry = registry
        self._link = link
        self._jobs = jobs
        self._clock = clock
        self._fetch_at_s = 0.0
        self._announce_at_s: dict[NodeNumber, float] = {}
        self._documents: list[TrustDocument] = []
        for signed in store.documents():
            try:
                self._documents.append(verifier.verify_next(signed, self._newest))
            except ArtifactError as error:
                # Fetched again: the fleet has them all.
                _log.error("trust_document_damaged", error=str(error))
                break

    @property
    def _newest(self) -> TrustDocument | None:
        return self._documents[-1] if self._documents else None

    def signers(self) -> Signers:
        """Return who may sign releases now: whom both the fleet and the newest document name."""
        told = self._desired.signers()
        newest = self._newest
        if newest is None:
            return told
        if newest.expires_at_s * 1000 <= self._clock.now_ms():
            return Signers((), newest.signers.threshold, expired_document=newest.version)
        return Signers(
            tuple(key for key in told.keys if key in newest.signers.keys),
            max(told.threshold, newest.signers.threshold),
        )

    def directive_signers(self) -> Signers:
        """Return who may sign directives now.

        Raises:
            ArtifactUnavailableError: The newest document is on its way, with other keys maybe.
        """
        if len(self._documents) < len(self._desired.trust_documents()):
            raise ArtifactUnavailableError("the newest trust document is not here yet")
        return self._newest.directive_signers if self._newest else Signers((), 1)

    def document(self, version: int) -> bytes | None:
        """Return a document as nodes fetch it; None when it is not here."""
        return self._documents[version - 1].signed if 0 < version <= len(self._documents) else None

    def asked_for(self, node: NodeNumber, version: int) -> None:
        """Note that a node fetches a document: it has the one before."""
        self._registry.note_trust_version(node, min(version - 1, len(self._documents)))

    def tick(self) -> None:
        """Get what the fleet has and have nodes get what is here."""
        now_s = self._clock.monotonic_s()
        if len(self._documents) < len(self._desired.trust_documents()) and (
            self._fetch_at_s <= now_s
        ):
            self._fetch_at_s = now_s + FETCH_AGAIN_S
            self._jobs.add("trust", self._follow)
        for node in self._registry.numbers():
            version = self._registry.trust_version(node)
            if version is None or version >= len(self._documents):
                self._announce_at_s.pop(node, None)
            elif self._registry.is_registered(node) and (
                self._announce_at_s.get(node, 0.0) <= now_s
            ):
                self._announce_at_s[node] = now_s + ANNOUNCE_AGAIN_S
                self._jobs.add(("trust", node), functools.partial(self._announce, node))

    async def _follow(self) -> None:
        """Fetch and verify the documents after the newest."""
        for digest in self._desired.trust_documents()[len(self._documents) :]:
            try:
                signed = await self._fetch(digest)
                document = self._verifier.verify_next(signed, self._newest)
            except ArtifactError as error:
                _log.error("trust_document_refused", digest=digest.hex(), error=str(error))
                return
            self._store.write(document.version, signed)
            self._documents.append(document)
            self._announce_at_s.clear()
            _log.info("trust_document", version=document.version)

    async def _announce(self, node: NodeNumber) -> None:
        try:
            await self._link.announce_trust(node, len(self._documents))
        except NodeError as error:
            _log.info("trust_not_announced", node=node, error=str(error))
