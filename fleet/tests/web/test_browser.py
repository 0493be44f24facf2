"""The pages as a person meets them, in Chromium. Not what the services decide."""

import asyncio
import json
import re
from dataclasses import replace

import pytest
from playwright.async_api import Browser, expect
from web_city import FakeFleet
from web_visits import Site, Visit, open_site

from poleward_fleet.domain.alarms import AlarmKind
from poleward_fleet.domain.inventory import PoleStatus, totals
from poleward_fleet.domain.rollout import NodeStage

# One Chromium for all of them.
pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
]


async def test_map_shows_the_same_rates_as_the_fleet(visit: Visit, site: Site) -> None:
    sums = totals(list(site.city.markers_by_code.values()))
    assert sums.online_rate is not None
    shown = await visit.page.text_content("#online-rate")
    assert shown == f"{int(sums.online_rate * 1000) / 10:.1f}%"
    for status, count in sums.by_status:
        counter = visit.page.locator(f"[data-status={status.value}] .count")
        await expect(counter).to_have_text(str(count))


async def test_change_of_a_pole_shows_without_a_reload(visit: Visit, site: Site) -> None:
    fault = visit.page.locator("[data-status=fault] .count")
    before = int(await fault.text_content() or "")
    site.city.change("QD-000001", status=PoleStatus.FAULT, power_w=0.3)
    await expect(fault).to_have_text(str(before + 1))
    await expect(visit.page.locator("#listing [data-code=QD-000001]")).to_be_visible()


async def test_pole_is_found_and_dimmed_with_the_keyboard_alone(visit: Visit, site: Site) -> None:
    page = visit.page
    await page.focus("#search")
    await page.keyboard.type("000001")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.locator("#card-code")).to_have_text("QD-000001")
    await page.focus("#card-presets [data-level='30']")
    await page.keyboard.press("Enter")
    await expect(page.locator("#card-outcome")).to_contain_text("the lamp confirmed 30 % after")
    await expect(page.locator("#card-level")).to_have_text("30 %")
    assert site.city.markers_by_code["QD-000001"].level_percent == 30


async def test_click_on_a_mark_opens_its_card(visit: Visit) -> None:
    page = visit.page
    at = await page.evaluate(
        """() => {
          const frame = document.getElementById("map");
          const columns = frame.poleLayer.columns;
          const i = columns.indexOfCode.get("QD-000003");
          const place = [columns.latitude[i], columns.longitude[i]];
          const p = frame.leafletMap.latLngToContainerPoint(place);
          const box = frame.getBoundingClientRect();
          return [box.x + p.x, box.y + p.y];
        }"""
    )
    await page.mouse.click(*at)
    await expect(page.locator("#card-code")).to_have_text("QD-000003")
    await page.keyboard.press("Escape")
    await expect(page.locator("#pole-card")).to_be_hidden()


async def test_filter_hides_the_other_states(visit: Visit) -> None:
    page = visit.page
    await page.click("[data-status=silent]")
    shown = "() => document.getElementById('map').poleLayer.columns.shown.reduce((a, b) => a + b)"
    silent = int(await page.text_content("[data-status=silent] .count") or "")
    assert await page.evaluate(shown) == silent
    await page.click("[data-status=silent]")
    assert await page.evaluate(shown) == 24


async def test_lost_connection_is_told_and_mends_itself(visit: Visit, site: Site) -> None:
    page = visit.page
    lit = page.locator("[data-status=lit] .count")
    before = int(await lit.text_content() or "")
    await site.stop()
    banner = page.locator("#disconnected")
    await expect(banner).to_be_visible(timeout=60_000)
    await expect(banner).to_contain_text("What you see is from")
    site.city.change("QD-000001", status=PoleStatus.DARK)
    site.start()
    await expect(banner).to_be_hidden(timeout=60_000)
    # What changed during the gap is there too.
    await expect(lit).to_have_text(str(before - 1))
    visit.complaints.clear()  # the browser itself reports the failed requests


async def test_pole_page_follows_values_and_draws_history(visit: Visit, site: Site) -> None:
    page = visit.page
    await page.goto(f"{site.url}/poles/QD-000001")
    await expect(page.locator("#chart canvas")).to_be_visible()
    site.city.change("QD-000001", power_w=61.7, level_percent=64.0)
    await expect(page.locator("#level")).to_have_text("64")
    await expect(page.locator("[data-key='supply.active_power_w/0'] .figure")).to_have_text(
        "61.7 W"
    )
    await page.click("[data-key='supply.voltage_v/0']")
    await expect(page.locator("#history-metric")).to_have_text("Voltage (V)")


