"""A made-up city and ways to look at it: without a network, and with a browser on a real port.

Not the pages' content; the tests check that.
"""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright
from web_city import FakeFleet
from web_visits import Site, Visit, open_site, sign_in

from poleward_fleet.adapters.web.app import create_app

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def city() -> FakeFleet:
    """A city of 24 poles; each status is there."""
    return FakeFleet(24)


@pytest.fixture
async def visitor(city: FakeFleet) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who has not signed in."""
    transport = httpx.ASGITransport(app=create_app(city.services()))
    async with httpx.AsyncClient(transport=transport, base_url="http://fleet.test") as client:
        yield client


@pytest.fixture
async def operator(visitor: httpx.AsyncClient) -> httpx.AsyncClient:
    """Somebody who may do everything."""
    assert (await sign_in(visitor)).status_code == 303
    return visitor


@pytest_asyncio.fixture(loop_scope="module")
async def site(city: FakeFleet) -> AsyncIterator[Site]:
    """The city on a free port of this machine, with quick heartbeats."""
    served = Site(city)
    served.start()
    yield served
    await served.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Chromium without a window."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS
        )
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visit(site: Site, browser: Browser) -> AsyncIterator[Visit]:
    """A browser that shows the map."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, locale="en")
    seen = await open_site(context, site)
    yield seen
    assert seen.complaints == []
    await context.close()
