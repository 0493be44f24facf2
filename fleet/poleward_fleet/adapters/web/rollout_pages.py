"""Rollouts: the list, one with its progress, the wizard, starting and stopping.

Not their nodes (rollout_node_pages.py) nor their decisions; domain/rollout.py makes those.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.people_forms import gone_on
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.adapters.web.rollout_form import WAVE_ROWS, WINDOW_ROWS, read_rollout_form
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.releases import Release
from poleward_fleet.domain.rollout import OVER, NodeStage
from poleward_fleet.domain.rollout_policy import OnFailure, Policy
from poleward_fleet.domain.rollout_views import Rollout, WaitsFor

# Of a large rollout the page lists the nodes that tell most and counts the rest.
NODES_SHOWN = 25
# The bar reads from what is finished to what is still to come.
BAR_ORDER = (
    NodeStage.CONFIRMED,
    NodeStage.TRIAL,
    NodeStage.DOWNLOADED,
    NodeStage.DOWNLOADING,
    NodeStage.OFFERED,
    NodeStage.QUEUED,
    NodeStage.CANCELLED,
    NodeStage.SUPERSEDED,
    NodeStage.TIMED_OUT,
    NodeStage.RETURNED,
    NodeStage.REJECTED,
    NodeStage.FAILED,
)


@dataclass(frozen=True, slots=True)
class BarPart:
    """One stage's share of a progress bar, in thousandths of its width."""

    stage: str
    count: int
    start: float
    width: float


def progress_bar(counts: Mapping[NodeStage, int]) -> tuple[BarPart, ...]:
    """Lay out counts as one bar of width 1000."""
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


def most_wanted(releases: Sequence[Release]) -> str:
    """Return the digest of the release that is chosen when nobody did: the nodes' newest."""
    order = sorted(releases, key=lambda one: (one.is_for_gateways, -one.sequence, one.downgrade))
    return order[0].digest.hex() if order else ""


def rollout_router(pages: Pages, guard: Guard) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    services = pages.services

    @router.get("/rollouts")
    async def show_rollouts(
        request: Request, principal: Annotated[Principal, Depends(guard)], search: str = ""
    ) -> Response:
        every = await services.rollouts.rollouts(principal)
        rollouts = [rollout for rollout in every if rollout.is_found_by(search)]
        areas = {area.code: area for area in await services.inventory.areas(principal)}
        return pages.render(
            request, "rollouts.html",
            rows=[(rollout, progress_bar(rollout.counts)) for rollout in rollouts],
            areas=areas, may_roll_out=principal.may(Permission.ROLL_OUT),
            search=search, has_some=bool(every),
            moving=any(rollout.state not in OVER for rollout in rollouts),
        )  # fmt: skip

    @router.get("/rollouts/new")
    async def show_form(
        request: Request, principal: Annotated[Principal, Depends(guard)], release: str = ""
    ) -> Response:  # fmt: skip
        principal.require(Permission.ROLL_OUT)
        releases = await services.releases.releases(principal)
        return pages.render(
            request, "rollout_new.html", releases=releases,
            trust=await services.trust.trust(principal),
            areas=await services.inventory.areas(principal),
            chosen=release or most_wanted(releases),
            wave_rows=range(WAVE_ROWS), window_rows=range(WINDOW_ROWS),
            policy=Policy(), on_failure=list(OnFailure),
        )  # fmt: skip

    @router.post("/rollouts/try")
    async def try_out(
        request: Request, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:
        asked = read_rollout_form(await request.form())
        would = await services.rollouts.dry_run(
            principal, asked.release_digest, asked.target, asked.policy, name=asked.name
        )
        releases = await services.releases.releases(principal)
        return pages.render(
            request, "rollout_try.html", would=would, total=sum(would.wave_nodes), asked=asked,
            is_for_gateways=any(
                r.is_for_gateways for r in releases if r.digest == asked.release_digest
            ),
        )  # fmt: skip

    @router.post("/rollouts/new")
    async def create(request: Request, principal: Annotated[Principal, Depends(guard)]) -> Response:
        asked = read_rollout_form(await request.form())
        rollout = await services.rollouts.create(
            principal,
            asked.release_digest,
            asked.target,
            asked.policy,
            name=asked.name,
            may_supersede=asked.may_supersede,
        )
        return gone_on(request, f"/rollouts/{rollout.number}")

    async def rollout_response(
        request: Request, principal: Principal, number: int, template: str
    ) -> Response:
        rollout = await services.rollouts.rollout(principal, number)
        nodes = await services.rollouts.nodes(principal, number, many=NODES_SHOWN)
        areas = {area.code: area for area in await services.inventory.areas(principal)}
        total = sum(rollout.counts.values())
        releases = {r.digest: r for r in await services.releases.releases(principal)}
        reasons = await services.rollouts.reasons(principal, number)
        return pages.render(
            request, template,
            rollout=rollout, counts=rollout.counts, total=total,
            bar=progress_bar(rollout.counts),
            wave_bars=[progress_bar(wave.counts) for wave in rollout.waves],
            waits_for=rollout.waits_for(pages.now_ms()), WaitsFor=WaitsFor,
            nodes=nodes, unlisted=max(0, total - len(nodes)), areas=areas,
            reasons=reasons, some_frozen=any(found.reason.says("frozen") for found in reasons),
            release=releases.get(rollout.release_digest),
            returns_to=releases.get(rollout.policy.return_digest),
            may_roll_out=principal.may(Permission.ROLL_OUT), moving=rollout.state not in OVER,
        )  # fmt: skip

    @router.get("/rollouts/{number}")
    async def show_rollout(
        request: Request, number: int, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        part = request.headers.get("hx-request") == "true"
        template = "rollout_progress.html" if part else "rollout.html"
        return await rollout_response(request, principal, number, template)

    actions: dict[str, Callable[[Principal, int], Awaitable[Rollout]]] = {
        "approve": services.rollouts.approve,
        "pause": services.rollouts.pause,
        "resume": services.rollouts.resume,
        "abort": services.rollouts.abort,
    }

    @router.post("/rollouts/{number}/{action}")
    async def act(
        request: Request, number: int, action: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        if action not in actions:
            raise InvalidError("a rollout can be approved, paused, resumed or aborted")
        await actions[action](principal, number)
        if request.headers.get("hx-request") == "true":
            return await rollout_response(request, principal, number, "rollout_progress.html")
        return gone_on(request, f"/rollouts/{number}")

    return router
