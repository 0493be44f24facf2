"""Alarms: judged from what comes up, shown, acknowledged, escalated.

Not the rules (domain/alarms.py). What follows from reports is stored with them.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

import structlog

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.alarms import (
    Alarm,
    AlarmChange,
    AlarmKind,
    AlarmLimits,
    AlarmState,
    LampFacts,
    escalation_of,
    judge,
)
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.daylight import sun_elevation_deg
from poleward_fleet.domain.errors import ConflictError, FleetError
from poleward_fleet.domain.gateway_link import NodeState, NodeUpdate
from poleward_fleet.domain.inventory import LinkState
from poleward_fleet.domain.rollout import NodeStage
from poleward_fleet.domain.telemetry import Layout, NodeEvent, SeriesKey
from poleward_fleet.ports.alarms import AlarmStore, Judgement, WatchedNode
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.telemetry import SpooledReports
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.permissions import AreaTree

_log = structlog.get_logger(__name__)
_PERIOD_S = 1.0
# Poles change seldom; what is kept of nodes is read again after this.
_KNOWN_FOR_MS = 300_000
# A report from further ahead comes from a clock that is wrong: it would silence the next ones.
_AHEAD_MAX_MS = 600_000
_SUNS_KEPT = 4096
_MINUTE_MS = 60_000
_SERIES = tuple(
    SeriesKey(metric)
    for metric in (
        "lamp.level_percent", "supply.active_power_w", "supply.power_factor", "supply.voltage_v",
        "lamp.failed", "lamp.override_active",
    )
)  # fmt: skip
_RAISING_EVENTS = {
    "sos.pressed": AlarmKind.SOS,
    "supply.lost": AlarmKind.SUPPLY_LOST,
    "lamp.failed": AlarmKind.LAMP_FAILED,
}
_CLEARING_EVENTS = {"supply.restored": AlarmKind.SUPPLY_LOST}
_LINK_VERDICTS = {
    LinkState.SILENT: True,
    LinkState.OFFLINE: True,
    LinkState.ONLINE: False,
}
# Who got so far has followed a directive that holds.
_FOLLOWED = {NodeStage.DOWNLOADED, NodeStage.TRIAL, NodeStage.CONFIRMED}
_SYSTEM = "fleet"


class AlarmJudge:
    """Judges reports against what it remembers of their nodes.

    Memory is bounded by the nodes that report; it is emptied now and then, since everything in it
    is in the database.

    Args:
        store: Where alarms are.
        limits: From when on something is wrong.
        clock: Wall time.
    """

    def __init__(self, store: AlarmStore, limits: AlarmLimits, clock: Clock) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._watched: dict[int, WatchedNode | None] = {}
        self._states: dict[int, AlarmState] = {}
        self._read_at_ms = 0

    async def judge(self, batches: Sequence[SpooledReports]) -> Judgement:
        """Judge reports in their order; `keep` is called when the outcome is stored."""
        await self._learn({n for batch in batches for n in batch.reports.node_number})
        changes: list[AlarmChange] = []
        states: dict[int, AlarmState] = {}
        latest_ms = self._clock.now_ms() + _AHEAD_MAX_MS
        for batch in batches:
            reports = batch.reports
            layouts = [(_places(layout), len(layout)) for layout in reports.layouts]
            position = 0
            for row, number in enumerate(reports.node_number):
                places, width = layouts[reports.layout[row]]
                start, position = position, position + width
                node = self._watched[number]
                at_ms = reports.measured_at_ms[row]
                if node is None or places is None or at_ms > latest_ms:
                    continue
                before = states.get(number) or self._states.get(number) or node.state
                if at_ms <= before.judged_at_ms:
                    continue
                facts = self._facts(at_ms, node, places, reports.value, start)
                after, changed = judge(before, facts, self._limits)
                states[number] = after
                changes += (AlarmChange(number, kind, wrong, at_ms) for kind, wrong in changed)
        return Judgement(changes, states)

    def to_keep(self, judgement: Judgement) -> Judgement:
        """Leave out states in which only the time is new: the latest values tell that."""
        kept = {
            number: state
            for number, state in (judgement.states or {}).items()
            if not state.is_same_but_for_time(self._before(number))
        }
        return Judgement(judgement.changes, kept)

    def keep(self, judgement: Judgement) -> None:
        """Take over states that are stored."""
        self._states.update(judgement.states or {})

    def forget(self, node_numbers: Iterable[int]) -> None:
        """Read nodes again whose alarms were changed otherwise."""
        for number in node_numbers:
            self._watched.pop(number, None)
            self._states.pop(number, None)

    def _before(self, number: int) -> AlarmState:
        node = self._watched.get(number)
        return self._states.get(number) or (node.state if node else AlarmState())

    async def _learn(self, numbers: Collection[int]) -> None:
        now_ms = self._clock.now_ms()
        if not 0 <= now_ms - self._read_at_ms < _KNOWN_FOR_MS:
            self._watched.clear()
            self._states.clear()
            self._read_at_ms = now_ms
        missing = [number for number in numbers if number not in self._watched]
        if missing:
            found = await self._store.watched(missing)
            self._watched |= {number: found.get(number) for number in missing}

    def _facts(
        self,
        at_ms: int,
        node: WatchedNode,
        places: tuple[int, ...],
        value: Sequence[float],
        start: int,
    ) -> LampFacts:
        """Take the facts out of a report's values."""
        level, power_w, power_factor, voltage_v, failed, overridden = [
            # NaN, which stands for no value, is not equal to itself.
            None if place < 0 or (found := value[start + place]) != found else found
            for place in places
        ]
        return LampFacts(
            at_ms=at_ms,
            nominal_w=node.nominal_w,
            level_percent=level,
            power_w=power_w,
            power_factor=power_factor,
            voltage_v=voltage_v,
            failed=None if failed is None else failed > 0,
            is_overridden=bool(overridden),
            is_day=bool(level)
            and _sun_elevation_deg(
                at_ms // _MINUTE_MS, round(node.latitude_deg, 1), round(node.longitude_deg, 1)
            )
            > self._limits.day_elevation_deg,
        )


