"""Signing in at an identity provider: the way there and the way back.

Not the form for passwords (login_pages.py).
"""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from poleward_fleet.adapters.web.login_pages import local_path, signed_in
from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.domain.errors import NotFoundError, UnauthenticatedError
from poleward_fleet.services.single_sign_on import PENDING_MS, SingleSignOn

STATE_COOKIE = "poleward_sign_on"
_PATH = "/login/single-sign-on"


def sign_on_router(pages: Pages) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()

    def configured() -> SingleSignOn:
        if pages.services.single_sign_on is None:
            raise NotFoundError("no identity provider is configured")
        return pages.services.single_sign_on

    @router.get(_PATH)
    async def start(request: Request, next: str = "/") -> Response:  # noqa: A002
        url, state = await configured().start(local_path(next))
        answer = RedirectResponse(url, status_code=303)
        # Lax: the way back begins on the provider's site.
        answer.set_cookie(
            STATE_COOKIE, state, httponly=True, samesite="lax", path=_PATH,
            max_age=PENDING_MS // 1000, secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer

    @router.get(f"{_PATH}/callback")
    async def finish(
        request: Request, state: str = "", code: str = "", error: str = ""
    ) -> Response:
        sign_on = configured()
        if error or not code:
            # RFC 6749, 4.1.2.1: the person or the provider said no.
            raise UnauthenticatedError(f"{sign_on.provider_name}: {error[:80] or 'no code came'}")
        session, target = await sign_on.finish(
            state=state,
            browser_state=request.cookies.get(STATE_COOKIE, ""),
            code=code,
            remote=request.client.host if request.client else "",
            agent=request.headers.get("user-agent", ""),
        )
        answer = signed_in(request, session, target, pages.now_ms())
        answer.delete_cookie(STATE_COOKIE, path=_PATH)
        return answer

    return router
