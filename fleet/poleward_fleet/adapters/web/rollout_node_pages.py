"""The nodes of a rollout, page by page, and its report as a file.

Not the rollout's own page (rollout_pages.py).
"""

import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from poleward_fleet.adapters.web.pages import Pages, language_of
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.adapters.web.texts import say
from poleward_fleet.domain.accounts import Principal
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.rollout import TELLING_ORDER, NodeStage
from poleward_fleet.domain.rollout_views import RolloutNode

NODES_A_PAGE = 100
NODES_A_PIECE = 1000
COLUMNS = ("node", "pole", "gateway", "wave", "stage", "since", "attempts", "reason")


def stages_of(stage: Annotated[str, Query()] = "") -> tuple[NodeStage, ...]:
    """Read the stage that a list is limited to; all of them without one."""
    try:
        return (NodeStage(stage),) if stage else TELLING_ORDER
    except ValueError as error:
        raise InvalidError(f"{stage[:40]!r} is no stage of a node in a rollout") from error


@dataclass(frozen=True, slots=True)
class NodePlaces:
    """Which nodes of a list a page shows, counted from 0, and the addresses of its neighbours."""

    first: int
    total: int
    newer: str
    older: str


def places(address: str, stages: tuple[NodeStage, ...], total: int, page: int) -> NodePlaces:
    """Lay out a page of nodes; one behind the end becomes the last."""
    last = max(0, (total - 1) // NODES_A_PAGE)
    page = min(max(0, page), last)
    stage = stages[0].value if len(stages) == 1 else ""

    def at(number: int) -> str:
        return f"{address}?{urlencode({'stage': stage, 'page': number})}"

    newer = at(page - 1) if page else ""
    older = at(page + 1) if page < last else ""
    return NodePlaces(page * NODES_A_PAGE, total, newer, older)


def rollout_node_router(pages: Pages, guard: Guard) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    rollouts = pages.services.rollouts

    @router.get("/rollouts/{number}/nodes")
    async def show_nodes(
        request: Request,
        number: int,
        principal: Annotated[Principal, Depends(guard)],
        stages: Annotated[tuple[NodeStage, ...], Depends(stages_of)],
        page: Annotated[int, Query(ge=0, le=10**6)] = 0,
    ) -> Response:
        rollout = await rollouts.rollout(principal, number)
        total = sum(rollout.counts.get(stage, 0) for stage in stages)
        shown = places(f"/rollouts/{number}/nodes", stages, total, page)
        nodes = await rollouts.nodes(
            principal, number, stages=stages, skip=shown.first, many=NODES_A_PAGE
        )
        return pages.render(
            request, "rollout_nodes.html",
            rollout=rollout, nodes=nodes, shown=shown, counts=rollout.counts,
            stage=stages[0] if len(stages) == 1 else None,
        )  # fmt: skip

    async def pieces(principal: Principal, number: int) -> AsyncIterator[list[RolloutNode]]:
        skip = 0
        while found := await rollouts.nodes(principal, number, skip=skip, many=NODES_A_PIECE):
            yield found
            skip += len(found)

    @router.get("/rollouts/{number}/report.csv")
    async def csv_report(
        request: Request, number: int, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        await rollouts.rollout(principal, number)

        async def text() -> AsyncIterator[str]:
            yield ",".join(COLUMNS) + "\n"
            async for nodes in pieces(principal, number):
                part = io.StringIO()
                writer = csv.DictWriter(part, COLUMNS, lineterminator="\n")
                writer.writerows(_row(request, node) for node in nodes)
                yield part.getvalue()

        return _file(text(), "text/csv; charset=utf-8", f"rollout-{number}.csv")

    @router.get("/rollouts/{number}/report.json")
    async def json_report(
        request: Request, number: int, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        rollout = await rollouts.rollout(principal, number)
        about = {
            "rollout": number,
            "name": rollout.name,
            "release": rollout.release_version,
            "digest": rollout.release_digest.hex(),
            "state": rollout.state.value,
            "reason": say(language_of(request), rollout.reason),
            "created_by": rollout.created_by,
            "approved_by": rollout.approved_by,
            "created": _moment(rollout.created_at_ms),
            "counts": {stage.value: count for stage, count in rollout.counts.items()},
        }

        async def text() -> AsyncIterator[str]:
            yield json.dumps(about, ensure_ascii=False)[:-1] + ', "nodes": ['
            comma = ""
            async for nodes in pieces(principal, number):
                told = (json.dumps(_facts(request, node), ensure_ascii=False) for node in nodes)
                yield comma + ",\n".join(told)
                comma = ",\n"
            yield "]}\n"

        return _file(text(), "application/json", f"rollout-{number}.json")

    return router


def _file(text: AsyncIterator[str], media_type: str, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(text, media_type=media_type, headers=headers)


def _facts(request: Request, node: RolloutNode) -> dict[str, Any]:
    """Return what a report says about a node, under COLUMNS."""
    return {
        "node": node.node_number,
        "pole": node.pole_code,
        "gateway": node.gateway_name,
        "wave": node.wave + 1,
        "stage": node.stage.value,
        "since": _moment(node.since_ms),
        "attempts": node.attempts,
        "reason": say(language_of(request), node.reason),
    }


def _row(request: Request, node: RolloutNode) -> dict[str, Any]:
    """Return the facts for a spreadsheet, which must not take a node's words for a formula."""
    facts = _facts(request, node)
    if facts["reason"].startswith(("=", "+", "-", "@")):
        facts["reason"] = "'" + facts["reason"]
    return facts


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat("T", "seconds")
