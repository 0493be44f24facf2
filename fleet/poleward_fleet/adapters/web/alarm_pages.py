"""The alarms: list, live stream, acknowledging.

Not what raises one: domain/alarms.py.
"""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from poleward_fleet.adapters.web.live_streams import LiveStreams
from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.alarms import AlarmKind
from poleward_fleet.domain.errors import InvalidError

ALARMS_SHOWN = 200


def alarm_router(pages: Pages, guard: Guard, streams: LiveStreams) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    services = pages.services

    async def listing(request: Request, principal: Principal, template: str) -> Response:
        shown = request.query_params.get("show", "open")
        alarms = await services.alarms.alarms(
            principal, is_open=True if shown == "open" else None, limit=ALARMS_SHOWN
        )
        return pages.render(
            request, template,
            alarms=alarms, shown=shown, may_command=principal.may(Permission.COMMAND),
            sos=AlarmKind.SOS, full=len(alarms) == ALARMS_SHOWN,
        )  # fmt: skip

    @router.get("/alarms")
    async def show_alarms(
        request: Request, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:
        part = request.headers.get("hx-request") == "true"
        return await listing(request, principal, "alarms_list.html" if part else "alarms.html")

    @router.get("/live/alarms")
    async def live_alarms(principal: Annotated[Principal, Depends(guard)]) -> Response:
        principal.require(Permission.SEE)

        async def events() -> AsyncGenerator[tuple[str, object], None]:
            async with services.changes.subscribe() as changes:
                yield "hello", {"at_ms": pages.now_ms()}
                async for changed in changes:
                    if changed.alarms:
                        yield "alarms", {"at_ms": pages.now_ms()}

        return streams.response(events())

    @router.post("/alarms/{number}/{action}")
    async def act(
        request: Request, number: int, action: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        if action == "acknowledge":
            await services.alarms.acknowledge(principal, number)
        elif action == "clear":
            await services.alarms.clear(principal, number)
        else:
            raise InvalidError("an alarm can be acknowledged or ended")
        if request.headers.get("hx-request") == "true":
            return await listing(request, principal, "alarms_list.html")
        return RedirectResponse("/alarms", status_code=303)

    return router
