"""A technician's visit: claim the node, watch its checks, sign the pole off.

Not the claim itself (services/provisioning.py) nor the verdicts (poleward_commissioning).
"""

import asyncio
import math
import re

from poleward_commissioning.checklist import (
    BLINK_LEVELS_PERCENT,
    Facts,
    checklist,
    doubt_of,
    fault_of,
    is_complete,
)
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.commands import CommandStatus
from poleward_fleet.domain.errors import ConflictError, InvalidError, NotFoundError
from poleward_fleet.domain.inventory import LifeState, PoleView, Stay
from poleward_fleet.domain.life_cycle import Step
from poleward_fleet.domain.visits import Visit, VisitRequest, VisitState
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.telemetry import TelemetryStore
from poleward_fleet.ports.visits import VisitStore
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.commands import CommandService
from poleward_fleet.services.inventory import InventoryService
from poleward_fleet.services.node_life import NodeLifeService
from poleward_fleet.services.provisioning import ProvisioningService

MAX_NOTE = 500
_BLINK_S = 30
_POWER_WAIT_S = 15.0
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_POWER = "supply.active_power_w"
_LEVEL = "lamp.level_percent"
_SOS_EVENT = "sos.pressed"


class CommissioningService:
    """Use cases of a technician at a pole.

    Args:
        store: Where visits are.
        provisioning: Claims nodes.
        lives: Signs them off.
        inventory: Poles.
        commands: Lets the lamp blink.
        telemetry: What the node reports.
        changes: Told by it when a report came.
        clock: For the checks.
    """

    def __init__(
        self,
        store: VisitStore,
        provisioning: ProvisioningService,
        lives: NodeLifeService,
        inventory: InventoryService,
        commands: CommandService,
        telemetry: TelemetryStore,
        changes: ChangeBroadcast,
        clock: Clock,
    ) -> None:
        self._store = store
        self._provisioning = provisioning
        self._lives = lives
        self._inventory = inventory
        self._commands = commands
        self._telemetry = telemetry
        self._changes = changes
        self._clock = clock

    async def begin(self, principal: Principal, request: VisitRequest) -> VisitState:
        """Take a visit: make its pole if it is new, claim its node. Again changes nothing.

        Raises:
            ConflictError: What the device assumed is not so; the technician has to decide.
            ForbiddenError: Wrong claim code, or not a technician.
            NotFoundError: No such pole in the technician's area.
            InvalidError: The request makes no sense.
        """
        principal.require(Permission.COMMISSION)
        if not _UUID.fullmatch(request.visit_id):
            raise InvalidError("a visit needs a UUID")
        if await self._store.visit(request.visit_id) is None:
            if request.place is not None and (fault := fault_of(request.place)):
                raise InvalidError(fault)
            view = await self._pole(principal, request)
            self._check_nearness(view, request)
            number = await self._provisioning.claim(
                principal,
                mac=request.mac,
                claim_code=request.claim_code,
                pole_code=view.pole.code,
                swap=request.swap,
            )
            now_ms = self._clock.now_ms()
            await self._store.put(
                Visit(
                    visit_id=request.visit_id,
                    node_number=number,
                    pole_code=view.pole.code,
                    technician=principal.name,
                    began_at_ms=min(request.began_at_ms, now_ms) or now_ms,
                    received_at_ms=now_ms,
                    place=request.place,
                )
            )
        return await self.state(principal, request.visit_id)

    async def state(self, principal: Principal, visit_id: str) -> VisitState:
        """Return a visit and how its checks stand.

        Raises:
            NotFoundError: There is none, or not in the principal's area.
        """
        visit, view = await self._known(principal, visit_id)
        if visit.signed_at_ms:
            return VisitState(visit, visit.results, is_complete=True)
        checks = checklist(await self._facts(visit, view))
        return VisitState(visit, checks, is_complete(checks))

    async def blink(self, principal: Principal, visit_id: str) -> VisitState:
        """Let the lamp go bright and dim, and note what it draws at each."""
        visit, _ = await self._known(principal, visit_id)
        power_w: list[float] = []
        failure = ""
        for level_percent in BLINK_LEVELS_PERCENT:
            outcome = await self._commands.set_lamp(
                principal, visit.pole_code, level_percent=level_percent, duration_s=_BLINK_S
            )
            if outcome.status is not CommandStatus.DONE:
                failure = outcome.detail or outcome.status.value
                break
            seen_w = await self._power_at(visit, level_percent)
            if seen_w is None:
                failure = f"no report at {level_percent} %"
                break
            power_w.append(seen_w)
        await self._store.blinked(visit_id, power_w, failure)
        return await self.state(principal, visit_id)

    async def sign_off(self, principal: Principal, visit_id: str, *, note: str = "") -> VisitState:
        """Sign a pole off; again changes nothing.

        Raises:
            ConflictError: A check has not passed and no note says why that is in order.
            InvalidError: The note is too long.
        """
        if len(note) > MAX_NOTE:
            raise InvalidError(f"a note has at most {MAX_NOTE} characters")
        state = await self.state(principal, visit_id)
        visit = state.visit
        if visit.signed_at_ms:
            return state
        if not state.is_complete and not note.strip():
            raise ConflictError("not every check has passed; say in a note why that is in order")
        node = await self._lives.node(principal, str(visit.node_number), Permission.COMMISSION)
        if node.life_state is LifeState.CLAIMED:
            await self._lives.take_step(principal, Step.COMMISSION, [node.mac], reason=note[:200])
        results = " ".join(f"{check.name}={check.verdict.value}" for check in state.checks)
        await self._store.sign(
            visit_id,
            at_ms=self._clock.now_ms(),
            note=note,
            results=state.checks,
            audit=AuditEntry(
                principal.name,
                "visit.sign",
                visit.pole_code,
                (("results", results), ("note", note), ("visit", visit_id)),
            ),
        )
        return await self.state(principal, visit_id)

    async def visits(self, principal: Principal, pole_code: str) -> list[Visit]:
        """Return the visits to a pole, newest first."""
        view = await self._inventory.pole(principal, pole_code)
        return await self._store.of_pole(view.pole.code)

    async def _known(self, principal: Principal, visit_id: str) -> tuple[Visit, PoleView]:
        visit = await self._store.visit(visit_id)
        if visit is None:
            raise NotFoundError(f"visit {visit_id} does not exist")
        if visit.conflict:
            raise ConflictError(visit.conflict)
        return visit, await self._inventory.pole(principal, visit.pole_code, Permission.COMMISSION)

    async def _pole(self, principal: Principal, request: VisitRequest) -> PoleView:
        """Find the pole, or add it to the inventory."""
        code = request.pole_code
        if request.new_pole is None:
            return await self._inventory.pole(principal, code, Permission.COMMISSION)
        if request.place is None:
            raise InvalidError("a new pole needs a position")
        await self._inventory.add_pole(
            principal, request.new_pole, confirmed=request.place_confirmed
        )
        return await self._inventory.pole(principal, code, Permission.COMMISSION)

    @staticmethod
    def _check_nearness(view: PoleView, request: VisitRequest) -> None:
        if request.place is None or request.place_confirmed or request.new_pole is not None:
            return
        pole = view.pole
        doubt = doubt_of(request.place, pole.code, pole.latitude_deg, pole.longitude_deg)
        if doubt:
            raise ConflictError(doubt)

    async def _facts(self, visit: Visit, view: PoleView) -> Facts:
        node = view.node
        if node is None or node.number != visit.node_number:
            raise ConflictError(f"another node stands in pole {visit.pole_code} by now")
        latest = [
            value
            for value in await self._telemetry.latest(node.number)
            if value.measured_at_ms >= visit.received_at_ms - 1000
        ]
        now_ms = self._clock.now_ms()
        during_visit = Stay(node.number, visit.began_at_ms, now_ms + 1)
        events = await self._telemetry.events_during([during_visit], limit=50)
        return Facts(
            link_state=node.link_state.value,
            version=node.bundle_version,
            equipment=view.pole.equipment,
            lamp_nominal_w=view.pole.lamp_nominal_w,
            values={
                value.series.metric: value.value
                for value in latest
                if value.series.instance == 0 and math.isfinite(value.value)
            },
            measured_at_ms=max((value.measured_at_ms for value in latest), default=0),
            blink_w=visit.blink_w,
            blink_failure=visit.blink_failure,
            sos_pressed=any(event.kind == _SOS_EVENT for event in events),
            now_ms=now_ms,
        )

    async def _power_at(self, visit: Visit, level_percent: int) -> float | None:
        """Wait for a report at a level; return the power in it."""
        try:
            async with asyncio.timeout(_POWER_WAIT_S), self._changes.subscribe() as changes:
                while True:
                    values = {
                        value.series.metric: value.value
                        for value in await self._telemetry.latest(visit.node_number)
                        if value.series.instance == 0
                    }
                    if values.get(_LEVEL) == level_percent and _POWER in values:
                        return values[_POWER]
                    async for changed in changes:
                        if visit.pole_code in changed.pole_codes:
                            break
                    else:
                        return None
        except TimeoutError:
            return None
