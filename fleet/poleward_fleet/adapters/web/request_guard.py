"""What stands before every request: security headers, same-origin and form checks, who it is.

Not the rights of a person; the services keep those.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from poleward_fleet.adapters.web.pages import SESSION_COOKIE, Pages, csrf_token
from poleward_fleet.domain.accounts import Principal
from poleward_fleet.domain.errors import FleetError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# Largest body of a request.
BODY_BYTES = 64 * 1024
# Where whole tables come in.
TABLE_PATH, TABLE_BYTES = "/tables", 32 * 1024 * 1024
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class LoginRequiredError(FleetError):
    """Nobody is signed in, or the session has ended."""


class FormRefusedError(FleetError):
    """A change did not come from a page of ours."""


class SecurityHeaders:
    """ASGI middleware that adds security headers to every answer and refuses large requests.

    Args:
        application: What it stands before.
        tile_url: Address template of map tiles; its host may be the source of images.

    A page may ask other origins that its handler puts into the request's state `connect_sources`.
    """

    def __init__(self, application: Application, tile_url: str) -> None:
        self._application = application
        tiles = urlsplit(tile_url)
        # Leaflet's {s} stands for one of several hosts.
        host = tiles.netloc.replace("{s}", "*")
        images = f" {tiles.scheme}://{host}" if host else ""
        self._policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; "
            f"img-src 'self' data:{images}; font-src 'self'; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'; worker-src 'self'; manifest-src 'self'"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the headers to its answer."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                asked = " ".join(("'self'", *scope.get("state", {}).get("connect_sources", ())))
                headers["content-security-policy"] = f"{self._policy}; connect-src {asked}"
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
                headers["cross-origin-opener-policy"] = "same-origin"
                headers.setdefault("cache-control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        # Forms and commands are small but for tables, and none of our pages sends a body of
        # unknown length.
        most = TABLE_BYTES if scope["path"] == TABLE_PATH else BODY_BYTES
        if "transfer-encoding" in headers or not length.isdigit() or int(length) > most:
            refusal = PlainTextResponse("the request's body is too large", status_code=413)
            await refusal(scope, receive, send_with_headers)
            return
        await self._application(scope, receive, send_with_headers)


def require_same_origin(request: Request) -> None:
    """Insist that a change comes from a page of this server.

    Raises:
        FormRefusedError: It came from another site; open our own page instead.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        raise FormRefusedError("this request came from another site")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise FormRefusedError("this request came from another site")


class Guard:
    """Dependency that finds out who asks.

    Args:
        pages: Whose services know the sessions.
    """

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def __call__(self, request: Request) -> Principal:
        """Return who asks, and check that a change comes from a form of theirs.

        Raises:
            LoginRequiredError: Nobody is signed in.
            FormRefusedError: A change without the form's token.
        """
        token = request.cookies.get(SESSION_COOKIE, "")
        principal = await self._pages.services.sessions.principal_of(token) if token else None
        if principal is None:
            raise LoginRequiredError("sign in first")
        request.state.principal = principal
        request.state.session_token = token
        if request.method not in ("GET", "HEAD"):
            require_same_origin(request)
            given = request.headers.get("x-csrf-token")
            if given is None:
                given = str((await request.form()).get("csrf", ""))
            if not hmac.compare_digest(given.encode(), csrf_token(token).encode()):
                raise FormRefusedError("the form's token does not belong to this session")
        return principal
