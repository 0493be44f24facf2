"""CommissioningService on the API port.

Not the rules (services/commissioning.py, services/work_orders.py).
"""

from typing import Any

import grpc.aio

from poleward.v1 import commissioning_service_pb2 as pb
from poleward.v1 import commissioning_service_pb2_grpc
from poleward_commissioning.work_order import WorkOrder
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.domain.visits import VisitRequest, VisitState
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.commissioning import CommissioningService
from poleward_fleet.services.work_orders import WorkOrderService

_Context = grpc.aio.ServicerContext[Any, Any]


class CommissioningServicer(commissioning_service_pb2_grpc.CommissioningServiceServicer):
    """Work orders and visits."""

    def __init__(
        self, accounts: AccountService, visits: CommissioningService, orders: WorkOrderService
    ) -> None:
        self._accounts = accounts
        self._visits = visits
        self._orders = orders

    async def MakeWorkOrder(
        self, request: pb.MakeWorkOrderRequest, context: _Context
    ) -> pb.MakeWorkOrderResponse:
        """Make the order of a gateway."""
        principal = await principal_of(self._accounts, context)
        order = await self._orders.make(
            principal,
            request.gateway_name,
            request.macs,
            request.technicians,
            valid_s=request.valid_s,
        )
        return pb.MakeWorkOrderResponse(order=_order(order))

    async def RevokeWorkOrder(
        self, request: pb.RevokeWorkOrderRequest, context: _Context
    ) -> pb.RevokeWorkOrderResponse:
        """End the order of a gateway."""
        principal = await principal_of(self._accounts, context)
        await self._orders.revoke(principal, request.gateway_name)
        return pb.RevokeWorkOrderResponse()

    async def ListWorkOrders(
        self, request: pb.ListWorkOrdersRequest, context: _Context
    ) -> pb.ListWorkOrdersResponse:
        """List orders."""
        principal = await principal_of(self._accounts, context)
        orders = await self._orders.orders(principal)
        return pb.ListWorkOrdersResponse(orders=[_order(order) for order in orders])

    async def ListSitePasses(
        self, request: pb.ListSitePassesRequest, context: _Context
    ) -> pb.ListSitePassesResponse:
        """Return what the caller needs at gateways."""
        principal = await principal_of(self._accounts, context)
        return pb.ListSitePassesResponse(
            passes=[
                pb.SitePass(
                    gateway_name=site.gateway_name,
                    site_url=site.site_url,
                    expires_at_ms=site.expires_at_ms,
                    secret=site.secret,
                    technician=principal.name,
                )
                for site in await self._orders.passes(principal)
            ]
        )

    async def BeginVisit(
        self, request: pb.BeginVisitRequest, context: _Context
    ) -> pb.BeginVisitResponse:
        """Claim a node."""
        principal = await principal_of(self._accounts, context)
        visit = VisitRequest(
            visit_id=request.visit_id,
            mac=request.mac,
            claim_code=request.claim_code,
            pole_code=request.pole_code,
            swap=request.swap,
        )
        return pb.BeginVisitResponse(state=_state(await self._visits.begin(principal, visit)))

    async def GetVisit(self, request: pb.GetVisitRequest, context: _Context) -> pb.GetVisitResponse:
        """Return how the checks stand."""
        principal = await principal_of(self._accounts, context)
        state = await self._visits.state(principal, request.visit_id)
        return pb.GetVisitResponse(state=_state(state))

    async def BlinkLamp(
        self, request: pb.BlinkLampRequest, context: _Context
    ) -> pb.BlinkLampResponse:
        """Let the lamp go bright and dim."""
        principal = await principal_of(self._accounts, context)
        state = await self._visits.blink(principal, request.visit_id)
        return pb.BlinkLampResponse(state=_state(state))

    async def SignVisit(
        self, request: pb.SignVisitRequest, context: _Context
    ) -> pb.SignVisitResponse:
        """Sign a pole off."""
        principal = await principal_of(self._accounts, context)
        state = await self._visits.sign_off(principal, request.visit_id, note=request.note)
        return pb.SignVisitResponse(state=_state(state))


def _order(order: WorkOrder) -> pb.WorkOrder:
    return pb.WorkOrder(
        gateway_name=order.gateway_name,
        revision=order.revision,
        expires_at_ms=order.expires_at_ms,
        macs=[node.mac for node in order.nodes],
        technicians=list(order.technicians),
        pole_count=len(order.poles),
    )


def _state(state: VisitState) -> pb.VisitState:
    return pb.VisitState(
        signed_at_ms=state.visit.signed_at_ms,
        is_complete=state.is_complete,
        checks=[
            pb.VisitCheck(name=check.name, verdict=check.verdict.value, value=check.value)
            for check in state.checks
        ],
    )