class AlarmService:
    """Use cases around alarms.

    Args:
        store: Where alarms are.
        areas: Tree for rights.
        changes: Live updates.
        clock: Wall time.
    """

    def __init__(
        self, store: AlarmStore, areas: AreaTree, changes: ChangeBroadcast, clock: Clock
    ) -> None:
        self._store = store
        self._areas = areas
        self._changes = changes
        self._clock = clock

    async def alarms(
        self, principal: Principal, *, is_open: bool | None = True, limit: int = 200
    ) -> list[Alarm]:
        """Return alarms of the principal's poles, those that stand first, then the newest."""
        allowed = await self._areas.allowed(principal, Permission.SEE)
        return await self._store.alarms(allowed, is_open=is_open, limit=min(limit, 1000))

    async def acknowledge(self, principal: Principal, number: int) -> Alarm:
        """Take care of an alarm; the first who does stays.

        Raises:
            NotFoundError: No such alarm in the principal's area.
        """
        allowed = await self._areas.allowed(principal, Permission.COMMAND)
        alarm = await self._store.alarm(number, allowed)
        await self._store.acknowledge(number, principal.name, _entry(principal.name, "ack", alarm))
        self._changes.publish(alarms=True)
        return await self._store.alarm(number, allowed)

    async def clear(self, principal: Principal, number: int) -> Alarm:
        """End an emergency call; other alarms end by themselves.

        Raises:
            NotFoundError: No such alarm in the principal's area.
            ConflictError: It is no emergency call, or nobody acknowledged it yet.
        """
        allowed = await self._areas.allowed(principal, Permission.COMMAND)
        alarm = await self._store.alarm(number, allowed)
        if alarm.kind is not AlarmKind.SOS:
            raise ConflictError.of("alarm_ends_itself", number=number)
        if not alarm.acknowledged_at_ms:
            raise ConflictError.of("acknowledge_first", number=number)
        await self._store.clear(number, _entry(principal.name, "clear", alarm))
        self._changes.publish(alarms=True)
        return await self._store.alarm(number, allowed)

    async def take_states(self, states: Sequence[NodeState]) -> None:
        """Raise alarms of nodes that are silent or held back; clear those of others."""
        now_ms = self._clock.now_ms()
        changes = [
            AlarmChange(
                state.node_number, AlarmKind.NODE_SILENT, _LINK_VERDICTS[state.link_state], now_ms
            )
            for state in states
            if state.link_state in _LINK_VERDICTS
        ]
        for state in states:
            changes += _changes_of_update(state.node_number, state.update, now_ms)
        await self._change(changes)

    async def take_update(self, gateway_number: int, update: NodeUpdate | None) -> None:
        """Raise the alarm of a gateway whose own update is held back, or clear it."""
        await self._change(_changes_of_update(gateway_number, update, self._clock.now_ms()))

    async def take_strangers(self, gateway_number: int, *, are_many: bool) -> None:
        """Raise or clear the alarm of a gateway that refuses many strangers."""
        change = AlarmChange(gateway_number, AlarmKind.STRANGERS, are_many, self._clock.now_ms())
        await self._change([change])

    async def _change(self, changes: Sequence[AlarmChange]) -> None:
        if changes:
            await self._store.change(changes)
            self._changes.publish(alarms=True)

    async def run(self) -> None:
        """Escalate, and end what nobody reports the end of, for ever; cancelled by its owner."""
        while True:
            try:
                await self.escalate()
                await self.end_frozen()
            except FleetError as error:
                _log.warning("alarms_not_looked_at", reason=str(error))
            await asyncio.sleep(_PERIOD_S)

    async def end_frozen(self) -> None:
        """End the alarms of frozen updates that no rollout wants any more."""
        if await self._store.end_frozen():
            self._changes.publish(alarms=True)

    async def escalate(self) -> None:
        """Escalate emergency calls that nobody acknowledged in time."""
        now_ms = self._clock.now_ms()
        for alarm in await self._store.unacknowledged_calls():
            escalation = escalation_of(alarm, now_ms)
            if escalation > alarm.escalation:
                _log.warning("call_unanswered", alarm=alarm.number, escalation=escalation)
                entry = _entry(_SYSTEM, "escalate", alarm)
                await self._store.escalate(alarm.number, escalation, entry)
                self._changes.publish(alarms=True)


