"""The benchmark `map`: the first screen of the web map and moving it, in Chromium without a window.

The whole way: poles with values in the database, the fleet's own pages, a signed-in browser.
"""

import asyncio
import json
from typing import Any

from playwright.async_api import Page, async_playwright
from sqlalchemy import text

from poleward_tools.bench.bench_fleet import BenchFleet, bench_fleet, percentile

POLES = 100_000
_PER_GATEWAY = 500
_CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_DEADLINE_MS = 120_000
_DRAGS = 12
_DRAG_STEPS = 10
_LATEST = text(
    "WITH y AS (INSERT INTO layout (series) VALUES "
    "(ARRAY['lamp.level_percent/0', 'supply.active_power_w/0']) RETURNING id) "
    'INSERT INTO latest (node_number, layout_id, measured_at_ms, "values") '
    "SELECT n.number, y.id, CAST(extract(epoch FROM now()) * 1000 AS bigint), "
    "CASE WHEN n.number % 20 = 0 THEN ARRAY[0.0, 0.4] ELSE ARRAY[80.0, 77.6] END FROM node n, y"
)
# Time since the navigation began, when the page says that its poles are drawn.
_NOTE_READY = """
new MutationObserver((_, observer) => {
  if (document.querySelector("#map[data-state=ready]")) {
    window.benchReadyMs = performance.now();
    observer.disconnect();
  }
}).observe(document, {subtree: true, childList: true, attributeFilter: ["data-state"]});
"""


def run(*, poles: int = POLES) -> dict[str, Any]:
    """Open the map of a city and drag and zoom it; return the figures.

    - `poles`: on the map.
    - `first_paint_ms`: from asking for the page until its poles are drawn.
    - `frame_ms_p95`: drawing a frame while the map is dragged and zoomed.
    """
    return asyncio.run(_measure(poles))


async def _measure(poles: int) -> dict[str, Any]:
    async with bench_fleet() as bench, async_playwright() as playwright:
        per_gateway = min(poles, _PER_GATEWAY)
        names = [f"gw-{i + 1}" for i in range(poles // per_gateway)]
        await bench.add_gateways(names)
        await bench.add_nodes(names, per_gateway)
        async with bench.engine.begin() as connection:
            await connection.execute(_LATEST)
        browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_ARGUMENTS))
        try:
            page = await browser.new_page(viewport={"width": 1280, "height": 800}, locale="en")
            page.set_default_timeout(_DEADLINE_MS)
            return await _visit(page, bench)
        finally:
            await browser.close()


async def _visit(page: Page, bench: BenchFleet) -> dict[str, Any]:
    administrator = json.loads((bench.folder / "fleet" / "admin.json").read_text())
    await page.goto(f"{bench.addresses.web}/login")
    await page.fill("[name=name]", administrator["user"])
    await page.fill("[name=password]", administrator["password"])
    await page.click("form button.primary")
    await page.wait_for_selector("#map[data-state=ready]")
    await page.add_init_script(_NOTE_READY)
    await page.goto(bench.addresses.web)
    await page.wait_for_function("() => window.benchReadyMs")
    layer = "document.getElementById('map').poleLayer"
    shown = int(await page.evaluate(f"{layer}.columns.count"))
    frames_ms = await _move(page, layer)
    return {
        "poles": shown,
        "first_paint_ms": round(float(await page.evaluate("window.benchReadyMs"))),
        "frame_ms_p95": round(percentile(frames_ms, 0.95), 1),
    }


async def _move(page: Page, layer: str) -> list[float]:
    """Drag the map to and fro, half of the time closer; return the times of its frames."""
    await page.evaluate(f"{layer}.frameMs.length = 0")
    frames_ms: list[float] = []
    for drag in range(_DRAGS):
        if drag == _DRAGS // 2:
            await page.mouse.wheel(0, -400)
        way = 1 if drag % 2 else -1
        await page.mouse.move(640, 400)
        await page.mouse.down()
        for step in range(1, _DRAG_STEPS + 1):
            await page.mouse.move(640 + way * step * 12, 400 + way * step * 6)
        await page.mouse.up()
        frames_ms += await page.evaluate(f"{layer}.frameMs.splice(0)")
    return frames_ms
