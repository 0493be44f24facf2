"""Releases and rollouts: lists, one rollout with its progress, starting and stopping.

Not the decisions of a rollout; domain/rollout.py makes them.
"""

from dataclasses import dataclass

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.rollout import UNDER_WAY, UNSUCCESSFUL, NodeStage, Rollout, RolloutState

# Of a large rollout the page lists the nodes that tell most and counts the rest.
NODES_SHOWN = 200
UNDECIDED = frozenset({RolloutState.RUNNING, RolloutState.PAUSED})
# The bar reads from what is finished to what is still to come.
BAR_ORDER = (
    NodeStage.CONFIRMED,
    NodeStage.TRIAL,
    NodeStage.DOWNLOADED,
    NodeStage.DOWNLOADING,
    NodeStage.OFFERED,
    NodeStage.QUEUED,
    NodeStage.CANCELLED,
    NodeStage.TIMED_OUT,
    NodeStage.RETURNED,
    NodeStage.REJECTED,
    NodeStage.FAILED,
)
_LIST_ORDER = {
    stage: position
    for position, stage in enumerate(
        (*sorted(UNSUCCESSFUL, key=lambda s: s.value), *sorted(UNDER_WAY, key=lambda s: s.value))
    )
}


@dataclass(frozen=True, slots=True)
class BarPart:
    """One stage's share of a progress bar, in thousandths of its width."""

    stage: str
    count: int
    start: float
    width: float


def progress_bar(rollout: Rollout) -> tuple[BarPart, ...]:
    """Lay out a rollout's counts as one bar of width 1000."""
    counts = dict(rollout.counts)
    total = sum(counts.values())
    parts: list[BarPart] = []
    start = 0.0
    for stage in BAR_ORDER:
        count = counts.get(stage, 0)
        if count:
            width = 1000 * count / total
            parts.append(BarPart(stage.value, count, round(start, 2), round(width, 2)))
            start += width
    return tuple(parts)


def rollout_router(pages: Pages, guard: Guard) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    services = pages.services

    @router.get("/releases")
    async def show_releases(request: Request, principal: Principal = Depends(guard)) -> Response:  # noqa: B008
        releases = await services.releases.releases(principal)
        may_roll_out = principal.may(Permission.ROLL_OUT)
        return pages.render(request, "releases.html", releases=releases, may_roll_out=may_roll_out)

    @router.get("/rollouts")
    async def show_rollouts(request: Request, principal: Principal = Depends(guard)) -> Response:  # noqa: B008
        rollouts = await services.rollouts.rollouts(principal)
        areas = {area.code: area for area in await services.inventory.areas(principal)}
        return pages.render(
            request, "rollouts.html",
            rows=[(rollout, progress_bar(rollout), dict(rollout.counts)) for rollout in rollouts],
            areas=areas, may_roll_out=principal.may(Permission.ROLL_OUT),
            moving=any(rollout.state in UNDECIDED for rollout in rollouts),
        )  # fmt: skip

    @router.get("/rollouts/new")
    async def show_form(
        request: Request, release: str = "", principal: Principal = Depends(guard)  # noqa: B008
    ) -> Response:  # fmt: skip
        principal.require(Permission.ROLL_OUT)
        return pages.render(
            request, "rollout_new.html",
            releases=await services.releases.releases(principal),
            areas=await services.inventory.areas(principal), chosen=release,
        )  # fmt: skip

    @router.post("/rollouts/new")
    async def create(
        principal: Principal = Depends(guard),  # noqa: B008
        release: str = Form(""),
        area: str = Form(""),
        concurrency: int = Form(50, ge=1, le=100_000),
        max_failures: int = Form(3, ge=1, le=100_000),
    ) -> Response:
        try:
            digest = bytes.fromhex(release)
        except ValueError as error:
            raise InvalidError("choose a release from the list") from error
        rollout = await services.rollouts.create(
            principal, digest, area_code=area, concurrency=concurrency, max_failures=max_failures
        )
        return RedirectResponse(f"/rollouts/{rollout.number}", status_code=303)

    async def rollout_response(
        request: Request, principal: Principal, number: int, template: str
    ) -> Response:
        rollout, nodes = await services.rollouts.rollout(principal, number)
        areas = {area.code: area for area in await services.inventory.areas(principal)}
        listed = sorted(
            nodes,
            key=lambda node: (_LIST_ORDER.get(node.stage, 99), -node.since_ms, node.pole_code),
        )
        counts = dict(rollout.counts)
        return pages.render(
            request, template,
            rollout=rollout, counts=counts, total=sum(counts.values()), bar=progress_bar(rollout),
            nodes=listed[:NODES_SHOWN], unlisted=max(0, len(listed) - NODES_SHOWN), areas=areas,
            may_roll_out=principal.may(Permission.ROLL_OUT), moving=rollout.state in UNDECIDED,
        )  # fmt: skip

    @router.get("/rollouts/{number}")
    async def show_rollout(
        request: Request, number: int, principal: Principal = Depends(guard)  # noqa: B008
    ) -> Response:  # fmt: skip
        part = request.headers.get("hx-request") == "true"
        template = "rollout_progress.html" if part else "rollout.html"
        return await rollout_response(request, principal, number, template)

    @router.post("/rollouts/{number}/{action}")
    async def act(
        request: Request, number: int, action: str, principal: Principal = Depends(guard)  # noqa: B008
    ) -> Response:  # fmt: skip
        if action == "pause":
            await services.rollouts.pause(principal, number)
        elif action == "resume":
            await services.rollouts.resume(principal, number)
        elif action == "abort":
            await services.rollouts.abort(principal, number)
        else:
            raise InvalidError("a rollout can be paused, resumed or aborted")
        if request.headers.get("hx-request") == "true":
            return await rollout_response(request, principal, number, "rollout_progress.html")
        return RedirectResponse(f"/rollouts/{number}", status_code=303)

    return router
