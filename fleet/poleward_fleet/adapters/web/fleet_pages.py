"""Gateways and the audit record.

Not what is written to the audit; the services do that.
"""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Permission, Principal

RECORDS_SHOWN = 100


def fleet_router(pages: Pages, guard: Guard) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    services = pages.services

    @router.get("/gateways")
    async def show_gateways(request: Request, principal: Principal = Depends(guard)) -> Response:  # noqa: B008
        gateways = await services.inventory.gateways(principal)
        areas = {area.code: area for area in await services.inventory.areas(principal)}
        part = request.headers.get("hx-request") == "true"
        template = "gateways_list.html" if part else "gateways.html"
        return pages.render(request, template, gateways=gateways, areas=areas)

    @router.get("/audit")
    async def show_audit(
        request: Request, before: int | None = None, principal: Principal = Depends(guard)  # noqa: B008
    ) -> Response:  # fmt: skip
        principal.require(Permission.AUDIT)
        records = await services.audit.records(principal, before=before, limit=RECORDS_SHOWN)
        older = records[-1].number if len(records) == RECORDS_SHOWN else None
        return pages.render(request, "audit.html", records=records, older=older)

    return router
