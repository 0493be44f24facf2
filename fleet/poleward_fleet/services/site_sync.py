"""Visits that a gateway answered by its work order: they stand, or it is told why not.

Not visits that technicians make at the fleet (services/commissioning.py).
"""

import hashlib

from poleward_commissioning.checklist import BLINK_LEVELS_PERCENT
from poleward_commissioning.visit import SiteVisit
from poleward_commissioning.work_order import OrderNode, WorkOrder
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from poleward_fleet.domain.identity import FreshKeys
from poleward_fleet.domain.inventory import LifeState
from poleward_fleet.domain.life_cycle import Step
from poleward_fleet.domain.visits import Visit
from poleward_fleet.domain.work_orders import SiteVisitOutcome
from poleward_fleet.ports.clock import Clock
from poleward_fleet.ports.visits import VisitStore
from poleward_fleet.ports.work_orders import WorkOrderStore
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.node_life import NodeLifeService
from poleward_fleet.services.provisioning import ProvisioningService

_REFUSALS = (ConflictError, ForbiddenError, InvalidError, NotFoundError)


class SiteSync:
    """Takes visits from gateways. The same one again changes nothing.

    Args:
        orders: What they may have been made by.
        visits: Where visits are.
        accounts: Who the technicians are by now.
        provisioning: Puts nodes into poles.
        lives: Signs them off.
        clock: For when a visit came.
    """

    def __init__(
        self,
        orders: WorkOrderStore,
        visits: VisitStore,
        accounts: AccountService,
        provisioning: ProvisioningService,
        lives: NodeLifeService,
        clock: Clock,
    ) -> None:
        self._orders = orders
        self._visits = visits
        self._accounts = accounts
        self._provisioning = provisioning
        self._lives = lives
        self._clock = clock

    async def take(self, gateway_name: str, content: bytes) -> SiteVisitOutcome:
        """Take what a gateway knows of a visit.

        Raises:
            InvalidError: It is not a visit.
        """
        try:
            visit = SiteVisit.from_bytes(content)
        except ValueError as error:
            raise InvalidError(str(error)) from error
        stored = await self._orders.order(gateway_name, visit.order_revision)
        node = stored.order.node(visit.mac) if stored else None
        if stored is None or node is None or stored.order.pole(visit.pole_code) is None:
            # Nothing to keep it by; what the gateway shows is all that people see of it.
            conflict = f"the fleet knows no work order {visit.order_revision} for this visit"
        else:
            conflict = await self._store(gateway_name, visit, stored.order, node)
        return SiteVisitOutcome(visit.visit_id, hashlib.sha256(content).digest(), conflict)

    async def _store(
        self, gateway_name: str, visit: SiteVisit, order: WorkOrder, node: OrderNode
    ) -> str:
        """Store a visit as far as it is new; return why it does not stand, or nothing."""
        known = await self._visits.visit(visit.visit_id)
        if known is not None and known.conflict:
            return known.conflict
        try:
            technician = await self._technician(visit, order)
            if known is None:
                await self._place(gateway_name, technician, visit, order, node)
            if visit.signed_at_ms:
                await self._sign(technician, visit, node)
        except _REFUSALS as error:
            conflict = str(error)
            await self._visits.refuse(
                self._visit(visit, node),
                conflict,
                AuditEntry(
                    gateway_name,
                    "visit.conflict",
                    visit.pole_code,
                    (
                        ("mac", visit.mac),
                        ("technician", visit.technician),
                        ("visit", visit.visit_id),
                        ("why", conflict),
                    ),
                ),
            )
            return conflict
        return ""

    async def _technician(self, visit: SiteVisit, order: WorkOrder) -> Principal:
        """Return who made a visit, if they still might and the order was not replaced before."""
        if visit.technician not in order.technicians:
            raise ForbiddenError(f"the work order was not for {visit.technician}")
        if visit.began_at_ms > order.expires_at_ms:
            raise ConflictError("the work order was over when the visit began")
        newest = await self._orders.newest_of(order.gateway_name)
        if newest is not None and newest.made_at_ms <= visit.began_at_ms:
            later = newest.order
            if later.node(visit.mac) is None or visit.technician not in later.technicians:
                raise ConflictError("the work order was revoked before the visit began")
        technician = await self._accounts.principal_named(visit.technician)
        if technician is None:
            raise NotFoundError(f"there is no account {visit.technician} any more")
        technician.require(Permission.COMMISSION)
        return technician

    async def _place(
        self,
        gateway_name: str,
        technician: Principal,
        visit: SiteVisit,
        order: WorkOrder,
        node: OrderNode,
    ) -> None:
        keys = node.operational
        await self._provisioning.take_claim(
            technician,
            mac=visit.mac,
            pole_code=visit.pole_code,
            gateway_name=gateway_name,
            keys=FreshKeys(keys.master_secret, keys.master_salt),
            report_interval_s=order.report_interval_s,
            swap=visit.swap,
        )
        await self._visits.put(self._visit(visit, node))

    async def _sign(self, technician: Principal, visit: SiteVisit, node: OrderNode) -> None:
        there = await self._lives.node(technician, str(node.number), Permission.COMMISSION)
        if there.pole_code != visit.pole_code:
            raise ConflictError(
                f"node {visit.mac} does not stand in pole {visit.pole_code} any more"
            )
        if there.life_state is LifeState.CLAIMED:
            await self._lives.take_step(
                technician, Step.COMMISSION, [visit.mac], reason=visit.note[:200]
            )
        blink_w = visit.blink_w[: len(BLINK_LEVELS_PERCENT)]
        await self._visits.blinked(visit.visit_id, blink_w, visit.blink_failure)
        results = " ".join(f"{check.name}={check.verdict.value}" for check in visit.results)
        await self._visits.sign(
            visit.visit_id,
            at_ms=visit.signed_at_ms,
            note=visit.note,
            results=visit.results,
            audit=AuditEntry(
                technician.name,
                "visit.sign",
                visit.pole_code,
                (
                    ("gateway", there.gateway_name),
                    ("note", visit.note),
                    ("results", results),
                    ("visit", visit.visit_id),
                ),
            ),
        )

    def _visit(self, visit: SiteVisit, node: OrderNode) -> Visit:
        return Visit(
            visit_id=visit.visit_id,
            node_number=node.number,
            pole_code=visit.pole_code,
            technician=visit.technician,
            began_at_ms=visit.began_at_ms,
            received_at_ms=self._clock.now_ms(),
            place=visit.place,
        )
