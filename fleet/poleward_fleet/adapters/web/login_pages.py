"""Signing in and out, and the choice of language.

Not the checking of passwords and the limit on attempts; the sessions service does both.
"""

import hmac
import secrets
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from poleward_fleet.adapters.web.pages import LANGUAGE_COOKIE, SESSION_COOKIE, Pages
from poleward_fleet.adapters.web.request_guard import Guard, require_same_origin
from poleward_fleet.adapters.web.texts import Language
from poleward_fleet.domain.accounts import Principal, Session
from poleward_fleet.domain.errors import TooManyAttemptsError, UnauthenticatedError

LOGIN_COOKIE = "poleward_login"
YEAR_S = 365 * 24 * 3600


def local_path(target: str) -> str:
    """Return a path of this server to go on to; anything else becomes the map."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not target.startswith("/") or target[1:2] in ("/", "\\"):
        return "/"
    return target


def signed_in(request: Request, session: Session, target: str, now_ms: int) -> Response:
    """Lead on to a page with the session in a cookie that no script can read."""
    answer = RedirectResponse(target, status_code=303)
    answer.set_cookie(
        SESSION_COOKIE, session.token, httponly=True, samesite="lax",
        max_age=max(0, (session.expires_at_ms - now_ms) // 1000),
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return answer


def login_router(pages: Pages, guard: Guard) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()

    def form(
        request: Request,
        *,
        status_code: int,
        target: str,
        name: str = "",
        error: str = "",
        **texts: object,
    ) -> Response:  # fmt: skip
        token = request.cookies.get(LOGIN_COOKIE) or secrets.token_urlsafe(24)
        response = pages.render(
            request, "login.html", status_code=status_code, target=target, name=name,
            error=error, error_values=texts, login_token=token,
            sign_on=pages.services.single_sign_on,
        )  # fmt: skip
        response.set_cookie(
            LOGIN_COOKIE, token, httponly=True, samesite="strict", path="/login",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return response

    @router.get("/login")
    async def show_login(
        request: Request,
        next: str = "/",  # noqa: A002
        ended: bool = False,
        changed: bool = False,
    ) -> Response:
        error = "login.changed" if changed else "login.ended" if ended else ""
        return form(request, status_code=200, target=local_path(next), error=error)

    @router.post("/login")
    async def login(
        request: Request,
        name: str = Form(""),
        password: str = Form(""),
        login_token: str = Form(""),
        next: str = Form("/"),  # noqa: A002
    ) -> Response:
        require_same_origin(request)
        target = local_path(next)
        known = request.cookies.get(LOGIN_COOKIE, "")
        if not known or not hmac.compare_digest(known.encode(), login_token.encode()):
            return form(
                request, status_code=400, target=target, name=name, error="login.form_expired"
            )
        remote = request.client.host if request.client else ""
        try:
            session = await pages.services.sessions.login(
                name, password, remote=remote, agent=request.headers.get("user-agent", "")
            )
        except UnauthenticatedError:
            return form(request, status_code=401, target=target, name=name, error="login.wrong")
        except TooManyAttemptsError as error:
            response = form(
                request, status_code=429, target=target, name=name,
                error="login.too_many", seconds=error.retry_after_s,
            )  # fmt: skip
            response.headers["retry-after"] = str(error.retry_after_s)
            return response
        answer = signed_in(request, session, target, pages.now_ms())
        answer.delete_cookie(LOGIN_COOKIE, path="/login")
        return answer

    @router.post("/logout")
    async def logout(request: Request, principal: Annotated[Principal, Depends(guard)]) -> Response:
        await pages.services.sessions.logout(principal, request.state.session_token)
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(SESSION_COOKIE)
        return answer

    @router.get("/language/{tag}")
    async def choose_language(tag: str, next: str = "/") -> Response:  # noqa: A002
        answer = RedirectResponse(local_path(next), status_code=303)
        if tag in {language.value for language in Language}:
            answer.set_cookie(LANGUAGE_COOKIE, tag, max_age=YEAR_S, samesite="lax")
        return answer

    return router
