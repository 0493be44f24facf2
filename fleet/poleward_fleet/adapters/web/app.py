"""Assembles the web application: pages, data, live streams, static files, errors.

It starts no server and opens no database: the caller passes the services and serves the result.
"""

import logging
from collections.abc import Callable
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from poleward_fleet.adapters.web.account_pages import account_router
from poleward_fleet.adapters.web.alarm_pages import alarm_router
from poleward_fleet.adapters.web.approval_pages import approval_router
from poleward_fleet.adapters.web.audit_pages import audit_router
from poleward_fleet.adapters.web.commission_pages import commission_router
from poleward_fleet.adapters.web.fleet_pages import fleet_router
from poleward_fleet.adapters.web.health_pages import health_router
from poleward_fleet.adapters.web.key_pages import key_router
from poleward_fleet.adapters.web.lighting_pages import lighting_router
from poleward_fleet.adapters.web.live_streams import LiveStreams
from poleward_fleet.adapters.web.login_pages import login_router
from poleward_fleet.adapters.web.map_pages import map_router
from poleward_fleet.adapters.web.node_pages import node_router
from poleward_fleet.adapters.web.pages import HERE, Pages, language_of, unix_ms
from poleward_fleet.adapters.web.people_pages import people_router
from poleward_fleet.adapters.web.pole_pages import pole_router
from poleward_fleet.adapters.web.release_pages import release_router
from poleward_fleet.adapters.web.request_guard import (
    FormRefusedError,
    Guard,
    LoginRequiredError,
    SecurityHeaders,
)
from poleward_fleet.adapters.web.rollout_node_pages import rollout_node_router
from poleward_fleet.adapters.web.rollout_pages import rollout_router
from poleward_fleet.adapters.web.sign_on_pages import sign_on_router
from poleward_fleet.adapters.web.stranger_pages import stranger_router
from poleward_fleet.adapters.web.table_pages import table_router
from poleward_fleet.adapters.web.texts import say, translate
from poleward_fleet.domain.errors import (
    ConflictError,
    FleetError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TooManyAttemptsError,
    UnauthenticatedError,
    UnavailableError,
)
from poleward_fleet.services.people_services import PeopleServices
from poleward_fleet.services.web_services import WebServices

LOG = logging.getLogger(__name__)
STATUS_CODES: tuple[tuple[type[FleetError], int], ...] = (
    (NotFoundError, 404),
    (InvalidError, 400),
    (ConflictError, 409),
    (UnauthenticatedError, 401),
    (FormRefusedError, 403),
    (ForbiddenError, 403),
    (TooManyAttemptsError, 429),
    (UnavailableError, 503),
)


def create_app(
    services: WebServices,
    *,
    now_ms: Callable[[], int] = unix_ms,
    tile_url: str = "",
    streams: LiveStreams | None = None,
    people: PeopleServices | None = None,
) -> FastAPI:
    """Return the application that shows what `services` know.

    Before the server stops, call `close_streams(app)`: it ends the open live streams, which would
    otherwise hold up an orderly stop.

    Args:
        services: The fleet.
        now_ms: Wall clock in Unix milliseconds.
        tile_url: Address template of map tiles, "https://…/{z}/{x}/{y}.png"; empty for none.
        streams: Live streams; their own by default.
        people: Accounts, approvals, tables, lives of nodes; without them their pages are not
            served.
    """
    app = FastAPI(title="Poleward", docs_url=None, redoc_url=None, openapi_url=None)
    pages = Pages(services, now_ms, tile_url, has_people=people is not None)
    guard = Guard(pages)
    app.state.streams = streams = streams or LiveStreams()
    app.add_middleware(SecurityHeaders, tile_url=tile_url)

    @app.get("/.well-known/poleward.json")
    async def discovery() -> Response:
        return JSONResponse(services.discovery)

    app.include_router(health_router(services.readiness))
    app.include_router(login_router(pages, guard))
    app.include_router(sign_on_router(pages))
    app.include_router(map_router(pages, guard, streams))
    app.include_router(pole_router(pages, guard, streams))
    app.include_router(alarm_router(pages, guard, streams))
    app.include_router(release_router(pages, guard))
    app.include_router(rollout_router(pages, guard))
    app.include_router(rollout_node_router(pages, guard))
    app.include_router(lighting_router(pages, guard))
    app.include_router(fleet_router(pages, guard))
    app.include_router(commission_router(pages, guard))
    app.include_router(audit_router(pages, guard))
    if people:
        for make_router in (
            account_router, people_router, approval_router, table_router, node_router, key_router,
            stranger_router,
        ):  # fmt: skip
            app.include_router(make_router(pages, guard, people))
    app.mount("/static", _RevalidatedFiles(directory=HERE / "static"), name="static")
    _add_error_pages(app, pages)
    return app


