"""Strangers: whom gateways refused.

Not nodes that are in quarantine (node_pages.py).
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Principal
from poleward_fleet.services.people_services import PeopleServices


def stranger_router(pages: Pages, guard: Guard, people: PeopleServices) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()

    @router.get("/strangers")
    async def show(request: Request, principal: Annotated[Principal, Depends(guard)]) -> Response:
        strangers = await people.strangers.strangers(principal)
        return pages.render(request, "strangers.html", strangers=strangers)

    return router