async def test_rollout_page_moves_by_itself_and_asks_before_aborting(
    visit: Visit, site: Site
) -> None:
    page, rollouts = visit.page, site.city.rollouts
    new, old, gateways = rollouts.release_list
    rollouts.release_list = [new, replace(old, downgrade="rollout:return-1"), gateways]
    await page.goto(f"{site.url}/rollouts/new")
    # Only in the rollout that the permission names do nodes go back.
    for release, name in ((old, "return-1"), (new, "")):
        await page.select_option("[name=release]", release.digest.hex())
        await expect(page.locator("[name=name]")).to_have_value(name)
    await page.select_option("[name=on_failure]", "return")
    await page.select_option("[name=return_release]", old.digest.hex())
    await expect(page.locator("[name=name]")).to_have_value("return-1")
    await page.select_option("[name=on_failure]", "cancel")
    await expect(page.locator("[name=name]")).to_have_value("")
    await page.click("#try")
    await expect(page.locator("#trial")).to_contain_text("11 min")
    await page.fill("[name=wave_size_0]", "4")
    await expect(page.locator("#start")).to_have_count(0)  # what was tried is not what is asked
    await page.click("#try")
    await page.click("#start")
    await expect(page.locator("#progress h1")).to_have_text("1.1.0")
    await page.focus("#report-csv")
    nodes = rollouts.rollout_nodes[1]
    first = replace(nodes[0], stage=NodeStage.CONFIRMED)
    rollouts.rollout_nodes[1] = (first, *nodes[1:])
    rollouts.set_rollout(1)
    await expect(page.locator("#progress")).to_contain_text(f"1 of {len(nodes)} nodes confirmed")
    await expect(page.locator("#report-csv")).to_be_focused()
    await page.click("#progress button.danger")
    await expect(page.locator("#ask")).to_be_visible()
    # Somebody reads the question while the page goes on asking how far the rollout is.
    for _ in range(2):
        async with page.expect_response("**/rollouts/1"):
            pass
    assert rollouts.rollout_list[0].state.value == "running"
    await page.click("#ask-yes")
    await expect(page.locator("#progress")).to_contain_text("aborted")


async def test_page_without_stream_tells_a_lost_server_too(visit: Visit, site: Site) -> None:
    page = visit.page
    await page.goto(f"{site.url}/gateways")
    await site.stop()
    await expect(page.locator("#disconnected")).to_be_visible(timeout=60_000)
    site.start()
    await expect(page.locator("#disconnected")).to_be_hidden(timeout=60_000)
    visit.complaints.clear()  # the browser itself reports the failed requests


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_sticks_out_on_a_small_phone(
    site: Site, browser: Browser, scheme: str
) -> None:
    dark = scheme == "dark"
    context = await browser.new_context(
        viewport={"width": 360, "height": 740},
        has_touch=True,
        locale="zh-CN",
        color_scheme="dark" if dark else "light",
    )
    visit = await open_site(context, site)
    for path in ("/", "/poles/QD-000001", "/gateways", "/releases", "/rollouts/new", "/audit"):
        await visit.page.goto(site.url + path)
        width = await visit.page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= 360, path
    await context.close()
    assert visit.complaints == []


async def test_text_stands_out_from_its_background_in_both_themes(visit: Visit) -> None:
    for theme in ("light", "dark"):
        await visit.page.evaluate("(t) => { document.documentElement.dataset.theme = t; }", theme)
        tokens = await visit.page.evaluate(
            """() => {
              const style = getComputedStyle(document.documentElement);
              const names = ["ink", "ink-2", "ink-3", "accent", "good", "warn", "bad", "lamp",
                "surface", "lit", "dark", "fault", "silent", "offline", "waiting", "map-ground"];
              const value = (name) => style.getPropertyValue(`--${name}`).trim();
              return Object.fromEntries(names.map((name) => [name, value(name)]));
            }"""
        )
        for name in ("ink", "ink-2", "ink-3", "accent", "good", "warn", "bad", "lamp"):
            assert contrast(tokens[name], tokens["surface"]) >= 4.5, (theme, name)
        # WCAG 2.2, 1.4.11: marks need 3 to 1.
        for name in ("lit", "dark", "fault", "silent", "offline", "waiting"):
            assert contrast(tokens[name], tokens["map-ground"]) >= 2.9, (theme, name)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two #rrggbb colours (WCAG 2.2, 1.4.3)."""

    def luminance(colour: str) -> float:
        assert re.fullmatch(r"#[0-9a-f]{6}", colour), json.dumps(colour)
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


async def test_five_thousand_poles_are_on_the_map_soon(browser: Browser, site: Site) -> None:
    crowd = FakeFleet(5_000)
    site.city.markers_by_code = crowd.markers_by_code
    site.city.node_numbers = crowd.node_numbers
    context = await browser.new_context(locale="en")
    async with asyncio.timeout(60):
        visit = await open_site(context, site)
    total = await visit.page.evaluate(
        "() => document.getElementById('map').poleLayer.columns.count"
    )
    assert total == 5_000
    await context.close()


async def test_a_new_alarm_appears_without_a_reload_and_is_answered(
    visit: Visit, site: Site
) -> None:
    await visit.page.goto(f"{site.url}/alarms")
    await visit.page.get_by_text("No alarm stands").wait_for()
    site.city.alarm_list.raise_one(AlarmKind.SOS, "QD-000002")
    await visit.page.get_by_text("Emergency call").wait_for()
    await visit.page.get_by_role("button", name="Acknowledge").click()
    await visit.page.get_by_role("button", name="End the call").wait_for()
