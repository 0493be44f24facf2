"""How a page is put together: templates, language, theme, who looks, cookies.

Not what a page shows; the *_pages modules decide that.
"""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from poleward_fleet.adapters.web.texts import (
    TEXTS,
    Language,
    browser_texts,
    negotiate,
    say,
    translate,
)
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.rollout import NodeStage
from poleward_fleet.services.web_services import WebServices

HERE = Path(__file__).parent
SESSION_COOKIE = "poleward_session"
LANGUAGE_COOKIE = "poleward_language"
THEME_COOKIE = "poleward_theme"
THEMES = ("light", "dark")


def unix_ms() -> int:
    """Return the wall clock in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def csrf_token(session_token: str) -> str:
    """Derive the token that forms of a session carry; it does not reveal the session's."""
    return hashlib.sha256(b"poleward form\0" + session_token.encode()).hexdigest()


def embedded_json(value: object) -> Markup:
    """Return JSON that is safe inside a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    escaped = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(escaped)  # noqa: S704 - escaped in the line above


def language_of(request: Request) -> Language:
    """Return the language in which to answer."""
    cookie = request.cookies.get(LANGUAGE_COOKIE)
    return negotiate(cookie, request.headers.get("accept-language", ""))


class Pages:
    """Renders templates for whoever looks.

    Args:
        services: What the pages show.
        now_ms: Wall clock in Unix milliseconds.
        tile_url: Address template of background tiles for the map, or empty for none.
        has_people: There are pages about people and tables to link to.
    """

    def __init__(
        self,
        services: WebServices,
        now_ms: Callable[[], int],
        tile_url: str,
        *,
        has_people: bool = False,
    ) -> None:
        self.services = services
        self.now_ms = now_ms
        self.tile_url = tile_url
        self._has_people = has_people
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["embedded_json"] = embedded_json
        self._templates.filters["bytes_size"] = _bytes_size
        self._templates.globals |= {"Permission": Permission, "Stage": NodeStage}

    def render(
        self, request: Request, template: str, *, status_code: int = 200, **values: Any
    ) -> HTMLResponse:
        """Render a template with what every page needs."""
        language = language_of(request)
        principal: Principal | None = getattr(request.state, "principal", None)
        session_token: str = getattr(request.state, "session_token", "")
        theme = request.cookies.get(THEME_COOKIE, "")

        def t(key: str, /, **texts: object) -> str:
            return translate(language, key, **texts)

        context = {
            "t": t,
            "say": lambda words: say(language, words),
            "t_or": lambda key, otherwise: t(key) if key in TEXTS else otherwise,
            "language": language.value,
            "other_language": (Language.EN if language is Language.ZH else Language.ZH).value,
            "theme": theme if theme in THEMES else "",
            "principal": principal,
            "has_people": self._has_people,
            "csrf": csrf_token(session_token) if session_token else "",
            "texts": browser_texts(language),
            "here": request.url.path,
            "here_with_query": request.url.path
            + (f"?{request.url.query}" if request.url.query else ""),
            "now_ms": self.now_ms(),
        }
        html = self._templates.get_template(template).render(context | values)
        return HTMLResponse(html, status_code=status_code)


def _bytes_size(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    if count < 1024 * 1024:
        return f"{count / 1024:.1f} KiB"
    return f"{count / 1024 / 1024:.1f} MiB"
