"""Keeps each node's lighting program as the fleet wants it, with or without the fleet.

Not the running of a program: each node does that by itself.
"""

import functools

import structlog

from poleward_gateway.domain.errors import NodeError, NodeRefusedError
from poleward_gateway.domain.lighting import Lighting, NodeProgram, node_program
from poleward_gateway.domain.nodes import NodeNumber
from poleward_gateway.ports.clock import Clock
from poleward_gateway.ports.nodes import NodeLink
from poleward_gateway.ports.stores import LightingStore
from poleward_gateway.services.jobs import JobPool
from poleward_gateway.services.registry import Registry

_log = structlog.get_logger(__name__)

RETRY_S = 60
CHECK_S = 6 * 3600
"""A program carries its clock's next change, a day or more ahead: this is often enough."""


class Programs:
    """What lighting the gateway holds, and which nodes still lack their program.

    A node is looked at when it registered, when lighting changed, and a few times a day. What it
    has is read first: a program that it has already is not written to its flash again.
    """

    def __init__(
        self,
        store: LightingStore,
        registry: Registry,
        link: NodeLink,
        jobs: JobPool,
        clock: Clock,
    ) -> None:
        self._store = store
        self._registry = registry
        self._link = link
        self._jobs = jobs
        self._clock = clock
        self._look_at_s: dict[NodeNumber, float] = {}

    @property
    def lighting(self) -> Lighting:
        """What the fleet said last."""
        return self._store.lighting()

    async def take(self, lighting: Lighting) -> None:
        """Take lighting from the fleet; it is on disk when this returns."""
        await self._store.save(lighting)
        _log.info(
            "lighting",
            programs=len(lighting.programs),
            groups=len(lighting.groups),
            rules=len(lighting.rules),
        )
        for node in self._registry.numbers():
            self._look_at_s[node] = 0.0
        self.tick()

    def node_settled(self, node: NodeNumber) -> None:
        """Look at a node that registered."""
        self._look_at_s[node] = 0.0
        self.tick()

    def tick(self) -> None:
        """Look at the nodes whose turn it is."""
        now_s = self._clock.monotonic_s()
        for node, look_at_s in self._look_at_s.items():
            if look_at_s <= now_s and self._registry.is_registered(node):
                self._look_at_s[node] = now_s + RETRY_S
                self._jobs.add(("program", node), functools.partial(self._reconcile, node))

    async def _reconcile(self, node: NodeNumber) -> None:
        """Compare what a node has with what it should have, and write it if it differs."""
        wanted = self._wanted(node)
        try:
            has = await self._link.read_program_name(node)
            if has != wanted.name:
                await self._link.write_program(node, wanted)
        except NodeRefusedError as error:
            # It cannot run programs, or not this one: asking again would not change that.
            if wanted.name:
                _log.warning("program_refused", node=node, error=str(error))
        except NodeError as error:
            _log.info("program_not_written", node=node, error=str(error))
            return
        else:
            self._registry.note_program(node, wanted.digest)
        # What changed meanwhile found this job running and was not queued.
        is_current = self._wanted(node) == wanted
        self._look_at_s[node] = self._clock.monotonic_s() + CHECK_S if is_current else 0.0

    def _wanted(self, node: NodeNumber) -> NodeProgram:
        lighting = self.lighting
        place = lighting.place(node)
        programs = {program.name: program for program in lighting.programs}
        program = programs.get(place.program) if place else None
        return node_program(program, place, self._clock.now_ms() // 1000)
