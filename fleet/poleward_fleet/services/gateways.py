"""The open streams of gateways: what goes down to each, who is connected.

Not what comes up (services/ingest.py) and not the wire (adapters/grpc).
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable

import structlog

from poleward_fleet.domain.commands import Command
from poleward_fleet.domain.gateway_link import Hello, StoredBatches
from poleward_fleet.domain.identity import DesiredState
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.commands import CommandStore
from poleward_fleet.ports.gateways import GatewayStore
from poleward_fleet.ports.nodes import NodeStore
from poleward_fleet.services.changes import ChangeBroadcast

_log = structlog.get_logger(__name__)

MAX_COMMANDS_WAITING = 10_000


class GatewayLink:
    """One open stream.

    Downward messages wait here until the stream takes them: at most one desired state (it is
    always read anew from the last revision sent), acknowledgements (only the newest of each kind
    counts) and at most MAX_COMMANDS_WAITING commands; more are left to the resend at the next
    connect, before their deadline.
    """

    def __init__(self, gateway_name: str, spool_id: str, revision: int) -> None:
        self.gateway_name = gateway_name
        self.spool_id = spool_id
        self.heard = True
        self._revision = revision
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

    def send(self, command: Command) -> None:
        """Hand over a command."""
        if len(self._commands) >= MAX_COMMANDS_WAITING:
            _log.warning("commands_waiting_limit", gateway=self.gateway_name)
            return
        self._commands[command.command_id] = command
        self._woken.set()

    async def messages(
        self, nodes: NodeStore
    ) -> AsyncIterator[DesiredState | Command | tuple[str, int]]:
        """Yield what goes down, commands first; acknowledgements as (kind, batch number)."""
        while not self._closed:
            await self._woken.wait()
            self._woken.clear()
            commands, self._commands = self._commands, {}
            for command in commands.values():
                yield command
            acks, self._acks = self._acks, {}
            for kind, number in acks.items():
                yield kind, number
            if self._desired_changed:
                self._desired_changed = False
                state = await nodes.desired_state(self.gateway_name, self._revision)
                if state.complete or state.revision != self._revision:
                    self._revision = state.revision
                    yield state


class GatewayLinks:
    """Every open stream by name; a gateway that connects again replaces its old stream.

    Args:
        gateways: Enrolment and presence.
        nodes: Desired state.
        commands: Commands to send again at connect.
        changes: Told who comes and goes.
        clock: Wall time.
    """

    def __init__(
        self,
        gateways: GatewayStore,
        nodes: NodeStore,
        commands: CommandStore,
        changes: ChangeBroadcast,
        clock: Clock,
    ) -> None:
        self._gateways = gateways
        self._nodes = nodes
        self._commands = commands
        self._changes = changes
        self._clock = clock
        self._links: dict[str, GatewayLink] = {}

    async def open(self, gateway_name: str, hello: Hello) -> tuple[GatewayLink, StoredBatches]:
        """Open a stream; return it and where the gateway's spool goes on.

        Raises:
            UnauthenticatedError: The gateway is not known (any more).
        """
        stored = await self._gateways.hello(gateway_name, hello, self._clock.now_ms())
        link = GatewayLink(gateway_name, hello.spool_id, hello.desired_revision)
        link.desired_changed()
        previous = self._links.get(gateway_name)
        self._links[gateway_name] = link
        if previous is not None:
            previous.close()
        for command in await self._commands.pending(gateway_name, self._clock.now_ms()):
            link.send(command)
        _log.info("gateway_connected", gateway=gateway_name, version=hello.software_version)
        self._changes.publish(gateway_names=[gateway_name])
        return link, stored

    def messages(
        self, link: GatewayLink
    ) -> AsyncIterator[DesiredState | Command | tuple[str, int]]:
        """Yield what goes down on a stream until it is closed."""
        return link.messages(self._nodes)

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

    def connected(self) -> Collection[str]:
        """Return the names of gateways whose stream is open."""
        return self._links.keys()

    def desired_changed(self, gateway_names: Iterable[str] | None) -> None:
        """Send desired state to these gateways, or to all; those that are away get it later."""
        names = self._links.keys() if gateway_names is None else gateway_names
        for name in names:
            if (link := self._links.get(name)) is not None:
                link.desired_changed()

    def send(self, gateway_name: str, command: Command) -> bool:
        """Hand a command to a gateway; False when it is not connected."""
        link = self._links.get(gateway_name)
        if link is None:
            return False
        link.send(command)
        return True

    async def note_heard(self) -> None:
        """Store when gateways were last heard, one statement for all; called now and then."""
        names = [name for name, link in self._links.items() if link.heard]
        for name in names:
            self._links[name].heard = False
        if names:
            await self._gateways.heard(names, self._clock.now_ms())
