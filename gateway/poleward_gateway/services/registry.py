"""Which nodes there are, which are registered, which live; and who must be told of a change.

Not what is asked of a node after it registered: services/upkeep.py.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from poleward_gateway.domain.nodes import (
    AWAKE_S,
    SILENT_AFTER_INTERVALS,
    DesiredNode,
    DeviceFacts,
    LinkState,
    NodeNumber,
    NodeState,
    Registration,
    link_state_after,
)
from poleward_gateway.domain.updates import NodeUpdate
from poleward_gateway.ports.clock import Clock, Tally

_log = structlog.get_logger(__name__)

GRACE_S = 30
"""A registration outlives its lifetime by this, for an update that is on its way."""

HEARD_RESOLUTION_MS = 500
"""Messages closer together than this count as one; a new state for each would cost too much."""

HEARD_REPORT_MS = 30_000
"""The fleet learns that a node was heard at most this often, unless something else changed."""


@dataclass(slots=True)
class _Entry:
    """What the registry knows about one node."""

    desired: DesiredNode
    state: NodeState
    known_since_ms: int
    bootstrapped: bool = False
    registered_until_s: float | None = None
    ever_registered: bool = False
    told_heard_at_ms: int = 0
    is_queued: bool = False


class Registry:
    """Every node of the gateway, in memory; registrations are kept by services/registrations.py.

    A node that is heard without a registration is asked to register again (services/upkeep.py).
    """

    def __init__(self, clock: Clock, tally: Tally) -> None:
        self._clock = clock
        self._tally = tally
        self._entries: dict[NodeNumber, _Entry] = {}
        self._changed: set[NodeNumber] = set()
        self._sleepers: dict[NodeNumber, asyncio.Event] = {}

    def replace_nodes(self, nodes: list[DesiredNode]) -> None:
        """Take the desired nodes; what is known about those that stay is kept."""
        entries = {}
        for desired in nodes:
            entry = self._entries.get(desired.number)
            if entry is None:
                state = NodeState(desired.number, LinkState.BOOTSTRAPPED, heard_at_ms=0)
                entry = _Entry(desired, state, known_since_ms=self._clock.now_ms())
            elif entry.desired.operational != desired.operational:
                # New keys: the registration under the old ones is void.
                entry.registered_until_s = None
                entry.ever_registered = False
            entry.desired = desired
            entries[desired.number] = entry
        self._entries = entries
        self._changed &= entries.keys()

    def desired(self, node: NodeNumber) -> DesiredNode | None:
        """Return what the fleet wants a node to be."""
        entry = self._entries.get(node)
        return None if entry is None else entry.desired

    def numbers(self) -> list[NodeNumber]:
        """List every node."""
        return list(self._entries)

    def is_registered(self, node: NodeNumber) -> bool:
        """Say whether a node's registration is valid."""
        entry = self._entries.get(node)
        return entry is not None and entry.registered_until_s is not None

    def state(self, node: NodeNumber) -> NodeState | None:
        """Return what is known about a node."""
        entry = self._entries.get(node)
        return None if entry is None else entry.state

    def note_bootstrapped(self, node: NodeNumber) -> None:
        """Note that a node took its operational keys."""
        entry = self._entries.get(node)
        if entry is not None:
            entry.bootstrapped = True
            self._changed.add(node)

    def register(self, node: NodeNumber, lifetime_s: int, *, is_queued: bool = False) -> None:
        """Note that a node registered.

        Args:
            node: Which.
            lifetime_s: Until then it must have been renewed.
            is_queued: The node sleeps and listens only for AWAKE_S after its own messages.
        """
        entry = self._entries.get(node)
        if entry is None:
            return
        entry.is_queued = is_queued
        if not entry.ever_registered:
            _log.info("node_registered", node=node)
        entry.ever_registered = True
        entry.registered_until_s = self._clock.monotonic_s() + lifetime_s + GRACE_S
        self._tally.count("registrations")
        self._refresh(entry)
        self._changed.add(node)

    def restore(self, registration: Registration) -> None:
        """Take a registration from before the gateway was restarted."""
        entry = self._entries.get(registration.node)
        left_s = (registration.until_ms - self._clock.now_ms()) / 1000
        if entry is None or left_s <= 0:
            return
        entry.ever_registered = True
        entry.is_queued = registration.is_queued
        entry.registered_until_s = self._clock.monotonic_s() + left_s
        entry.state = replace(entry.state, heard_at_ms=registration.heard_at_ms)
        self._refresh(entry)

    def registrations(self, where: Callable[[NodeNumber], str]) -> list[Registration]:
        """List the valid registrations, with the addresses that `where` knows."""
        offset_ms = self._clock.now_ms() - self._clock.monotonic_s() * 1000
        return [
            Registration(
                node,
                int(offset_ms + entry.registered_until_s * 1000),
                entry.state.heard_at_ms,
                entry.is_queued,
                where(node),
            )
            for node, entry in self._entries.items()
            if entry.registered_until_s is not None
        ]

    def sleeps(self, node: NodeNumber) -> bool:
        """Say whether a node listens only after its own messages."""
        entry = self._entries.get(node)
        return entry is not None and entry.is_queued

    def is_awake(self, node: NodeNumber) -> bool:
        """Say whether a node listens now."""
        entry = self._entries.get(node)
        if entry is None or not entry.is_queued:
            return True
        return self._clock.now_ms() - entry.state.heard_at_ms < AWAKE_S * 1000

    async def awake(self, node: NodeNumber) -> None:
        """Wait until a node listens; the caller has a deadline."""
        while not self.is_awake(node):
            await self._sleepers.setdefault(node, asyncio.Event()).wait()

    def renew(self, node: NodeNumber, lifetime_s: int) -> bool:
        """Note a registration update; False when there is no registration to update."""
        entry = self._entries.get(node)
        if entry is None or entry.registered_until_s is None:
            return False
        entry.registered_until_s = self._clock.monotonic_s() + lifetime_s + GRACE_S
        return True

    def deregister(self, node: NodeNumber) -> bool:
        """Note that a node said goodbye; False when it was not registered."""
        entry = self._entries.get(node)
        if entry is None or entry.registered_until_s is None:
            return False
        entry.registered_until_s = None
        self._refresh(entry)
        return True

    def heard(self, nodes: Sequence[NodeNumber]) -> list[NodeNumber]:
        """Note authenticated messages; any counts, whatever it says.

        Args:
            nodes: Who sent one just now.

        Returns:
            Those of them that are not registered.
        """
        now_ms = self._clock.now_ms()
        unregistered = []
        for node in nodes:
            entry = self._entries.get(node)
            if entry is None:
                continue
            is_known = now_ms - entry.state.heard_at_ms < HEARD_RESOLUTION_MS
            if is_known and entry.state.link_state is LinkState.ONLINE:
                continue
            entry.state = replace(entry.state, heard_at_ms=now_ms)
            if entry.state.link_state is not LinkState.ONLINE:
                self._refresh(entry)
            if entry.registered_until_s is None:
                unregistered.append(node)
        for node in self._sleepers.keys() & nodes if self._sleepers else ():
            self._sleepers.pop(node).set()
        return unregistered

    def note_boot(self, node: NodeNumber, boot: int) -> None:
        """Note a node's boot count, known from its reports."""
        self._note(node, boot=boot)

    def trust_version(self, node: NodeNumber) -> int | None:
        """Return the number of the trust document that a node follows; None where not known."""
        state = self.state(node)
        return None if state is None or state.device is None else state.device.trust_version

    def note_trust_version(self, node: NodeNumber, version: int) -> None:
        """Note which trust document a node follows."""
        state = self.state(node)
        if state is not None and state.device is not None:
            self._note(node, device=replace(state.device, trust_version=version))

    def note_device(self, node: NodeNumber, device: DeviceFacts) -> None:
        """Note what a node said about itself."""
        self._note(node, device=device)

    def note_confirmed(self, node: NodeNumber, sequence: int) -> None:
        """Note that a node's trial is over and which release it runs for good."""
        state = self.state(node)
        if state is not None and state.device is not None:
            device = replace(state.device, release_sequence=sequence, on_trial=False)
            self._note(node, device=device)

    def note_update(self, node: NodeNumber, update: NodeUpdate | None) -> None:
        """Note where a node stands in an update."""
        self._note(node, update=update)

    def note_program(self, node: NodeNumber, digest: str) -> None:
        """Note which lighting program a node follows."""
        self._note(node, program_digest=digest)

    def tick(self) -> None:
        """Find registrations that expired and nodes that fell silent."""
        now_s = self._clock.monotonic_s()
        online = 0
        for entry in self._entries.values():
            if entry.registered_until_s is not None and entry.registered_until_s < now_s:
                entry.registered_until_s = None
                _log.info("registration_expired", node=entry.desired.number)
            self._refresh(entry)
            online += entry.state.link_state is LinkState.ONLINE
            heard_since_told_ms = entry.state.heard_at_ms - entry.told_heard_at_ms
            if heard_since_told_ms >= HEARD_REPORT_MS:
                self._changed.add(entry.desired.number)
        self._tally.gauge("nodes", len(self._entries))
        self._tally.gauge("nodes_online", online)

    def take_changed(self, limit: int) -> list[NodeState]:
        """Return states that the fleet does not know yet; they count as known from now on.

        A node that has not been heard since the gateway started is left out for as long as it
        takes to fall silent: the fleet knows more about it.
        """
        taken: list[NodeState] = []
        while self._changed and len(taken) < limit:
            entry = self._entries.get(self._changed.pop())
            if entry is not None and _is_worth_telling(entry):
                entry.told_heard_at_ms = entry.state.heard_at_ms
                taken.append(entry.state)
        return taken

    def tell_everything(self) -> None:
        """Have every state told again, after the stream was opened or broke."""
        self._changed.update(self._entries)

    def _note(self, node: NodeNumber, **facts: object) -> None:
        """Change a state where it differs."""
        entry = self._entries.get(node)
        if entry is None:
            return
        changed = replace(entry.state, **facts)  # type: ignore[arg-type]
        if changed != entry.state:
            entry.state = changed
            self._changed.add(node)

    def _refresh(self, entry: _Entry) -> None:
        """Apply the presence rule; log a node once when it goes and once when it returns."""
        link_state = link_state_after(
            registered=entry.registered_until_s is not None,
            ever_registered=entry.ever_registered,
            heard_at_ms=entry.state.heard_at_ms,
            now_ms=self._clock.now_ms(),
            report_interval_s=entry.desired.report_interval_s,
        )
        silence_ms = SILENT_AFTER_INTERVALS * entry.desired.report_interval_s * 1000
        never_heard = not entry.state.heard_at_ms and not entry.bootstrapped
        if never_heard and self._clock.now_ms() - entry.known_since_ms > silence_ms:
            link_state = LinkState.OFFLINE
        before = entry.state.link_state
        if link_state is before:
            return
        entry.state = replace(entry.state, link_state=link_state)
        self._changed.add(entry.desired.number)
        if link_state in {LinkState.SILENT, LinkState.OFFLINE} and entry.state.heard_at_ms:
            _log.warning("node_went", node=entry.desired.number, state=link_state.value)
        elif before in {LinkState.SILENT, LinkState.OFFLINE}:
            _log.info("node_returned", node=entry.desired.number)


def _is_worth_telling(entry: _Entry) -> bool:
    """Say whether the gateway knows anything about a node that the fleet may not know."""
    return entry.bootstrapped or entry.state.link_state is not LinkState.BOOTSTRAPPED
