"""The technician's page: its shell, what makes it installable, and the visits that it sends.

Not the rules of a visit; the commissioning service keeps them.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field

from poleward_commissioning.checklist import Place
from poleward_commissioning.visit import visit_answer
from poleward_fleet.adapters.web.pages import HERE, Pages, language_of
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.adapters.web.texts import translate
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.inventory import Pole
from poleward_fleet.domain.visits import VisitRequest, VisitState

POLES_OFFERED = 2000


class PlaceMessage(BaseModel):
    """Where a phone is."""

    latitude_deg: float
    longitude_deg: float
    accuracy_m: float


class NewPoleMessage(BaseModel):
    """What the technician says of a pole that is not in the inventory."""

    area_code: str = Field(max_length=12)
    lamp_nominal_w: int = Field(ge=0, le=10_000)
    equipment: list[str] = Field(max_length=20)


class VisitMessage(BaseModel):
    """A visit as the page sends it."""

    visit_id: str = Field(max_length=36)
    mac: str = Field(max_length=12)
    claim_code: str = Field(max_length=32, repr=False)
    pole_code: str = Field(max_length=64)
    began_at_ms: int = Field(ge=0)
    place: PlaceMessage | None = None
    new_pole: NewPoleMessage | None = None
    swap: bool = False
    place_confirmed: bool = False

    def request(self) -> VisitRequest:
        """Return what the service takes.

        Raises:
            InvalidError: A new pole without a position.
        """
        place = None if self.place is None else Place(**self.place.model_dump())
        new_pole = None
        if self.new_pole is not None:
            if place is None:
                raise InvalidError("a new pole needs a position")
            new_pole = Pole(
                code=self.pole_code,
                area_code=self.new_pole.area_code,
                latitude_deg=place.latitude_deg,
                longitude_deg=place.longitude_deg,
                equipment=tuple(self.new_pole.equipment),
                lamp_nominal_w=self.new_pole.lamp_nominal_w,
            )
        return VisitRequest(
            visit_id=self.visit_id,
            mac=self.mac,
            claim_code=self.claim_code,
            pole_code=self.pole_code,
            began_at_ms=self.began_at_ms,
            place=place,
            new_pole=new_pole,
            swap=self.swap,
            place_confirmed=self.place_confirmed,
        )


class SignMessage(BaseModel):
    """A technician's signature."""

    note: str = Field(default="", max_length=500)


def visit_json(state: VisitState) -> dict[str, Any]:
    """Return what the page shows of a visit."""
    return visit_answer(
        state.checks, is_complete=state.is_complete, signed_at_ms=state.visit.signed_at_ms
    )


def commission_router(pages: Pages, guard: Guard) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    services = pages.services

    @router.get("/commission")
    async def show_page(
        request: Request, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:
        principal.require(Permission.COMMISSION)
        areas = await services.inventory.areas(principal)
        passes = await services.work_orders.passes(principal)
        request.state.connect_sources = [site.site_url for site in passes if site.site_url]
        return pages.render(request, "commission.html", areas=areas)

    @router.get("/commission-worker.js")
    async def worker() -> Response:
        return FileResponse(
            HERE / "static" / "commission_worker.js",
            media_type="text/javascript",
            headers={"cache-control": "no-cache"},
        )

    @router.get("/commission.webmanifest")
    async def manifest(request: Request) -> Response:
        language = language_of(request)
        content = {
            "name": translate(language, "commission.title"),
            "short_name": "Poleward",
            "start_url": "/commission",
            "scope": "/",
            "display": "standalone",
            "background_color": "#eef1f4",
            "theme_color": "#17599e",
            "lang": language.value,
            "icons": [{"src": "/static/favicon.svg", "sizes": "any", "type": "image/svg+xml"}],
        }
        return JSONResponse(content, media_type="application/manifest+json")

    @router.get("/data/commission/poles")
    async def poles(principal: Annotated[Principal, Depends(guard)]) -> Response:
        principal.require(Permission.COMMISSION)
        found = await services.inventory.search_poles(principal, "", limit=POLES_OFFERED)
        return JSONResponse({"poles": [view.pole.code for view in found]})

    @router.get("/data/commission/passes")
    async def passes(principal: Annotated[Principal, Depends(guard)]) -> Response:
        found = await services.work_orders.passes(principal)
        shown = [
            {
                "gateway": site.gateway_name,
                "technician": principal.name,
                "url": site.site_url,
                "expires_at_ms": site.expires_at_ms,
                "secret": site.secret.hex(),
                "poles": site.pole_codes,
            }
            for site in found
            if site.site_url
        ]
        return JSONResponse({"passes": shown}, headers={"cache-control": "no-store"})

    @router.post("/data/visits")
    async def begin(
        visit: VisitMessage, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:
        return JSONResponse(visit_json(await services.visits.begin(principal, visit.request())))

    @router.get("/data/visits/{visit_id}")
    async def state(visit_id: str, principal: Annotated[Principal, Depends(guard)]) -> Response:
        return JSONResponse(visit_json(await services.visits.state(principal, visit_id)))

    @router.post("/data/visits/{visit_id}/blink")
    async def blink(visit_id: str, principal: Annotated[Principal, Depends(guard)]) -> Response:
        return JSONResponse(visit_json(await services.visits.blink(principal, visit_id)))

    @router.post("/data/visits/{visit_id}/sign-off")
    async def sign_off(
        visit_id: str, signature: SignMessage, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        state = await services.visits.sign_off(principal, visit_id, note=signature.note)
        return JSONResponse(visit_json(state))

    return router
