"""Gateways.

Not their enrolment; the services do that.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Principal


def fleet_router(pages: Pages, guard: Guard) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    services = pages.services

    @router.get("/gateways")
    async def show_gateways(
        request: Request, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:
        gateways = await services.inventory.gateways(principal)
        areas = {area.code: area for area in await services.inventory.areas(principal)}
        part = request.headers.get("hx-request") == "true"
        template = "gateways_list.html" if part else "gateways.html"
        return pages.render(request, template, gateways=gateways, areas=areas)

    return router
