"""Requests for a second person: the page, approving, rejecting, withdrawing.

Not the actions that need one; their own pages ask for it.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.people_forms import form_of, gone_on, number_in
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Principal
from poleward_fleet.domain.approvals import ApprovalState
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.services.people_services import PeopleServices


def approval_router(pages: Pages, guard: Guard, people: PeopleServices) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    approvals = people.approvals

    @router.get("/approvals")
    async def show(request: Request, principal: Annotated[Principal, Depends(guard)]) -> Response:
        found = await approvals.approvals(principal)
        rows = [
            (
                one,
                await approvals.may_decide(principal, one),
                one.requested_by == principal.name and one.state is ApprovalState.PENDING,
            )
            for one in found
        ]
        return pages.render(request, "approvals.html", rows=rows)

    @router.post("/approvals/{number}")
    async def decide(
        request: Request, number: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        form = await form_of(request)
        decision, reason = form.text("decision"), form.text("reason")
        if decision == "approve":
            await approvals.approve(principal, number_in(number), reason)
        elif decision == "reject":
            await approvals.reject(principal, number_in(number), reason)
        elif decision == "withdraw":
            await approvals.withdraw(principal, number_in(number))
        else:
            raise InvalidError.of("decision")
        return gone_on(request, "/approvals")

    return router
