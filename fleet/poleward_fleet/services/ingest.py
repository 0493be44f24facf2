"""What gateways send up: reports, events, reported state. Stores it, then acknowledges.

Not the streams themselves (services/gateways.py). Nothing is acknowledged before it is committed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.gateway_link import GatewaySoftware, NodeState
from poleward_fleet.domain.telemetry import NodeEvent, ReportColumns
from poleward_fleet.ports.alarms import Judgement
from poleward_fleet.ports.inventory import InventoryStore
from poleward_fleet.ports.meter import IngestMeter
from poleward_fleet.ports.nodes import AppliedStates, NodeStore
from poleward_fleet.ports.telemetry import SpooledReports, TelemetryStore
from poleward_fleet.services.alarms import AlarmJudge, AlarmService, changes_of_events
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.gateways import GatewayLink, GatewayLinks
from poleward_fleet.services.node_life import NodeLifeService
from poleward_fleet.services.rollout_loop import RolloutLoop

# Grouping batches into one transaction stores about 1.5 times as many readings per second.
MAX_GROUP_BATCHES = 8
MAX_WAITING_BATCHES = 16
# Gateways take turns: a group each, first come first served, so that one with days of backlog
# holds up nobody and connections stay free for people.
MAX_GROUPS_AT_ONCE = 4


class ReportIngest:
    """Stores the report batches of one stream, in groups.

    At most MAX_WAITING_BATCHES wait; then `put` waits too, and with it the gateway's stream.
    """

    def __init__(
        self, link: GatewayLink, store: Callable[[Sequence[SpooledReports]], Awaitable[None]]
    ) -> None:
        self._link = link
        self._store = store
        self._waiting: asyncio.Queue[SpooledReports] = asyncio.Queue(MAX_WAITING_BATCHES)

    async def put(self, batch_number: int, reports: ReportColumns) -> None:
        """Queue a batch.

        Raises:
            InvalidError: The batch number is 0.
        """
        if batch_number < 1:
            raise InvalidError("batch numbers count from 1")
        await self._waiting.put(
            SpooledReports(self._link.gateway_name, self._link.spool_id, batch_number, reports)
        )

    async def run(self) -> None:
        """Store what comes, for ever; cancelled by its owner.

        Raises:
            BatchGapError: Batches are missing; the stream has to end and the gateway resends.
            ForbiddenError: A foreign node.
        """
        while True:
            group = [await self._waiting.get()]
            while len(group) < MAX_GROUP_BATCHES and not self._waiting.empty():
                group.append(self._waiting.get_nowait())
            await self._store(group)
            self._link.acknowledge("report", max(batch.batch_number for batch in group))


class IngestService:
    """Use cases of the upward direction.

    Args:
        telemetry: Where reports and events go.
        nodes: Where reported state goes.
        inventory: Poles of nodes, for live updates.
        links: Open streams.
        rollouts: Told when a node got further.
        lives: Told of events that end a node's life, or a part of it.
        changes: Live updates.
        judge: Judges reports for alarms.
        alarms: Told of nodes that fall silent and of updates that are held back.
        meter: Told what was stored.
    """

    def __init__(
        self,
        telemetry: TelemetryStore,
        nodes: NodeStore,
        inventory: InventoryStore,
        links: GatewayLinks,
        rollouts: RolloutLoop,
        lives: NodeLifeService,
        changes: ChangeBroadcast,
        judge: AlarmJudge,
        alarms: AlarmService,
        meter: IngestMeter,
    ) -> None:
        self._telemetry = telemetry
        self._nodes = nodes
        self._inventory = inventory
        self._links = links
        self._rollouts = rollouts
        self._lives = lives
        self._changes = changes
        self._judge = judge
        self._alarms = alarms
        self._meter = meter
        self._turns = asyncio.Semaphore(MAX_GROUPS_AT_ONCE)

    def reports(self, link: GatewayLink) -> ReportIngest:
        """Return the ingest of one stream; its owner runs it."""
        return ReportIngest(link, self.store)

    async def store(self, batches: Sequence[SpooledReports]) -> None:
        """Store batches of one spool; returns after the commit.

        Raises:
            BatchGapError: Batches before these are missing; nothing is stored.
            ForbiddenError: A node was never assigned to this gateway; nothing is stored.
        """
        async with self._turns:
            began_s = time.monotonic()
            judgement = await self._judge.judge(batches)
            await self._telemetry.store_reports(batches, self._judge.to_keep(judgement))
            self._judge.keep(judgement)
        self._meter.reports_stored(
            reports=sum(len(batch.reports.node_number) for batch in batches),
            readings=sum(len(batch.reports.value) for batch in batches),
            seconds=time.monotonic() - began_s,
        )
        self._meter.alarms_changed(judgement.changes)
        if judgement.changes:
            self._changes.publish(alarms=True)
        await self._publish([n for batch in batches for n in batch.reports.node_number])

    async def events(
        self, link: GatewayLink, batch_number: int, events: Sequence[NodeEvent]
    ) -> None:
        """Store a batch of events at once and acknowledge it."""
        if batch_number < 1:
            raise InvalidError("batch numbers count from 1")
        changes = changes_of_events(events)
        await self._telemetry.store_events(
            link.gateway_name, link.spool_id, batch_number, events, Judgement(changes)
        )
        # Before the acknowledgement: what a crash keeps from being done comes again.
        await self._lives.take_events(link.gateway_name, events)
        link.acknowledge("event", batch_number)
        self._meter.events_stored(len(events))
        self._meter.alarms_changed(changes)
        if changes:
            self._judge.forget(change.node_number for change in changes)
            self._changes.publish(alarms=True)
        await self._publish([event.node_number for event in events])

    async def states(self, link: GatewayLink, states: Sequence[NodeState]) -> None:
        """Store reported states and let rollouts go on."""
        if not states:
            return
        async with self._turns:
            applied = await self._nodes.apply_states(link.gateway_name, states)
        if any(state.release_sequence is not None for state in states):
            self._rollouts.wake()
        self._go_on(applied)
        await self._alarms.take_states(states)
        await self._publish([state.node_number for state in states])

    async def software(self, link: GatewayLink, software: GatewaySoftware) -> None:
        """Store what a gateway runs itself and let rollouts go on."""
        number, applied = await self._links.software(link, software)
        self._go_on(applied)
        self._rollouts.wake()
        await self._alarms.take_update(number, software.update)

    def _go_on(self, applied: AppliedStates) -> None:
        """Tell who waits for what reported states changed."""
        self._links.desired_changed(applied.gateways)
        if applied.rollouts:
            self._rollouts.wake()
        self._changes.publish(rollout_numbers=applied.rollouts)

    async def _publish(self, node_numbers: Sequence[int]) -> None:
        if self._changes.wanted and node_numbers:
            poles = await self._inventory.pole_codes(set(node_numbers))
            self._changes.publish(pole_codes=poles.values())
