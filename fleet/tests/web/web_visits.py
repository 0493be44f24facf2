"""How tests visit the pages: as an HTTP client and with a browser.

Not what they look at there.
"""

import asyncio
import socket
from dataclasses import dataclass

import httpx
import uvicorn
from fastapi import FastAPI
from playwright.async_api import BrowserContext, Page, expect
from web_city import FakeFleet

from poleward_fleet.adapters.web.app import close_streams, create_app
from poleward_fleet.adapters.web.live_streams import LiveStreams

DEADLINE_MS = 60_000
expect.set_options(timeout=DEADLINE_MS)


async def sign_in(
    client: httpx.AsyncClient, name: str = "operator", password: str = "lamplight"
) -> httpx.Response:
    """Sign in as a person would: open the form, fill it in, send it."""
    page = await client.get("/login")
    token = page.text.split('name="login_token" value="')[1].split('"')[0]
    form = {"name": name, "password": password, "login_token": token, "next": "/"}
    return await client.post("/login", data=form)


def form_token(page: httpx.Response) -> str:
    """Return the token that forms of a page carry."""
    return page.text.split('<meta name="csrf" content="')[1].split('"')[0]


@dataclass
class Site:
    """A city that is served on a port of its own."""

    city: FakeFleet
    port: int = 0
    app: FastAPI | None = None
    server: uvicorn.Server | None = None
    serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Address of the map."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, on the port of last time if there was one; requests wait until it is ready."""
        self.app = create_app(self.city.services(), streams=LiveStreams(heartbeat_s=0.5))
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(self.app, log_level="warning", ws="none")
        self.server = uvicorn.Server(config)
        self.serving = asyncio.create_task(self.server.serve(sockets=[listener]))

    async def stop(self) -> None:
        """Stop serving; what was asked is still answered."""
        assert self.app is not None
        assert self.server is not None
        assert self.serving is not None
        close_streams(self.app)
        self.server.should_exit = True
        await self.serving


@dataclass
class Visit:
    """A signed-in browser tab that remembers what went wrong in it."""

    page: Page
    complaints: list[str]


async def open_site(context: BrowserContext, site: Site) -> Visit:
    """Sign in with a browser."""
    page = await context.new_page()
    page.set_default_timeout(DEADLINE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    await page.goto(f"{site.url}/login")
    await page.fill("[name=name]", "operator")
    await page.fill("[name=password]", "lamplight")
    await page.click("form button.primary")
    await page.wait_for_selector("#map[data-state=ready]")
    return Visit(page, complaints)
