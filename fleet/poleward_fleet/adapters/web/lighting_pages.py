"""Lighting: programs with a preview of tonight, groups, scenes, local rules; emergency calls.

Not the rules of any of them; the lighting services keep those.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.commands import CommandStatus, SetLamp
from poleward_fleet.domain.errors import ConflictError, InvalidError
from poleward_fleet.domain.lighting import Group, LightingKind, PoleOutcome, Program
from poleward_fleet.domain.lighting_rules import Night
from poleward_fleet.domain.telemetry import NodeEvent

_WIDTH, _HEIGHT = 960.0, 160.0
_CALL_STATES = {"sos.pressed": "calling", "sos.accepted": "accepted"}
_FAILED_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Curve:
    """A night as a drawing of 960 by 160: noon on the left, full light on top."""

    path: str
    sunset_x: float
    sunrise_x: float
    sunset: str
    sunrise: str
    steps: tuple[tuple[str, int], ...]


def curve_of(night: Night) -> Curve:
    """Lay a night out as steps."""
    noon = night.points[0][0]

    def x(moment: datetime.datetime) -> float:
        share = (moment - noon).total_seconds() / 86400
        return round(_WIDTH * min(1.0, max(0.0, share)), 1)

    parts: list[str] = []
    for at, level in night.points:
        y = round(_HEIGHT * (1 - level / 100), 1)
        parts.append(f"{'H' if parts else 'M'}{x(at)}{'' if parts else f' {y}'}")
        parts.append(f"V{y}")
    return Curve(
        path="".join([*parts, f"H{_WIDTH}"]),
        sunset_x=x(night.sunset),
        sunrise_x=x(night.sunrise),
        sunset=f"{night.sunset:%H:%M}",
        sunrise=f"{night.sunrise:%H:%M}",
        steps=tuple((f"{at:%H:%M}", level) for at, level in night.points),
    )


def call_state(events: Sequence[NodeEvent]) -> str:
    """Tell from a pole's events, newest first, whether a call waits: "calling", "accepted", ""."""
    newest = next((event.kind for event in events if event.kind.startswith("sos.")), "")
    return _CALL_STATES.get(newest, "")


def lighting_router(pages: Pages, guard: Guard) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    services = pages.services

    def told(request: Request, outcomes: Sequence[PoleOutcome]) -> Response:
        failed = [o for o in outcomes if o.outcome.status is not CommandStatus.DONE]
        return pages.render(
            request, "lighting_outcome.html",
            done=len(outcomes) - len(failed), all=len(outcomes), failed=failed[:_FAILED_SHOWN],
        )  # fmt: skip

    @router.get("/lighting")
    async def show_lighting(
        request: Request, principal: Annotated[Principal, Depends(guard)], program: str = ""
    ) -> Response:  # fmt: skip
        found = await services.lighting.overview(principal)
        chosen = next((v.program for v in found.programs if v.program.name == program), None)
        return pages.render(
            request, "lighting.html",
            found=found, chosen=chosen or Program("", "Asia/Shanghai", "||S;22:00;R|100;50;0"),
            areas=await services.inventory.areas(principal),
            may_edit=principal.may(Permission.COMMAND),
            may_edit_programs=principal.may(Permission.COMMAND) and not principal.area_code,
        )  # fmt: skip

    @router.get("/lighting/preview")
    async def preview(
        request: Request, principal: Annotated[Principal, Depends(guard)],
        rules: str = "", time_zone: str = "", pole: str = "",
    ) -> Response:  # fmt: skip
        values: dict[str, Any] = {"curve": None, "wrong": ""}
        if pole:
            program = Program("preview", time_zone, _lines(rules))
            try:
                values["curve"] = curve_of(
                    await services.lighting.preview(principal, program, pole)
                )
            except InvalidError as error:
                values["wrong"] = str(error)
        return pages.render(request, "lighting_preview.html", **values)

    @router.post("/lighting/programs")
    async def put_program(
        principal: Annotated[Principal, Depends(guard)],
        name: str = Form(""), time_zone: str = Form(""), rules: str = Form(""),
    ) -> Response:  # fmt: skip
        await services.lighting.put(principal, Program(name.strip(), time_zone, _lines(rules)))
        return RedirectResponse("/lighting", status_code=303)

    @router.post("/lighting/assign")
    async def assign(
        principal: Annotated[Principal, Depends(guard)],
        program: str = Form(""), area: str = Form(""),
    ) -> Response:  # fmt: skip
        await services.lighting.assign(principal, program, area_code=area)
        return RedirectResponse("/lighting", status_code=303)

    @router.post("/lighting/groups")
    async def put_group(
        principal: Annotated[Principal, Depends(guard)],
        name: str = Form(""), poles: str = Form(""),
    ) -> Response:  # fmt: skip
        codes = tuple(dict.fromkeys(poles.replace(",", " ").split()))
        await services.lighting.put_group(principal, Group(name.strip(), codes), add=False)
        return RedirectResponse("/lighting", status_code=303)

    @router.post("/lighting/dim")
    async def dim(
        request: Request,
        principal: Annotated[Principal, Depends(guard)],
        group: str = Form(""), level: int = Form(ge=0, le=100), minutes: int = Form(0, ge=0),
    ) -> Response:  # fmt: skip
        wish = SetLamp(level, duration_s=minutes * 60)
        return told(request, await services.lamp_orders.dim_group(principal, group, wish))

    @router.post("/lighting/run")
    async def run(
        request: Request,
        principal: Annotated[Principal, Depends(guard)],
        scene: str = Form(""), minutes: int = Form(0, ge=0),
    ) -> Response:  # fmt: skip
        outcomes = await services.lamp_orders.run_scene(principal, scene, duration_s=minutes * 60)
        return told(request, outcomes)

    @router.post("/lighting/remove/{kind}")
    async def remove(
        kind: LightingKind, principal: Annotated[Principal, Depends(guard)], name: str = Form("")
    ) -> Response:  # fmt: skip
        await services.lighting.remove(principal, kind, name)
        return RedirectResponse("/lighting", status_code=303)

    @router.post("/poles/{code}/call")
    async def answer_call(
        code: str, principal: Annotated[Principal, Depends(guard)], answer: str = Form("")
    ) -> Response:  # fmt: skip
        if answer not in ("accept", "reset"):
            raise InvalidError("a call can be accepted or reset")
        outcome = await services.lamp_orders.answer_call(principal, code, reset=answer == "reset")
        if outcome.status is not CommandStatus.DONE:
            raise ConflictError(f"{outcome.status.value}: {outcome.detail}")
        return RedirectResponse(f"/poles/{code}", status_code=303)

    return router


def _lines(rules: str) -> str:
    """Take a text area's lines; empty ones are left out."""
    return "\n".join(line.strip() for line in rules.splitlines() if line.strip())
