"""Whether the program lives and whether it can do its work, for supervisors and load balancers.

Nothing here needs a session, and nothing tells more than yes or no.
"""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from poleward_fleet.services.web_services import Readiness


def health_router(readiness: Readiness) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()

    @router.get("/health/live")
    async def live() -> Response:
        return PlainTextResponse("alive\n")

    @router.get("/health/ready")
    async def ready() -> Response:
        if await readiness.is_ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("the database does not answer\n", status_code=503)

    return router
