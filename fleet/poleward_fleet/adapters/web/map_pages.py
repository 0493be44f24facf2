"""The map of poles: the page, its data, its live changes.

Not the drawing; static/pole_layer.js does that in the browser.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from poleward_fleet.adapters.web.live_streams import LiveStreams
from poleward_fleet.adapters.web.map_columns import change_columns, compressed, map_columns
from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.inventory import Area

# Changes are collected this long, so that a busy city costs each browser one message a second.
GATHER_S = 1.0
# More names than this in one gathering are asked for as "all" instead of one by one.
MANY_CODES = 20_000


def area_depths(areas: list[Area]) -> dict[str, int]:
    """Return how far below the topmost visible area each one lies."""
    parents = {area.code: area.parent_code for area in areas}
    depths = {}
    for code in parents:
        above, depth = parents[code], 0
        # Bounded, in case someone made areas each other's parents.
        while above in parents and depth < len(parents):
            above, depth = parents[above], depth + 1
        depths[code] = depth
    return depths


def map_router(pages: Pages, guard: Guard, streams: LiveStreams) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    services = pages.services

    @router.get("/")
    async def show_map(
        request: Request, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:
        areas = await services.inventory.areas(principal)
        may_command = principal.may(Permission.COMMAND)
        return pages.render(
            request,
            "map.html",
            areas=areas,
            depths=area_depths(areas),
            may_command=may_command,
            tile_url=pages.tile_url,
        )

    @router.get("/data/map")
    async def map_data(principal: Annotated[Principal, Depends(guard)]) -> Response:
        markers = await services.inventory.markers(principal)
        areas = await services.inventory.areas(principal)
        at_ms = pages.now_ms()
        # In a thread: 100,000 poles take long enough to hold up other requests.
        body = await asyncio.to_thread(lambda: compressed(map_columns(markers, areas, at_ms=at_ms)))
        return Response(body, media_type="application/json", headers={"content-encoding": "gzip"})

    @router.get("/live/map")
    async def live_map(principal: Annotated[Principal, Depends(guard)]) -> Response:
        async def events() -> AsyncGenerator[tuple[str, object], None]:
            async with services.changes.subscribe() as changes:
                yield "hello", {"at_ms": pages.now_ms()}
                async for changed in changes:
                    if not changed.pole_codes:
                        continue
                    codes = changed.pole_codes
                    if len(codes) > MANY_CODES:
                        markers = await services.inventory.markers(principal)
                        markers = [marker for marker in markers if marker.code in codes]
                    else:
                        markers = await services.inventory.markers(principal, codes=sorted(codes))
                    if markers:
                        yield "poles", change_columns(markers, at_ms=pages.now_ms())
                    # The subscription merges what changes meanwhile.
                    await asyncio.sleep(GATHER_S)

        return streams.response(events())

    @router.get("/data/session")
    async def session(principal: Annotated[Principal, Depends(guard)]) -> Response:
        return JSONResponse({"name": principal.name})

    return router
