"""One pole: the page, its live values, its history, its lamp.

Not the rules of commands; the lamp service keeps them.
"""

import asyncio
import math
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from poleward_fleet.adapters.web.lighting_pages import call_state
from poleward_fleet.adapters.web.live_streams import LiveStreams
from poleward_fleet.adapters.web.pages import Pages, language_of
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.adapters.web.texts import Language, translate
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.inventory import Area
from poleward_fleet.domain.metrics import METRICS, metric_named
from poleward_fleet.domain.telemetry import LatestValue, SeriesKey
from poleward_fleet.services.web_services import PoleDetail

# A page that is open while values rush in asks for them at most this often.
GATHER_S = 0.5
COMMAND_TIMEOUT_S = 10.0
LEVEL_PRESETS = (0, 30, 50, 80, 100)
DURATIONS_S = (0, 900, 3600, 4 * 3600, 12 * 3600)
# Range buttons of the chart: text key, its count, seconds.
RANGES_S = (
    ("pole.minutes", 15, 900),
    ("pole.hours", 1, 3600),
    ("pole.hours", 6, 6 * 3600),
    ("pole.hours", 24, 86400),
    ("pole.days", 7, 7 * 86400),
    ("pole.days", 30, 30 * 86400),
)
LONGEST_RANGE_MS = 366 * 86400 * 1000
_METRIC_ORDER = {name: position for position, name in enumerate(METRICS)}


class LampRequest(BaseModel):
    """What the lamp control sends."""

    level_percent: int = Field(ge=0, le=100)
    duration_s: int = Field(default=0, ge=0, le=7 * 86400)
    instance: int = Field(default=0, ge=0, le=15)


def value_json(latest: LatestValue, language: Language) -> dict[str, Any]:
    """Return one value with everything that shows it."""
    metric = metric_named(latest.series.metric)
    label = metric.label_zh if language is Language.ZH else metric.label_en
    if latest.series.instance:
        label = f"{label} {latest.series.instance + 1}"
    return {
        "key": f"{latest.series.metric}/{latest.series.instance}",
        "label": label,
        "unit": metric.unit,
        "digits": metric.digits,
        "value": latest.value if math.isfinite(latest.value) else None,
        "at_ms": latest.measured_at_ms,
    }


def pole_json(detail: PoleDetail, language: Language, at_ms: int) -> dict[str, Any]:
    """Return what moves on a pole's page."""
    marker, node = detail.marker, detail.view.node
    latest = sorted(
        detail.latest,
        key=lambda value: (_METRIC_ORDER.get(value.series.metric, 999), value.series.instance),
    )
    return {
        "at_ms": at_ms,
        "status": marker.status.value,
        "status_word": translate(language, f"status.{marker.status.value}"),
        "level": marker.level_percent,
        "power_w": marker.power_w,
        "heard_ms": marker.heard_at_ms,
        "version": node.bundle_version if node else "",
        "link": translate(language, f"link.{node.link_state.value}") if node else "",
        "boot": node.boot if node else 0,
        "latest": [value_json(value, language) for value in latest],
        "event_count": len(detail.events),
        "newest_event_ms": detail.events[0].occurred_at_ms if detail.events else 0,
    }


def area_path(areas: list[Area], code: str) -> list[Area]:
    """Return the areas from the top down to one; unknown parents end it."""
    by_code = {area.code: area for area in areas}
    path: list[Area] = []
    while code in by_code and by_code[code] not in path:
        path.insert(0, by_code[code])
        code = by_code[code].parent_code
    return path


def pole_router(pages: Pages, guard: Guard, streams: LiveStreams) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    services = pages.services

    @router.get("/poles/{code}")
    async def show_pole(
        request: Request, code: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        detail = await services.inventory.pole_detail(principal, code)
        areas = await services.inventory.areas(principal)
        return pages.render(
            request, "pole.html",
            detail=detail, pole=detail.view.pole, node=detail.view.node, marker=detail.marker,
            areas=area_path(areas, detail.view.pole.area_code),
            live=pole_json(detail, language_of(request), pages.now_ms()),
            may_command=principal.may(Permission.COMMAND), call=_call(detail),
            updates=await services.rollouts.history(principal, detail.view.pole.code),
            presets=LEVEL_PRESETS, durations=DURATIONS_S, ranges=RANGES_S,
        )  # fmt: skip

    @router.get("/poles/{code}/events")
    async def show_events(
        request: Request, code: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        detail = await services.inventory.pole_detail(principal, code)
        return pages.render(
            request, "pole_events.html",
            detail=detail, call=_call(detail),
            may_command=principal.may(Permission.COMMAND),
        )  # fmt: skip

    @router.get("/data/poles/{code}")
    async def pole_data(
        request: Request, code: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        detail = await services.inventory.pole_detail(principal, code)
        return JSONResponse(pole_json(detail, language_of(request), pages.now_ms()))

    @router.get("/live/poles/{code}")
    async def live_pole(
        request: Request, code: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        language = language_of(request)
        # Asked before the stream opens: an unknown pole is an error and not a silent stream.
        detail = await services.inventory.pole_detail(principal, code)
        pole_code = detail.view.pole.code

        async def events() -> AsyncGenerator[tuple[str, object], None]:
            async with services.changes.subscribe() as changes:
                now = await services.inventory.pole_detail(principal, pole_code)
                yield "pole", pole_json(now, language, pages.now_ms())
                async for changed in changes:
                    if pole_code in changed.pole_codes:
                        now = await services.inventory.pole_detail(principal, pole_code)
                        yield "pole", pole_json(now, language, pages.now_ms())
                        await asyncio.sleep(GATHER_S)

        return streams.response(events())

    @router.post("/poles/{code}/lamp")
    async def set_lamp(
        code: str, wish: LampRequest, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        outcome = await services.lamps.set_lamp(
            principal, code,
            level_percent=wish.level_percent, instance=wish.instance,
            duration_s=wish.duration_s, timeout_s=COMMAND_TIMEOUT_S,
        )  # fmt: skip
        return JSONResponse(
            {
                "status": outcome.status.value,
                "detail": outcome.detail,
                "elapsed_ms": outcome.elapsed_ms,
                "level_percent": wish.level_percent,
            }
        )

    @router.get("/data/poles/{code}/history")
    async def history(
        code: str, metric: str, from_ms: int, to_ms: int,
        principal: Annotated[Principal, Depends(guard)], instance: int = 0,
    ) -> Response:  # fmt: skip
        if not 0 < to_ms - from_ms <= LONGEST_RANGE_MS:
            raise InvalidError("ask for a range of more than nothing and at most a year")
        series = await services.history.series(
            principal, code, SeriesKey(metric, instance),
            from_ms=from_ms, to_ms=to_ms, max_points=1200,
        )  # fmt: skip
        return JSONResponse(
            {
                "at_ms": list(series.measured_at_ms),
                "value": [value if math.isfinite(value) else None for value in series.value],
            }
        )

    return router


def _call(detail: PoleDetail) -> str:
    """Tell whether a call waits; one of a node that was swapped out went with it."""
    number = detail.view.node.number if detail.view.node else None
    return call_state([event for event in detail.events if event.node_number == number])
