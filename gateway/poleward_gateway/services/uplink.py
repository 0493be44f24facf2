"""What is said to the fleet and in which order, and what its answers mean.

Not the stream itself nor its messages: adapters/fleet_link.
"""

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

from poleward_commissioning.visit import SiteVisit
from poleward_commissioning.work_order import WorkOrder
from poleward_gateway.domain.commands import Command
from poleward_gateway.domain.lighting import Lighting
from poleward_gateway.domain.nodes import DesiredChange
from poleward_gateway.ports.clock import Tally
from poleward_gateway.ports.fleet import FleetStream
from poleward_gateway.ports.spool import Spool
from poleward_gateway.ports.stores import CommandStore, DesiredStore
from poleward_gateway.services.commands import Commands
from poleward_gateway.services.own_software import OwnSoftware
from poleward_gateway.services.programs import Programs
from poleward_gateway.services.registry import Registry
from poleward_gateway.services.site_visits import SiteVisits
from poleward_gateway.services.strangers import Strangers
from poleward_gateway.services.upkeep import Upkeep

_log = structlog.get_logger(__name__)

REPORTS_PER_BATCH = 500
EVENTS_PER_BATCH = 100
STATES_PER_MESSAGE = 200
BATCHES_UNDER_WAY = 16
"""Report batches sent and not acknowledged; more would only wait in the fleet."""
LINGER_S = 0.1
"""A report waits this long for company; events, results, states and a backlog do not."""


class Uplink:
    """The gateway's side of the stream to the fleet.

    Visits go before events, events before results, results before states, states before reports.
    Whatever was sent and not acknowledged is sent again on the next stream, in the same batches.
    """

    def __init__(
        self,
        spool: Spool,
        desired: DesiredStore,
        command_store: CommandStore,
        commands: Commands,
        registry: Registry,
        upkeep: Upkeep,
        programs: Programs,
        own_software: OwnSoftware,
        visits: SiteVisits,
        strangers: Strangers,
        tally: Tally,
    ) -> None:
        self._spool = spool
        self._desired = desired
        self._command_store = command_store
        self._commands = commands
        self._registry = registry
        self._upkeep = upkeep
        self._programs = programs
        self._own_software = own_software
        self._visits = visits
        self._strangers = strangers
        self._tally = tally
        self._wake = asyncio.Event()
        self._room = asyncio.Event()  # cleared while the fleet is behind
        self._room.set()
        self._acknowledged_reports = 0
        self._acknowledged_events = 0
        self._sent_reports = 0
        self._sent_events = 0
        self._sent_visits: dict[str, SiteVisit] = {}

    @property
    def spool_id(self) -> str:
        """Id of the spool, for Hello."""
        return self._spool.spool_id

    @property
    def desired_revision(self) -> int:
        """Revision of desired state that the gateway holds, for Hello."""
        return self._desired.revision()

    @property
    def lighting_digest(self) -> bytes:
        """Digest of the lighting that the gateway holds, for Hello."""
        return self._programs.lighting.digest

    @property
    def work_order_revision(self) -> int:
        """Revision of the work order that the gateway holds, for Hello."""
        return self._visits.revision

    def wake(self) -> None:
        """Look for something to send."""
        self._wake.set()

    async def welcome(self, stored_report_batch: int, stored_event_batch: int) -> bool:
        """Take from the fleet where to go on.

        Returns:
            False when one side was restored from an old copy, so that their numbers do not fit:
            the spool then has a new id and the stream must be opened again.
        """
        if not await self._spool.can_go_on_after(stored_report_batch, stored_event_batch):
            _log.error(
                "spool_does_not_fit",
                stored_report_batch=stored_report_batch,
                stored_event_batch=stored_event_batch,
            )
            await self._spool.restart_numbering()
            self._acknowledged_reports = self._acknowledged_events = 0
            return False
        await self.take_report_ack(stored_report_batch)
        await self.take_event_ack(stored_event_batch)
        self._sent_reports = stored_report_batch
        self._sent_events = stored_event_batch
        self._sent_visits.clear()
        self._registry.tell_everything()
        self._own_software.tell_everything()
        self._strangers.tell_everything()
        self.wake()
        return True

    async def take_report_ack(self, number: int) -> None:
        """Forget reports that the fleet has stored."""
        if number > self._acknowledged_reports:
            await self._spool.acknowledge_reports(number)
            self._acknowledged_reports = number
            self._room.set()
        self.wake()

    async def take_event_ack(self, number: int) -> None:
        """Forget events that the fleet has stored."""
        if number > self._acknowledged_events:
            await self._spool.acknowledge_events(number)
            self._acknowledged_events = number

    async def take_desired(self, change: DesiredChange) -> None:
        """Take desired state."""
        await self._upkeep.apply(change)
        self.wake()

    async def take_lighting(self, lighting: Lighting) -> None:
        """Take programs, groups, scenes and rules."""
        await self._programs.take(lighting)

    async def take_work_order(self, order: WorkOrder) -> None:
        """Take what technicians may do without the fleet."""
        await self._visits.take_order(order)

    async def take_visit_outcome(self, visit_id: str, digest: bytes, conflict: str) -> None:
        """Take what became of a visit; its node's state counts in the fleet from now on."""
        await self._visits.take_outcome(visit_id, digest, conflict)
        self._registry.tell_everything()
        self.wake()

    async def take_commands(self, commands: Sequence[Command]) -> None:
        """Take the commands of one order."""
        await self._commands.accept(commands)

    async def pump(self, stream: FleetStream) -> None:
        """Send until the stream breaks.

        Raises:
            PeerUnreachableError: The stream is gone; open another.
        """
        while True:
            self._wake.clear()
            await self._send_urgent(stream)
            more = await self._send_report_batch(stream)
            fleet_is_behind = not self._room.is_set()
            self._tally.gauge("reports_waiting", self._spool.waiting_reports())
            if more:
                continue
            await self._wake.wait()
            # Urgent things do not wait for company; a report does.
            await self._send_urgent(stream)
            if not fleet_is_behind:
                await asyncio.sleep(LINGER_S)
                continue
            # A backlog has company enough: it goes on as soon as there is room.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    await self._room.wait()

    async def _send_urgent(self, stream: FleetStream) -> None:
        """Send visits, events, results and states that wait."""
        for visit in self._visits.untold():
            if self._sent_visits.get(visit.visit_id) != visit:
                await stream.send_visit(visit)
                self._sent_visits[visit.visit_id] = visit
        while True:
            events = await self._spool.event_batch_after(self._sent_events, EVENTS_PER_BATCH)
            if events is None:
                break
            await stream.send_events(events)
            self._sent_events = events.number
        for result in await self._command_store.undelivered():
            await stream.send_result(result)
            await self._command_store.delivered(result.command_id)
        if (software := self._own_software.take_changed()) is not None:
            await stream.send_software(software)
        while states := self._registry.take_changed(STATES_PER_MESSAGE):
            await stream.send_states(states)
        if (seen := self._strangers.take_news()) is not None:
            await stream.send_strangers(seen)

    async def _send_report_batch(self, stream: FleetStream) -> bool:
        """Send one batch of reports; False when none waits or the fleet is behind."""
        if self._sent_reports - self._acknowledged_reports >= BATCHES_UNDER_WAY:
            self._room.clear()
            return False
        batch = await self._spool.report_batch_after(self._sent_reports, REPORTS_PER_BATCH)
        if batch is None:
            return False
        await stream.send_reports(batch)
        self._sent_reports = batch.number
        self._tally.count("report_batches_sent")
        return len(batch.reports) >= REPORTS_PER_BATCH
