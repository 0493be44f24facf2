"""Visits and work orders of the made-up city: there are none."""

from poleward_fleet.domain.accounts import Principal
from poleward_fleet.domain.errors import NotFoundError
from poleward_fleet.domain.visits import VisitRequest, VisitState
from poleward_fleet.domain.work_orders import SitePass


class NoVisits:
    """A VisitControl that knows no pole, and a PassReader without passes."""

    async def begin(self, principal: Principal, request: VisitRequest) -> VisitState:
        raise NotFoundError(f"pole {request.pole_code} does not exist")

    async def state(self, principal: Principal, visit_id: str) -> VisitState:
        raise NotFoundError(f"visit {visit_id} does not exist")

    async def blink(self, principal: Principal, visit_id: str) -> VisitState:
        raise NotFoundError(f"visit {visit_id} does not exist")

    async def passes(self, principal: Principal) -> list[SitePass]:
        return []

    async def sign_off(self, principal: Principal, visit_id: str, *, note: str = "") -> VisitState:
        raise NotFoundError(f"visit {visit_id} does not exist")
