"""Technicians' visits by the gateway's work order, with no uplink: claim, checks, signature.

Not the verdicts (poleward_commissioning) nor the server that technicians' devices ask
(adapters/site_server.py). What is decided here is told to the fleet, whose word is final.
"""

import asyncio
import hashlib
import hmac
import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from poleward_commissioning.checklist import (
    BLINK_LEVELS_PERCENT,
    Check,
    Facts,
    checklist,
    doubt_of,
    fault_of,
    is_complete,
)
from poleward_commissioning.claim_code import claim_code_hash
from poleward_commissioning.proof import is_proved
from poleward_commissioning.visit import MAX_NOTE, SiteRequest, SiteVisit, visit_answer
from poleward_commissioning.work_order import OrderKeys, OrderNode, OrderPole, WorkOrder
from poleward_gateway.domain.commands import Command, CommandStatus, SetLamp
from poleward_gateway.domain.nodes import DesiredNode, NodeNumber, OscoreKeys
from poleward_gateway.domain.site_visits import KeptVisit, Refusal, VisitRefusedError
from poleward_gateway.domain.telemetry import Event, Report
from poleward_gateway.ports.clock import Clock
from poleward_gateway.ports.stores import SiteStore
from poleward_gateway.services.commands import Commands
from poleward_gateway.services.registry import Registry
from poleward_gateway.services.upkeep import Upkeep

_log = structlog.get_logger(__name__)

BLINK_S = 30
POWER_WAIT_S = 20.0
COMMAND_DEADLINE_MS = 10_000
KEPT_MS = 7 * 24 * 3600_000
"""A visit that the fleet knows stays here so long, for the device that may still ask."""
_GATEWAY_ID = b"\x00"
_POWER, _LEVEL = "supply.active_power_w", "lamp.level_percent"
_SOS_EVENT = "sos.pressed"


