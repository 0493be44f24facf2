"""The part of the fleet's API that is about technicians at poles, as typed calls on plain values.

`FleetClient` carries it; see there for what all calls have in common.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import grpc

from poleward.v1 import commissioning_service_pb2 as pb
from poleward.v1.commissioning_service_pb2_grpc import CommissioningServiceStub
from poleward_tools.client.errors import translated

_TIMEOUT_S = 30.0
_BLINK_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """What may be done at a gateway that cannot reach the fleet."""

    gateway: str
    revision: int
    expires_at_ms: int
    macs: tuple[str, ...]
    technicians: tuple[str, ...]
    poles: int


@dataclass(frozen=True, slots=True)
class SitePass:
    """What lets the caller work at one gateway."""

    gateway: str
    url: str
    technician: str
    expires_at_ms: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class VisitCheck:
    """One line of a checklist."""

    name: str
    verdict: str
    value: str


@dataclass(frozen=True, slots=True)
class VisitState:
    """How a visit stands; signed_at_ms is 0 until it was signed."""

    signed_at_ms: int
    is_complete: bool
    checks: tuple[VisitCheck, ...]


class CommissioningCalls:
    """Work orders, and visits that the fleet answers."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._stub = CommissioningServiceStub(channel)
        self._address = address

    def make_order(
        self,
        gateway: str,
        macs: Iterable[str],
        technicians: Iterable[str] = (),
        *,
        valid_s: int = 0,
    ) -> WorkOrder:
        """Let technicians commission these nodes at a gateway; replaces the order before."""
        request = pb.MakeWorkOrderRequest(
            gateway_name=gateway, macs=macs, technicians=technicians, valid_s=valid_s
        )
        with translated(f"make a work order for {gateway}", self._address):
            return _order(self._stub.MakeWorkOrder(request, timeout=_TIMEOUT_S).order)

    def revoke_order(self, gateway: str) -> None:
        """End the order of a gateway."""
        request = pb.RevokeWorkOrderRequest(gateway_name=gateway)
        with translated(f"revoke the work order of {gateway}", self._address):
            self._stub.RevokeWorkOrder(request, timeout=_TIMEOUT_S)

    def orders(self) -> list[WorkOrder]:
        """List the orders that are not over, by gateway."""
        with translated("list work orders", self._address):
            answer = self._stub.ListWorkOrders(pb.ListWorkOrdersRequest(), timeout=_TIMEOUT_S)
        return [_order(order) for order in answer.orders]

    def passes(self) -> list[SitePass]:
        """Get what lets the caller work at gateways without the fleet."""
        with translated("get passes for gateways", self._address):
            answer = self._stub.ListSitePasses(pb.ListSitePassesRequest(), timeout=_TIMEOUT_S)
        return [
            SitePass(p.gateway_name, p.site_url, p.technician, p.expires_at_ms, p.secret)
            for p in answer.passes
        ]

    def begin(
        self, visit_id: str, *, mac: str, claim_code: str, pole_code: str, swap: bool
    ) -> VisitState:
        """Claim a node for a pole; the same visit again changes nothing."""
        request = pb.BeginVisitRequest(
            visit_id=visit_id, mac=mac, claim_code=claim_code, pole_code=pole_code, swap=swap
        )
        with translated(f"commission {mac} into {pole_code}", self._address):
            return _state(self._stub.BeginVisit(request, timeout=_TIMEOUT_S).state)

    def state(self, visit_id: str) -> VisitState:
        """Get how the checks stand."""
        with translated("look at the checks", self._address):
            request = pb.GetVisitRequest(visit_id=visit_id)
            return _state(self._stub.GetVisit(request, timeout=_TIMEOUT_S).state)

    def blink(self, visit_id: str) -> VisitState:
        """Let the lamp go bright and dim."""
        with translated("let the lamp blink", self._address):
            request = pb.BlinkLampRequest(visit_id=visit_id)
            return _state(self._stub.BlinkLamp(request, timeout=_BLINK_TIMEOUT_S).state)

    def sign(self, visit_id: str, note: str) -> VisitState:
        """Sign off."""
        with translated("sign off", self._address):
            request = pb.SignVisitRequest(visit_id=visit_id, note=note)
            return _state(self._stub.SignVisit(request, timeout=_TIMEOUT_S).state)


def _order(order: pb.WorkOrder) -> WorkOrder:
    return WorkOrder(
        order.gateway_name,
        order.revision,
        order.expires_at_ms,
        tuple(order.macs),
        tuple(order.technicians),
        order.pole_count,
    )


def _state(state: pb.VisitState) -> VisitState:
    checks = tuple(VisitCheck(c.name, c.verdict, c.value) for c in state.checks)
    return VisitState(state.signed_at_ms, state.is_complete, checks)
