"""The open streams of gateways: what goes down to each, who is connected.

Not what comes up (services/ingest.py) and not the wire (adapters/grpc).
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence

import structlog

from poleward_fleet.domain.commands import Command
from poleward_fleet.domain.gateway_link import (
    BatchStored,
    GatewayCertificate,
    GatewaySoftware,
    Hello,
    StoredBatches,
)
from poleward_fleet.domain.identity import DesiredState
from poleward_fleet.domain.lighting import GatewayLighting
from poleward_fleet.domain.work_orders import SignedOrder, SiteVisitOutcome
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.commands import CommandStore
from poleward_fleet.ports.gateways import GatewayStore
from poleward_fleet.ports.lighting import LightingStore
from poleward_fleet.ports.nodes import AppliedStates, NodeStore
from poleward_fleet.ports.work_orders import WorkOrderStore
from poleward_fleet.services.changes import ChangeBroadcast

_log = structlog.get_logger(__name__)

MAX_COMMANDS_WAITING = 10_000
# Gateways whose desired state is read at the same time: with a change for all of them, people
# still find a free connection to the database.
MAX_READS_AT_ONCE = 4

Downward = (
    DesiredState
    | GatewayLighting
    | SignedOrder
    | SiteVisitOutcome
    | tuple[Command, ...]
    | BatchStored
)
"""What goes down a stream; commands that were ordered together go together."""


class GatewayLink:
    """One open stream.

    Downward messages wait here until the stream takes them: at most one desired state (it is
    always read anew from the last revision sent), its lighting (sent when its digest differs from
    the one sent last), its work order (when it is newer than what it holds), outcomes of visits
    and acknowledgements (only the newest of each kind counts) and at most MAX_COMMANDS_WAITING
    commands; more are left to the resend at the next connect, before their deadline.
    """

    def __init__(self, gateway_name: str, hello: Hello) -> None:
        self.gateway_name = gateway_name
        self.spool_id = hello.spool_id
        self._lighting_digest = hello.lighting_digest
        self._lighting_changed = True
        self._order_revision = hello.work_order_revision
        self._order_changed = True
        self._outcomes: dict[str, SiteVisitOutcome] = {}
        self._node_numbers: set[int] = set()
        self.heard = True
        self._revision = hello.desired_revision
        self._desired_changed = True
        self._acks: dict[str, int] = {}
        self._commands: dict[bytes, Command] = {}
        self._woken = asyncio.Event()
        self._closed = False

    def close(self) -> None:
        """End the stream; `messages` stops."""
        self._closed = True
        self._woken.set()

    def desired_changed(self) -> None:
        """Send the desired state again, from the revision sent last."""
        self._desired_changed = True
        self._woken.set()

    def acknowledge(self, kind: str, batch_number: int) -> None:
        """Tell the gateway that batches up to this one are stored."""
        self._acks[kind] = batch_number
        self._woken.set()

    def lighting_changed(self) -> None:
        """Send the lighting again, if it differs from what was sent last."""
        self._lighting_changed = True
        self._woken.set()

    def work_order_changed(self) -> None:
        """Send the work order."""
        self._order_changed = True
        self._woken.set()

    def tell(self, outcome: SiteVisitOutcome) -> None:
        """Tell the gateway what became of a visit; the newest of each visit counts."""
        self._outcomes[outcome.visit_id] = outcome
        self._woken.set()

    def send(self, commands: Sequence[Command]) -> None:
        """Hand over the commands of one order."""
        if len(self._commands) + len(commands) > MAX_COMMANDS_WAITING:
            _log.warning("commands_waiting_limit", gateway=self.gateway_name)
            return
        self._commands |= {command.command_id: command for command in commands}
        self._woken.set()

    def _look_for_new_nodes(self, state: DesiredState) -> None:
        """Have the lighting looked at again when nodes came that it may be about."""
        numbers = {node.node_number for node in state.nodes}
        if not numbers <= self._node_numbers:
            self._node_numbers |= numbers
            self._lighting_changed = True

    async def messages(
        self,
        nodes: NodeStore,
        lighting: LightingStore,
        orders: WorkOrderStore,
        turns: asyncio.Semaphore,
    ) -> AsyncIterator[Downward]:
        """Yield what goes down, commands first; desired state is read when it is its turn."""
        while not self._closed:
            await self._woken.wait()
            self._woken.clear()
            commands, self._commands = self._commands, {}
            if commands:
                yield tuple(commands.values())
            acks, self._acks = self._acks, {}
            for kind, number in acks.items():
                yield BatchStored(kind, number)
            outcomes, self._outcomes = self._outcomes, {}
            for outcome in outcomes.values():
                yield outcome
            if self._order_changed:
                self._order_changed = False
                order = await orders.signed_after(self.gateway_name, self._order_revision)
                if order is not None:
                    yield order
            if self._desired_changed:
                self._desired_changed = False
                async with turns:
                    state = await nodes.desired_state(self.gateway_name, self._revision)
                if state.complete or state.revision != self._revision:
                    self._revision = state.revision
                    yield state
                    self._look_for_new_nodes(state)
            if self._lighting_changed:
                self._lighting_changed = False
                wanted = await lighting.gateway_lighting(self.gateway_name)
                if wanted.digest() != self._lighting_digest:
                    self._lighting_digest = wanted.digest()
                    yield wanted


class GatewayLinks:
    """Every open stream by name; a gateway that connects again replaces its old stream.

    Args:
        gateways: Enrolment and presence.
        nodes: Desired state.
        commands: Commands to send again at connect.
        lighting: What gateways need to run their lamps by themselves.
        orders: What technicians may do at gateways that cannot reach the fleet.
        changes: Told who comes and goes.
        clock: Wall time.
    """

    def __init__(
        self,
        gateways: GatewayStore,
        nodes: NodeStore,
        commands: CommandStore,
        lighting: LightingStore,
        orders: WorkOrderStore,
        changes: ChangeBroadcast,
        clock: Clock,
    ) -> None:
        self._gateways = gateways
        self._nodes = nodes
        self._commands = commands
        self._lighting = lighting
        self._orders = orders
        self._changes = changes
        self._clock = clock
        self._links: dict[str, GatewayLink] = {}
        self._turns = asyncio.Semaphore(MAX_READS_AT_ONCE)

    async def require_current(self, certificate: GatewayCertificate) -> None:
        """Insist on a certificate that was neither revoked nor replaced.

        Raises:
            UnauthenticatedError: It was; the gateway has to enrol again.
        """
        await self._gateways.require_current(certificate)

    async def open(self, gateway_name: str, hello: Hello) -> tuple[GatewayLink, StoredBatches]:
        """Open a stream; return it and where the gateway's spool goes on.

        Raises:
            UnauthenticatedError: The gateway is not known (any more).
        """
        stored = await self._gateways.hello(gateway_name, hello, self._clock.now_ms())
        link = GatewayLink(gateway_name, hello)
        link.desired_changed()
        previous = self._links.get(gateway_name)
        self._links[gateway_name] = link
        if previous is not None:
            previous.close()
        link.send(await self._commands.pending(gateway_name, self._clock.now_ms()))
        _log.info("gateway_connected", gateway=gateway_name, version=hello.software_version)
        self._changes.publish(gateway_names=[gateway_name])
        return link, stored

    def messages(self, link: GatewayLink) -> AsyncIterator[Downward]:
        """Yield what goes down on a stream until it is closed."""
        return link.messages(self._nodes, self._lighting, self._orders, self._turns)

    def close(self, link: GatewayLink) -> None:
        """Forget a stream; closing one that was replaced changes nothing for the new one."""
        link.close()
        if self._links.get(link.gateway_name) is link:
            del self._links[link.gateway_name]
            _log.info("gateway_disconnected", gateway=link.gateway_name)
            self._changes.publish(gateway_names=[link.gateway_name])

    def close_all(self) -> None:
        """End every stream."""
        for link in list(self._links.values()):
            link.close()

    def end(self, gateway_name: str) -> None:
        """End the stream of a gateway, if it is open."""
        if (link := self._links.get(gateway_name)) is not None:
            link.close()

    def connected(self) -> Collection[str]:
        """Return the names of gateways whose stream is open."""
        return self._links.keys()

    def desired_changed(self, gateway_names: Iterable[str] | None) -> None:
        """Send desired state to these gateways, or to all; those that are away get it later."""
        names = self._links.keys() if gateway_names is None else gateway_names
        for name in names:
            if (link := self._links.get(name)) is not None:
                link.desired_changed()

    def lighting_changed(self) -> None:
        """Send lighting to every gateway for which it differs; those that are away get it later."""
        for link in self._links.values():
            link.lighting_changed()

    def work_order_changed(self, gateway_name: str) -> None:
        """Send a gateway its work order; one that is away gets it later."""
        if (link := self._links.get(gateway_name)) is not None:
            link.work_order_changed()

    def send(self, gateway_name: str, commands: Sequence[Command]) -> bool:
        """Hand the commands of one order to a gateway; False when it is not connected."""
        link = self._links.get(gateway_name)
        if link is None:
            return False
        link.send(commands)
        return True

    async def software(
        self, link: GatewayLink, software: GatewaySoftware
    ) -> tuple[int, AppliedStates]:
        """Store what a gateway runs itself; return its number and what that changed."""
        stored = await self._gateways.software(link.gateway_name, software, self._clock.now_ms())
        self._changes.publish(gateway_names=[link.gateway_name])
        return stored

    async def note_heard(self) -> None:
        """Store when gateways were last heard, one statement for all; called now and then."""
        names = [name for name, link in self._links.items() if link.heard]
        for name in names:
            self._links[name].heard = False
        if names:
            await self._gateways.heard(names, self._clock.now_ms())