@dataclass(slots=True)
class _Seen:
    """What a node said since its visit began; after a restart of the gateway it says it again.

    Args:
        since_ms: When that was; what was measured before counts for nothing but the lamp, which
            says nothing new when it is set to what it is.
        lamp: Newest level and power.
    """

    since_ms: int
    lamp: dict[str, float] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    measured_at_ms: int = 0
    sos_pressed: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class SiteVisits:
    """Use cases of a technician at a pole whose gateway cannot reach the fleet.

    Args:
        name: Of this gateway: an order for another is refused.
        store: The order and the visits.
        upkeep: Takes nodes that the order allows.
        registry: Link and version of a node.
        commands: Lets the lamp blink.
        clock: For everything that has a time.
        on_change: Told that the fleet does not know a visit yet.
    """

    def __init__(
        self,
        name: str,
        store: SiteStore,
        upkeep: Upkeep,
        registry: Registry,
        commands: Commands,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self._name = name
        self._store = store
        self._upkeep = upkeep
        self._registry = registry
        self._commands = commands
        self._clock = clock
        self._on_change = on_change
        self._seen = {
            kept.node: _Seen(kept.visit.began_at_ms)
            for kept in store.visits().values()
            if not kept.visit.signed_at_ms
        }

    # For the technician's device

    @property
    def page_origin(self) -> str:
        """Web origin whose page may ask; empty for none."""
        order = self._store.order()
        return order.page_origin if order else ""

    def check_proof(
        self, technician: str, given: str, method: str, path: str, at_ms: int, body: bytes
    ) -> None:
        """Insist on a request by a technician of the order, made now.

        Raises:
            VisitRefusedError: It is not.
        """
        order = self._store.order()
        now_ms = self._clock.now_ms()
        if order is None or order.expires_at_ms <= now_ms:
            raise VisitRefusedError(
                Refusal.NOT_PROVED,
                "this gateway has no work order, or it is over; ask for a new one where there is "
                "a network",
            )
        secret = order.technicians.get(technician)
        if secret is None or not is_proved(secret, given, method, path, at_ms, body, now_ms=now_ms):
            raise VisitRefusedError(
                Refusal.NOT_PROVED,
                f"the work order of this gateway is not for {technician or 'nobody'}, or the "
                "device's pass or clock is wrong; open the page once where there is a network",
            )

    async def begin(self, technician: str, request: SiteRequest) -> dict[str, Any]:
        """Take a visit: serve its node. Again changes nothing.

        Raises:
            VisitRefusedError: The order does not allow it, or the technician has to decide.
        """
        if request.visit_id not in self._store.visits():
            order = self._store.order()
            assert order is not None, "a request is proved before it is taken"
            node, pole = self._allowed(order, request)
            visit = SiteVisit(
                visit_id=request.visit_id,
                order_revision=order.revision,
                technician=technician,
                mac=node.mac,
                pole_code=pole.code,
                began_at_ms=self._clock.now_ms(),
                place=request.place,
                swap=request.swap,
            )
            self._seen[NodeNumber(node.number)] = _Seen(visit.began_at_ms)
            await self._upkeep.adopt(_desired(node, pole, order.report_interval_s))
            await self._keep(KeptVisit(visit, NodeNumber(node.number), pole))
            _log.info("visit_began", visit=visit.visit_id, node=node.number, pole=pole.code)
        return self.state(request.visit_id)

    def state(self, visit_id: str) -> dict[str, Any]:
        """Return how a visit stands.

        Raises:
            VisitRefusedError: It is not known here, or the fleet says that it does not stand.
        """
        kept = self._known(visit_id)
        visit = kept.visit
        checks = visit.results if visit.signed_at_ms else self._checks(kept)
        return visit_answer(
            checks,
            is_complete=is_complete(checks),
            signed_at_ms=visit.signed_at_ms,
            is_told=kept.is_told,
        )

    async def blink(self, visit_id: str) -> dict[str, Any]:
        """Let the lamp go bright and dim, and note what it draws at each."""
        kept = self._known(visit_id)
        power_w: list[float] = []
        failure = ""
        for level_percent in BLINK_LEVELS_PERCENT:
            deadline_ms = self._clock.now_ms() + COMMAND_DEADLINE_MS
            action = SetLamp(0, level_percent, BLINK_S)
            command = Command(uuid.uuid4().bytes, kept.node, deadline_ms, action)
            (result,) = await self._commands.carry_out([command])
            if result.status is not CommandStatus.DONE:
                failure = result.detail or result.status.value
                break
            seen_w = await self._power_at(kept.node, level_percent)
            if seen_w is None:
                failure = f"no report at {level_percent} %"
                break
            power_w.append(seen_w)
        await self._change(visit_id, blink_w=tuple(power_w), blink_failure=failure)
        return self.state(visit_id)

    async def sign_off(self, visit_id: str, note: str) -> dict[str, Any]:
        """Sign a pole off; again changes nothing.

        Raises:
            VisitRefusedError: A check has not passed and no note says why that is in order.
        """
        if len(note) > MAX_NOTE:
            raise VisitRefusedError(Refusal.INVALID, f"a note has at most {MAX_NOTE} characters")
        kept = self._known(visit_id)
        if not kept.visit.signed_at_ms:
            checks = self._checks(kept)
            if not is_complete(checks) and not note.strip():
                raise VisitRefusedError(
                    Refusal.CONFLICT,
                    "not every check has passed; say in a note why that is in order",
                )
            signed_at_ms = self._clock.now_ms()
            await self._change(visit_id, signed_at_ms=signed_at_ms, note=note, results=checks)
            self._seen.pop(kept.node, None)
        return self.state(visit_id)

    # From the nodes

    def on_reports(self, reports: Sequence[Report]) -> None:
        """Look at reports that are on disk."""
        if not self._seen:
            return
        for report in reports:
            seen = self._seen.get(report.node)
            if seen is None:
                continue
            values = {
                series.metric: value
                for series, value in zip(report.layout, report.values, strict=True)
                if series.instance == 0 and math.isfinite(value)
            }
            seen.lamp |= {name: values[name] for name in (_LEVEL, _POWER) if name in values}
            if report.time_ms >= seen.since_ms - 1000:
                seen.values |= values
                seen.measured_at_ms = max(seen.measured_at_ms, report.time_ms)
            seen.changed.set()

    def on_event(self, event: Event) -> None:
        """Look at an event that is on disk."""
        seen = self._seen.get(event.node)
        if seen is not None and event.kind == _SOS_EVENT and event.occurred_at_ms >= seen.since_ms:
            seen.sos_pressed = True

    # For the fleet

    @property
    def revision(self) -> int:
        """Revision of the order that is held; 0 for none."""
        order = self._store.order()
        return order.revision if order else 0

    async def take_order(self, order: WorkOrder) -> None:
        """Hold another order, whose signature was checked; an older one or another's is left."""
        if order.gateway_name != self._name or order.revision <= self.revision:
            _log.error(
                "work_order_not_taken", gateway=order.gateway_name, revision=order.revision,
                held=self.revision,
            )  # fmt: skip
            return
        await self._store.save_order(order, forget_before_ms=self._clock.now_ms() - KEPT_MS)
        _log.info(
            "work_order", revision=order.revision, nodes=len(order.nodes),
            technicians=sorted(order.technicians),
        )  # fmt: skip

    def untold(self) -> list[SiteVisit]:
        """Return visits of which the fleet does not know all."""
        return [kept.visit for kept in self._store.visits().values() if not kept.is_told]

    async def take_outcome(self, visit_id: str, content_digest: bytes, conflict: str) -> None:
        """Note that the fleet knows a visit, unless it changed meanwhile, and what it says of it.

        Where it does not stand, its node is served no longer.
        """
        kept = self._store.visits().get(visit_id)
        if kept is None:
            return
        digest = hashlib.sha256(kept.visit.to_bytes()).digest()
        is_told = bool(conflict) or hmac.compare_digest(digest, content_digest)
        if not is_told or (kept.is_told and kept.conflict == conflict):
            return
        await self._store.keep(replace(kept, is_told=True, conflict=conflict))
        if conflict:
            _log.warning("visit_does_not_stand", visit=visit_id, node=kept.node, why=conflict)
            self._seen.pop(kept.node, None)
            await self._upkeep.give_back(kept.node)

    def _allowed(self, order: WorkOrder, request: SiteRequest) -> tuple[OrderNode, OrderPole]:
        """Find node and pole of a request in the order.

        Raises:
            VisitRefusedError: One of them is not in it, or the technician has to decide.
        """
        if request.is_new_pole:
            raise VisitRefusedError(
                Refusal.INVALID,
                "a new pole needs the fleet; the visit is kept until there is a network",
            )
        node = order.node(request.mac)
        given = claim_code_hash(request.mac, request.claim_code)
        if node is None or not hmac.compare_digest(node.claim_code_hash, given):
            raise VisitRefusedError(
                Refusal.FORBIDDEN,
                f"node {request.mac} is not in the work order of this gateway, or the claim code "
                "is not the one on its label",
            )
        pole = order.pole(request.pole_code)
        if pole is None:
            raise VisitRefusedError(
                Refusal.CONFLICT,
                f"pole {request.pole_code} is not in the work order of this gateway",
            )
        here = {kept.visit.mac: kept.visit for kept in self._standing()}
        if node.mac in here and here[node.mac].pole_code != pole.code:
            where = here[node.mac].pole_code
            raise VisitRefusedError(Refusal.CONFLICT, f"node {node.mac} stands in pole {where}")
        others = {visit.mac for visit in here.values() if visit.pole_code == pole.code}
        others |= {pole.node_mac} if pole.node_mac else set()
        if others - {node.mac} and not request.swap:
            raise VisitRefusedError(
                Refusal.CONFLICT,
                f"another node stands in pole {pole.code}; say that it is swapped",
            )
        if request.place is not None:
            if fault := fault_of(request.place):
                raise VisitRefusedError(Refusal.INVALID, fault)
            doubt = doubt_of(request.place, pole.code, pole.latitude_deg, pole.longitude_deg)
            if doubt and not request.place_confirmed:
                raise VisitRefusedError(Refusal.CONFLICT, doubt)
        return node, pole

    def _standing(self) -> list[KeptVisit]:
        return [kept for kept in self._store.visits().values() if not kept.conflict]

    def _known(self, visit_id: str) -> KeptVisit:
        kept = self._store.visits().get(visit_id)
        if kept is None:
            raise VisitRefusedError(Refusal.UNKNOWN, f"visit {visit_id} is not known here")
        if kept.conflict:
            raise VisitRefusedError(Refusal.CONFLICT, kept.conflict)
        return kept

    def _checks(self, kept: KeptVisit) -> tuple[Check, ...]:
        state = self._registry.state(kept.node)
        seen = self._seen.setdefault(kept.node, _Seen(kept.visit.began_at_ms))
        device = state.device if state else None
        return checklist(
            Facts(
                link_state=state.link_state.value if state else "",
                version=device.bundle_version if device else "",
                equipment=kept.pole.equipment,
                lamp_nominal_w=kept.pole.lamp_nominal_w,
                values=seen.values,
                measured_at_ms=seen.measured_at_ms,
                blink_w=kept.visit.blink_w,
                blink_failure=kept.visit.blink_failure,
                sos_pressed=seen.sos_pressed,
                now_ms=self._clock.now_ms(),
            )
        )

    async def _power_at(self, node: NodeNumber, level_percent: int) -> float | None:
        """Wait for a report at a level; return the power in it."""
        seen = self._seen.get(node)
        if seen is None:
            return None
        try:
            async with asyncio.timeout(POWER_WAIT_S):
                while not (seen.lamp.get(_LEVEL) == level_percent and _POWER in seen.lamp):
                    seen.changed.clear()
                    await seen.changed.wait()
        except TimeoutError:
            return None
        return seen.lamp[_POWER]

    async def _change(self, visit_id: str, **changes: Any) -> None:
        kept = self._known(visit_id)
        if not kept.visit.signed_at_ms:
            await self._keep(replace(kept, visit=replace(kept.visit, **changes), is_told=False))

    async def _keep(self, kept: KeptVisit) -> None:
        await self._store.keep(kept)
        self._on_change()


def _desired(node: OrderNode, pole: OrderPole, report_interval_s: int) -> DesiredNode:
    return DesiredNode(
        number=NodeNumber(node.number),
        endpoint_name=f"urn:dev:mac:{node.mac}",  # RFC 9039
        bootstrap=_keys(node.bootstrap),
        operational=_keys(node.operational),
        report_interval_s=report_interval_s,
        lamp_nominal_w=pole.lamp_nominal_w,
        is_adopted=True,
    )


def _keys(keys: OrderKeys) -> OscoreKeys:
    return OscoreKeys(keys.master_secret, keys.master_salt, keys.node_id, _GATEWAY_ID)
