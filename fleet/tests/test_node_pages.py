"""Life-cycle steps as buttons, on the fleet's own services, as browsers ask for them."""

from typing import Literal

import httpx
import pytest
from playwright.async_api import Request, Route, async_playwright, expect
from test_people_pages import SECRET, Browser, chief, mei, signed_in, site

from fleet_rig import ADMIN, DISTRICT, make_gateway, make_poles, manufactured
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.inventory import LifeState
from poleward_fleet.domain.life_cycle import ALONE_AT_MOST

__all__ = ["chief", "mei", "site"]  # fixtures


@pytest.fixture
async def number(fleet: Fleet) -> int:
    """A node in pole P-1 behind gw-1."""
    await make_gateway(fleet, "gw-1")
    await make_gateway(fleet, "gw-2")
    (made,) = await make_poles(fleet, 1)
    return made


async def test_page_offers_what_is_possible_in_both_languages(chief: Browser, number: int) -> None:
    page = await chief.get(f"/nodes/{number}")
    assert page.status_code == 200
    for step in ("move", "swap", "rotate", "quarantine", "lose", "decommission"):
        assert f'action="/nodes/{number}/{step}"' in page.text
    assert f'action="/nodes/{number}/release"' not in page.text
    assert "<option>gw-2</option>" in page.text
    assert "<option>gw-1</option>" not in page.text
    assert "隔离" in (await chief.get(f"/nodes/{number}", "zh-CN")).text
    assert f'href="/nodes/{number}"' in (await chief.get("/poles/P-1")).text


async def test_steps_are_taken_with_their_reason(chief: Browser, number: int, fleet: Fleet) -> None:
    path = f"/nodes/{number}"
    assert (await chief.post(f"{path}/move", gateway="gw-2")).status_code == 303
    assert (await chief.post(f"{path}/rotate")).status_code == 303
    assert (await chief.post(f"{path}/quarantine", reason="two seen")).status_code == 303
    page = (await chief.get(path)).text
    assert "two seen" in page
    assert f'action="{path}/release"' in page
    assert f'action="{path}/move"' not in page
    refused = await chief.post(f"{path}/rotate", "zh-CN")
    assert refused.status_code == 409
    assert "当前为“已隔离”，不能更换密钥；仅以下状态可以：已认领、已调试、运行中" in refused.text
    assert (await chief.post(f"{path}/release")).status_code == 303
    node = await fleet.lives.node(ADMIN, str(number))
    assert (node.life_state, node.gateway_name) == (LifeState.COMMISSIONED, "gw-2")
    assert (await chief.post(f"{path}/claim")).status_code == 400
    assert "节点 4711 不存在" in (await chief.get("/nodes/4711", "zh-CN")).text


async def test_a_swap_needs_the_label_and_leads_to_the_new_node(
    chief: Browser, number: int, fleet: Fleet
) -> None:
    new = manufactured(9)
    await fleet.provisioning.import_nodes(ADMIN, [new])
    typed = "-".join(new.mac[i : i + 2].upper() for i in range(0, 12, 2))
    path = f"/nodes/{number}/swap"
    assert (await chief.post(path, mac=typed, claim_code="guess")).status_code == 403
    done = await chief.post(path, mac=typed, claim_code="claim-9")
    assert done.status_code == 303
    node = await fleet.lives.node(ADMIN, done.headers["location"].rpartition("/")[2])
    assert (node.mac, node.pole_code, node.gateway_name) == (new.mac, "P-1", "gw-1")


async def test_nobody_decommissions_many_alone(chief: Browser, fleet: Fleet, number: int) -> None:
    numbers = await make_poles(fleet, ALONE_AT_MOST + 1, first=2)
    answers = [await chief.post(f"/nodes/{one}/decommission") for one in numbers]
    assert [answer.status_code for answer in answers] == [303] * ALONE_AT_MOST + [409]
    assert "decommission" in (await chief.get("/approvals")).text


async def test_whoever_may_only_look_gets_no_buttons(
    mei: Browser, site: httpx.ASGITransport, fleet: Fleet, number: int
) -> None:
    assert (
        "<form"
        not in (await mei.get(f"/nodes/{number}")).text.split('id="notice"')[1].split("</main>")[0]
    )
    assert (await mei.post(f"/nodes/{number}/rotate")).status_code == 403
    assert f'href="/nodes/{number}"' not in (await mei.get("/poles/P-1")).text
    await fleet.administration.put(
        ADMIN, "field", roles=["technician"], area_code=DISTRICT, password=SECRET
    )
    field = await signed_in(site, fleet, "field")
    page = (await field.get(f"/nodes/{number}")).text
    await field.client.aclose()
    assert f'action="/nodes/{number}/move"' in page
    assert f'action="/nodes/{number}/quarantine"' not in page


async def test_a_phone_asks_before_a_step_is_taken(chief: Browser, number: int) -> None:
    async def answer(route: Route, asked: Request) -> None:
        found = await chief.client.request(
            asked.method, asked.url, content=asked.post_data_buffer, headers=asked.headers
        )
        await route.fulfill(
            status=found.status_code, headers=dict(found.headers), body=found.content
        )

    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
        for scheme in schemes:
            page = await chromium.new_page(
                viewport={"width": 320, "height": 640}, color_scheme=scheme, locale="en"
            )
            page.set_default_timeout(60_000)
            await page.route("**/*", answer)
            await page.goto(f"http://fleet.test/nodes/{number}")
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= 320, "nothing is cut off"
            step, after = ("quarantine", "quarantined"), ("release", "commissioned")
            word, state = step if scheme == "light" else after
            await page.click(f"#{word} button")
            assert await page.locator("#life").text_content() != state, "not before it is confirmed"
            await page.click("#ask-yes")
            await expect(page.locator("#life")).to_have_text(state, timeout=60_000)
            await page.close()
        await chromium.close()
