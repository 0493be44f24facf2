"""Releases: the list, and one with its signatures, notes and components.

Not their rollouts (rollout_pages.py) nor the keys (key_pages.py).
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.errors import NotFoundError


def release_router(pages: Pages, guard: Guard) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    services = pages.services

    @router.get("/releases")
    async def show_releases(
        request: Request, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:
        releases = await services.releases.releases(principal)
        return pages.render(
            request, "releases.html",
            releases=releases, trust=await services.trust.trust(principal),
            may_roll_out=principal.may(Permission.ROLL_OUT),
        )  # fmt: skip

    @router.get("/releases/{digest}")
    async def show_release(
        request: Request, digest: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        try:
            wanted = bytes.fromhex(digest)
        except ValueError as error:
            raise NotFoundError.of("no_release", digest=digest[:16]) from error
        detail = await services.releases.detail(principal, wanted)
        rollouts = await services.rollouts.rollouts(principal)
        return pages.render(
            request, "release.html",
            detail=detail, release=detail.release,
            rollouts=[rollout for rollout in rollouts if rollout.release_digest == wanted],
            may_roll_out=principal.may(Permission.ROLL_OUT),
        )  # fmt: skip

    return router
