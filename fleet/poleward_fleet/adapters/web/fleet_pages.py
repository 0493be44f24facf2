"""Gateways.

Not their enrolment; the services do that.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Principal
from poleward_fleet.domain.errors import NotFoundError


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

    @router.get("/gateways/{name}")
    async def show_gateway(
        request: Request, name: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:
        gateways = {found.name: found for found in await services.inventory.gateways(principal)}
        if name not in gateways:
            raise NotFoundError(f"there is no gateway {name[:64]}")
        return pages.render(
            request, "gateway.html",
            gateway=gateways[name],
            areas={area.code: area for area in await services.inventory.areas(principal)},
            updates=await services.rollouts.history(principal, name),
        )  # fmt: skip

    return router
