"""Keeps registrations over a restart, so that commands reach nodes at once after it.

Not what a registration means (services/registry.py).
"""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from poleward_gateway.domain.errors import StorageError
from poleward_gateway.domain.nodes import NodeNumber, Registration
from poleward_gateway.ports.clock import Clock
from poleward_gateway.ports.nodes import SecurityContexts
from poleward_gateway.ports.stores import RegistrationStore
from poleward_gateway.services.jobs import JobPool
from poleward_gateway.services.registry import Registry

_log = structlog.get_logger(__name__)

SAVE_INTERVAL_S = 5.0
"""A node that registered less than this before a crash is asked to register again."""


class Registrations:
    """Writes what changed every SAVE_INTERVAL_S: new, renewed or ended, or heard from elsewhere."""

    def __init__(
        self,
        store: RegistrationStore,
        registry: Registry,
        contexts: SecurityContexts,
        jobs: JobPool,
        clock: Clock,
    ) -> None:
        self._store = store
        self._registry = registry
        self._contexts = contexts
        self._jobs = jobs
        self._clock = clock
        self._due_at_s = 0.0

    def restore(self) -> Sequence[NodeNumber]:
        """Take back the registrations that are valid still; return whose."""
        for registration in self._store.registrations().values():
            self._contexts.expect(registration.node, registration.where)
            self._registry.restore(registration)
        return [node for node in self._registry.numbers() if self._registry.is_registered(node)]

    def tick(self) -> None:
        """Save what changed, when it is time."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._due_at_s:
            self._due_at_s = now_s + SAVE_INTERVAL_S
            self._jobs.add("registrations", self.save)

    async def save(self) -> None:
        """Save what changed."""
        stored = self._store.registrations()
        current = self._registry.registrations(self._contexts.where)
        changed = [r for r in current if not _is_same(stored.get(r.node), r)]
        ended = stored.keys() - {registration.node for registration in current}
        if not changed and not ended:
            return
        try:
            await self._store.save(changed, list(ended))
        except StorageError as error:
            _log.warning("registrations_not_saved", error=str(error))


def _is_same(stored: Registration | None, current: Registration) -> bool:
    """Say whether there is nothing to write; when a node was heard changes all the time."""
    if stored is None or abs(stored.until_ms - current.until_ms) > 1000:
        return False
    return stored == replace(current, until_ms=stored.until_ms, heard_at_ms=stored.heard_at_ms)
