"""What the gateway does for its nodes by itself: settle new ones, set clocks, notice silence.

Not commands and not updates. This is the one scheduler: everything periodic hangs on its tick.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from poleward_gateway.domain.errors import NodeError
from poleward_gateway.domain.nodes import DesiredChange, DesiredNode, NodeNumber, NodeTask
from poleward_gateway.ports.clock import Clock
from poleward_gateway.ports.nodes import NodeLink, SecurityContexts
from poleward_gateway.ports.stores import DesiredStore
from poleward_gateway.services.jobs import JobPool
from poleward_gateway.services.registry import Registry

_log = structlog.get_logger(__name__)

TICK_S = 1.0
TIME_INTERVAL_S = 3600
"""Between two settings of a node's clock; the trade allows it ±3 s a day."""
SETTLE_RETRY_S = 15
"""Between two attempts to settle a node that registered."""
ASK_FIRST_S = 3
ASK_AGAIN_S = 60
"""Between two requests to register, to a node that speaks without a registration."""

TickListener = Callable[[], None]


class Upkeep:
    """Keeps nodes as the fleet wants them, apart from their release.

    Args:
        on_settled: Told of a node that is ready for commands and updates.
        on_desired: Told after desired state changed.
        on_wiped: Told of a node that forgot its operational keys.
        tick_listeners: Called once a second; must return at once.
    """

    def __init__(
        self,
        registry: Registry,
        store: DesiredStore,
        contexts: SecurityContexts,
        link: NodeLink,
        jobs: JobPool,
        clock: Clock,
        *,
        on_settled: Callable[[NodeNumber], None],
        on_desired: Callable[[], None],
        on_wiped: Callable[[NodeNumber], Awaitable[object]],
        tick_listeners: Sequence[TickListener],
    ) -> None:
        self._registry = registry
        self._store = store
        self._contexts = contexts
        self._link = link
        self._jobs = jobs
        self._clock = clock
        self._on_settled = on_settled
        self._on_desired = on_desired
        self._on_wiped = on_wiped
        self._tick_listeners = tick_listeners
        # When the next of each is due for a node, on the monotonic clock.
        self._settle_at_s: dict[NodeNumber, float] = {}
        self._time_at_s: dict[NodeNumber, float] = {}
        self._ask_at_s: dict[NodeNumber, float] = {}
        self._settled_as: dict[NodeNumber, DesiredNode] = {}
        self._applying = asyncio.Lock()

    async def apply(self, change: DesiredChange) -> None:
        """Store desired state, use its keys, and settle what differs.

        The keys are in use before the revision counts as held, so that a crash in between has the
        fleet send them again.
        """
        async with self._applying:
            await self._apply(change)

    async def adopt(self, node: DesiredNode) -> None:
        """Serve a node that a work order allows, unless the fleet has said what it is to be."""
        async with self._applying:
            if self._registry.desired(node.number) is None:
                await self._apply(self._own_change(nodes=(node,)))

    async def give_back(self, number: NodeNumber) -> None:
        """Serve an adopted node no longer."""
        async with self._applying:
            node = self._registry.desired(number)
            if node is not None and node.is_adopted:
                await self._apply(self._own_change(removed=(number,)))

    def _own_change(
        self, nodes: tuple[DesiredNode, ...] = (), removed: tuple[NodeNumber, ...] = ()
    ) -> DesiredChange:
        """Make a change that is not the fleet's: its revision stays."""
        return DesiredChange(
            revision=self._store.revision(),
            complete=False,
            nodes=nodes,
            removed=removed,
            signers=self._store.signers(),
            trust_documents=self._store.trust_documents(),
            own_release=self._store.own_release(),
        )

    async def _apply(self, change: DesiredChange) -> None:
        before = {node.number: node for node in self._store.nodes()}
        await self._store.apply(change)
        desired = self._store.nodes()
        nodes = [node for node in desired if node.task is not NodeTask.WIPE]
        kept = {node.number for node in nodes}
        removed = [number for number in self._registry.numbers() if number not in kept]
        await self._announce_new_keys(before, nodes)
        await self._contexts.replace(desired, removed=removed)
        self._registry.replace_nodes(nodes)
        for node in desired:
            if node.task is NodeTask.WIPE:
                self.wipe(node.number)
        for number in removed:
            for known in (self._settle_at_s, self._time_at_s, self._ask_at_s, self._settled_as):
                known.pop(number, None)
        for node in nodes:
            settled = self._settled_as.get(node.number)
            if settled is not None and _settings(settled) != _settings(node):
                self._settle_at_s[node.number] = self._clock.monotonic_s()
        _log.info("desired_state", revision=change.revision, nodes=len(nodes))
        self._on_desired()

    async def _announce_new_keys(
        self, before: Mapping[NodeNumber, DesiredNode], nodes: Sequence[DesiredNode]
    ) -> None:
        """Have nodes whose keys end now bootstrap again, as long as they still take our word."""
        changed = [
            node.number
            for node in nodes
            if self._registry.is_registered(node.number)
            and before[node.number].operational != node.operational
        ]
        asked = await asyncio.gather(
            *(self._link.ask_to_bootstrap(number) for number in changed), return_exceptions=True
        )
        for number, error in zip(changed, asked, strict=True):
            if isinstance(error, NodeError):
                _log.info("node_not_asked", node=number, error=str(error))
            elif isinstance(error, BaseException):
                raise error

    def wipe(self, node: NodeNumber) -> None:
        """Have a node that left forget its keys; asked again whenever it is heard."""
        self._jobs.add(("wipe", node), lambda: self._wipe(node))

    def registered(self, node: NodeNumber) -> None:
        """Settle a node that registered just now."""
        self._settled_as.pop(node, None)
        self._ask_at_s.pop(node, None)
        self._settle_at_s[node] = self._clock.monotonic_s()
        self._start_due(node)

    def heard_unregistered(self, node: NodeNumber) -> None:
        """Ask a node that speaks without a registration to register."""
        now_s = self._clock.monotonic_s()
        # A node that is about to register is heard first; it gets a moment.
        ask_at_s = self._ask_at_s.setdefault(node, now_s + ASK_FIRST_S)
        if now_s < ask_at_s:
            return
        self._ask_at_s[node] = now_s + ASK_AGAIN_S
        self._jobs.add(("ask", node), lambda: self._ask(node))

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)

    def tick(self) -> None:
        """Start what is due."""
        self._registry.tick()
        now_s = self._clock.monotonic_s()
        due = [node for node, at_s in self._settle_at_s.items() if at_s <= now_s]
        due += [node for node, at_s in self._time_at_s.items() if at_s <= now_s]
        for node in due:
            self._start_due(node)
        for listener in self._tick_listeners:
            listener()

    def _start_due(self, node: NodeNumber) -> None:
        """Start the job that a node needs most."""
        if not self._registry.is_registered(node):
            self._settle_at_s.pop(node, None)
            self._time_at_s.pop(node, None)
        elif node in self._settle_at_s:
            self._settle_at_s[node] = self._clock.monotonic_s() + SETTLE_RETRY_S
            self._jobs.add(("settle", node), lambda: self._settle(node))
        else:
            self._time_at_s[node] = self._clock.monotonic_s() + TIME_INTERVAL_S
            self._jobs.add(("time", node), lambda: self._set_time(node))

    async def _settle(self, node: NodeNumber) -> None:
        """Make a node ready and learn what it is."""
        desired = self._registry.desired(node)
        if desired is None:
            return
        try:
            device = await self._link.settle(
                node,
                report_interval_s=desired.report_interval_s,
                lamp_nominal_w=desired.lamp_nominal_w,
                now_s=self._clock.now_ms() // 1000,
            )
        except NodeError as error:
            _log.warning("node_not_settled", node=node, error=str(error))
            return
        self._settle_at_s.pop(node, None)
        self._settled_as[node] = desired
        self._time_at_s[node] = self._clock.monotonic_s() + TIME_INTERVAL_S
        self._registry.note_device(node, device)
        self._on_settled(node)

    async def _set_time(self, node: NodeNumber) -> None:
        """Set a node's clock; the next hour tries again when it fails."""
        try:
            await self._link.write_time(node, self._clock.now_ms() // 1000)
        except NodeError as error:
            _log.info("clock_not_set", node=node, error=str(error))

    async def _wipe(self, node: NodeNumber) -> None:
        """Wipe a node and have the fleet told."""
        try:
            await self._link.wipe(node)
        except NodeError as error:
            _log.info("node_not_wiped", node=node, error=str(error))
            return
        _log.info("node_wiped", node=node)
        await self._on_wiped(node)

    async def _ask(self, node: NodeNumber) -> None:
        """Ask a node to register."""
        if self._registry.is_registered(node):
            return
        try:
            await self._link.ask_to_register(node)
        except NodeError as error:
            _log.info("node_not_asked", node=node, error=str(error))


def _settings(node: DesiredNode) -> tuple[int, int]:
    """Return what settling writes to a node."""
    return node.report_interval_s, node.lamp_nominal_w