def close_streams(app: FastAPI) -> None:
    """End the application's live streams, so that the server can stop at once."""
    streams: LiveStreams = app.state.streams
    streams.close()


class _RevalidatedFiles(StaticFiles):
    """Static files that a browser keeps but asks about each time, so an update shows at once."""

    def file_response(self, *args: object, **values: object) -> Response:
        response = super().file_response(*args, **values)  # type: ignore[arg-type]
        response.headers["cache-control"] = "no-cache"
        return response


def _add_error_pages(app: FastAPI, pages: Pages) -> None:
    def answer(request: Request, code: int, detail: str) -> Response:
        language = language_of(request)
        known = {400, 401, 403, 404, 409, 429, 500, 503}
        heading = translate(language, f"error.{code if code in known else 400}")
        if request.url.path.startswith(("/data/", "/live/")) or _wants_json(request):
            return JSONResponse({"error": heading, "detail": detail}, status_code=code)
        part = request.headers.get("hx-request") == "true"
        template = "error_notice.html" if part else "error.html"
        return pages.render(
            request, template, status_code=code, code=code, heading=heading, detail=detail
        )

    async def login_required(request: Request, error: Exception) -> Response:
        if request.url.path.startswith(("/data/", "/live/")) or _wants_json(request):
            return JSONResponse({"error": str(error)}, status_code=401)
        ended = "&ended=true" if request.cookies.get("poleward_session") else ""
        target = request.url.path if request.method == "GET" else "/"
        login = f"/login?next={quote(target)}{ended}"
        if request.headers.get("hx-request") == "true":
            return Response(status_code=204, headers={"hx-redirect": login})
        return RedirectResponse(login, status_code=303)

    async def fleet_error(request: Request, error: Exception) -> Response:
        code = next((code for kind, code in STATUS_CODES if isinstance(error, kind)), 500)
        language = language_of(request)
        detail = say(language, error.said) if isinstance(error, FleetError) else str(error)
        if isinstance(error, FormRefusedError):
            detail = translate(language, "error.form")
        if isinstance(error, TooManyAttemptsError):
            detail = translate(language, "login.too_many", seconds=error.retry_after_s)
        response = answer(request, code, detail)
        if isinstance(error, TooManyAttemptsError):
            response.headers["retry-after"] = str(error.retry_after_s)
        return response

    async def invalid(request: Request, error: Exception) -> Response:
        faults = error.errors() if isinstance(error, RequestValidationError) else []
        detail = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in faults)
        return answer(request, 400, detail)

    async def http_error(request: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 500
        hint = "error.404_hint" if code == 404 else "error.title"
        return answer(request, code, translate(language_of(request), hint))

    async def broken(request: Request, error: Exception) -> Response:
        LOG.error("request failed: %s %s", request.method, request.url.path, exc_info=error)
        return answer(request, 500, translate(language_of(request), "error.500_hint"))

    app.add_exception_handler(LoginRequiredError, login_required)
    app.add_exception_handler(FleetError, fleet_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, broken)


def _wants_json(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/json")