@lru_cache(_SUNS_KEPT)
def _sun_elevation_deg(minute: int, latitude_deg: float, longitude_deg: float) -> float:
    """Return the elevation at a minute for places close to each other, computed once for all."""
    return sun_elevation_deg(minute * _MINUTE_MS, latitude_deg, longitude_deg)


def changes_of_events(events: Sequence[NodeEvent]) -> list[AlarmChange]:
    """Return the alarms that events begin or end."""
    return [
        AlarmChange(event.node_number, kind, is_raised, event.occurred_at_ms)
        for event in events
        for kinds, is_raised in ((_RAISING_EVENTS, True), (_CLEARING_EVENTS, False))
        if (kind := kinds.get(event.kind)) is not None
    ]


def _changes_of_update(number: int, update: NodeUpdate | None, now_ms: int) -> list[AlarmChange]:
    if update is None or not (update.is_frozen or update.stage in _FOLLOWED):
        return []
    return [AlarmChange(number, AlarmKind.UPDATE_FROZEN, update.is_frozen, now_ms)]


def _entry(actor: str, action: str, alarm: Alarm) -> AuditEntry:
    return AuditEntry(
        actor,
        f"alarm.{action}",
        alarm.pole_code or alarm.gateway_name or str(alarm.node_number),
        (("kind", alarm.kind.value), ("number", str(alarm.number))),
    )


def _places(layout: Layout) -> tuple[int, ...] | None:
    """Return where the series that are judged stand, -1 for none; None when none is there."""
    places = tuple(layout.index(key) if key in layout else -1 for key in _SERIES)
    return None if max(places) < 0 else places
