"""A technician's whole visit with a phone: scan, no network, network, checks, signature, swap."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import segno
from PIL import Image
from playwright.sync_api import Locator, Page, expect, sync_playwright

from hil_tests.conftest import RigNode
from poleward_tools.client.views import Area, NodeLife, Pole
from poleward_tools.demo.city import GATEWAY_NAME, City
from poleward_tools.flash_image.node_nvs import NodeIdentity
from poleward_tools.flashing.claim_code import label_payload
from poleward_tools.virtual_board.node_folder import NodeFolder

pytestmark = [pytest.mark.system, pytest.mark.browser]

CHROMIUM = "/usr/bin/chromium"
READY_MS = 90_000
expect.set_options(timeout=READY_MS)
CHECKS = ("link", "version", "clock", "supply", "temperature", "particles", "lamp")


@dataclass
class Blank:
    """A node from the factory, with power, that nobody has claimed."""

    identity: NodeIdentity
    node: RigNode


@pytest.fixture
def blank(city: City, next_place: Callable[[], tuple[Pole, Area]]) -> Iterator[Callable[[], Blank]]:
    """Make nodes in poles of their own that are not commissioned."""
    made: list[RigNode] = []

    def make() -> Blank:
        pole, area = next_place()
        city.client.create_areas([area])
        city.client.import_poles([pole])
        (identity,) = city.add_nodes([pole], commission=False)
        folder = NodeFolder.load(city.nodes_dir / identity.name)
        made.append(RigNode(city, pole, folder, identity.claim_code, identity.bootstrap_secret))
        return Blank(identity, made[-1])

    yield make
    for node in made:
        node.switch_off()


def video_of_label(path: Path, identity: NodeIdentity) -> None:
    """Write what the camera of the phone sees: the label, again and again."""
    image = io.BytesIO()
    segno.make(label_payload(identity), error="m", micro=False).save(image, kind="png", scale=8)
    seen = Image.new("RGB", (640, 480), "white")
    code = Image.open(image).convert("RGB")
    seen.paste(code, ((640 - code.width) // 2, (480 - code.height) // 2))
    frame = io.BytesIO()
    seen.save(frame, "JPEG", quality=90)
    path.write_bytes(frame.getvalue() * 30)


@pytest.fixture
def phone(city: City, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Open the page on a small phone whose camera sees a node's label, signed in."""
    with sync_playwright() as playwright:
        browsers = []

        def open_page(blank: Blank, width: int = 320, height: int = 640) -> Page:
            video = tmp_path / "camera.mjpeg"
            video_of_label(video, blank.identity)
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=[
                    "--no-sandbox",
                    "--disable-gpu",
                    "--use-fake-ui-for-media-stream",
                    "--use-fake-device-for-media-stream",
                    f"--use-file-for-fake-video-capture={video}",
                ],
            )
            browsers.append(browser)
            place = blank.node.pole
            context = browser.new_context(
                viewport={"width": width, "height": height},
                has_touch=True,
                locale="en",
                geolocation={
                    "latitude": place.latitude_deg,
                    "longitude": place.longitude_deg,
                    "accuracy": 5,
                },
                permissions=["geolocation", "camera"],
            )
            password = city.client.accounts.put("field", roles=["technician"], new_password=True)
            context.set_default_timeout(READY_MS)
            page = context.new_page()
            page.goto(f"{city.web}/login")
            page.fill("[name=name]", "field")
            page.fill("[name=password]", password)
            page.click("form button.primary")
            page.goto(f"{city.web}/commission")
            expect(page.locator("#place")).to_contain_text("good to 5 m")
            return page

        yield open_page
        for browser in browsers:
            browser.close()


def wait_ready(page: Page) -> None:
    """Wait until every check of the only visit has passed; a failure says how each stands."""
    visit = page.locator(".visit")
    try:
        expect(visit).to_have_attribute("data-kind", "ready")
    except AssertionError as error:
        raise AssertionError(visit.inner_text()) from error


def test_a_visit_with_the_uplink_cut_and_restored(
    blank: Callable[[], Blank], phone: Callable[[Blank], Page], tmp_path: Path
) -> None:
    made = blank()
    page = phone(made)
    page.evaluate("navigator.serviceWorker.ready.then(() => 1)")
    page.reload()  # from here on the worker has seen everything that the page needs
    expect(page.locator("#poles option").first).to_be_attached()
    page.context.set_offline(True)
    page.reload()
    page.tap("#scan")
    expect(page.locator("#mac")).to_have_value(made.identity.mac.hex())
    expect(page.locator("#code")).to_have_value(made.identity.claim_code)
    page.fill("#pole", made.node.pole.code)
    page.tap("#begin")
    visit = page.locator(".visit")
    expect(visit.locator(".status")).to_contain_text("Kept on this device")
    page.reload()
    expect(visit.locator("h3")).to_have_text(made.node.pole.code)
    too_wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(too_wide)

    page.context.set_offline(False)
    for name in CHECKS:
        line = visit.locator(f"[data-check='{name}']")
        expect(line).to_have_attribute("data-verdict", "passed")
    wait_ready(page)
    page.screenshot(path=str(tmp_path / "ready.png"), full_page=True)

    # Signed while the network is away again; nobody else knows yet.
    number = str(made.node.view().number)
    life = made.node.city.client.get_node
    page.context.set_offline(True)
    visit.locator("[data-act='commission.sign']").tap()
    expect(visit.locator(".status")).to_contain_text("Signed on this device")
    assert life(number).life_state == "claimed"
    page.context.set_offline(False)
    expect(visit.locator(".status")).to_contain_text("Signed off")
    made.node.wait_until(lambda: life(number).life_state == "in_service", "in service")


def test_a_conflict_is_shown_and_never_guessed(
    node: RigNode, blank: Callable[[], Blank], phone: Callable[[Blank], Page]
) -> None:
    before = node.view()
    made = blank()
    page = phone(made)
    page.fill("#mac", made.identity.mac.hex(":"))
    page.fill("#code", made.identity.claim_code.lower())
    page.fill("#pole", node.pole.code)
    page.tap("#begin")
    status = page.locator(".visit .status")
    expect(status).to_contain_text("m away from where pole")
    assert node.view().number == before.number
    page.locator("[data-act='commission.confirm']").tap()
    expect(status).to_contain_text("say that it is swapped")
    page.locator("[data-act='commission.swap']").tap()
    wait_ready(page)
    # Same pole, new node: its history stays, the old node's keys are dead.
    assert node.view().number != before.number
    assert node.city.client.get_node(str(before.number)).life_state == "swapped_out"
    node.wait_until(lambda: "refused: 4.01" in node.console(), "old node refused")


def test_a_visit_with_a_laptop_at_the_nodes_console(blank: Callable[[], Blank]) -> None:
    made = blank()
    city = made.node.city
    assert city.profile is not None
    made.node.wait_until(made.node.board.port.exists, "board in the rack")
    command = [
        sys.executable, "-m", "poleward_tools", "commission", "--json",
        "--port", str(made.node.board.port), "--pole", made.node.pole.code,
    ]  # fmt: skip
    settings = {
        "POLEWARD_CLAIM_CODE": made.identity.claim_code,
        "POLEWARD_FLEET": city.web,
        "POLEWARD_TOKEN": city.profile.token,
    }
    with subprocess.Popen(
        command, env=os.environ | settings, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as laptop:  # fmt: skip
        assert laptop.stderr is not None
        assert laptop.stderr.readline().startswith("Listening")
        made.node.power_cut()
        out, err = laptop.communicate(timeout=READY_MS / 1000)
    assert laptop.returncode == 0, err
    said = json.loads(out)
    assert said["mac"] == made.identity.mac.hex()
    checks = {check["name"]: check["verdict"] for check in said["state"]["checks"]}
    assert {checks[name] for name in CHECKS} == {"passed"}
    life = city.client.get_node
    made.node.wait_until(lambda: life(said["mac"]).life_state == "in_service", "in service")


def take_order_along(made: Blank, page: Page) -> None:
    """Have a work order made for a node, and wait until gateway and phone hold it."""
    city = made.node.city
    calls = city.client.commissioning
    order = calls.make_order(GATEWAY_NAME, [made.identity.mac.hex()], ["field"])
    assert order.technicians == ("field",)
    page.evaluate("navigator.serviceWorker.ready.then(() => 1)")
    page.reload()
    passes = "import('/static/visit_store.js').then((store) => store.keptPasses())"
    made.node.wait_until(
        lambda: any(p["url"] == city.site for p in page.evaluate(passes)), "pass on the phone"
    )
    expect(page.locator("#poles option").first).to_be_attached()
    log = city.plan.data / "logs" / "gateway.log"
    held = f"revision={order.revision} technicians=['field']"
    made.node.wait_until(
        lambda: held in log.read_text(encoding="utf-8", errors="replace"), "order at the gateway"
    )


def begin_on_site(made: Blank, page: Page) -> Locator:
    """Begin a visit that only the gateway can answer, and wait for its checks."""
    page.reload()
    page.fill("#mac", made.identity.mac.hex(":"))
    page.fill("#code", made.identity.claim_code)
    page.fill("#pole", made.node.pole.code)
    page.tap("#begin")
    visit = page.locator(".visit")
    for name in CHECKS:
        line = visit.locator(f"[data-check='{name}']")
        expect(line).to_have_attribute("data-verdict", "passed")
    expect(visit).to_have_attribute("data-kind", "ready")
    expect(visit).to_contain_text(f"Answered by gateway {GATEWAY_NAME}")
    return visit


def test_a_visit_that_the_gateway_answers_while_the_fleet_is_away(
    blank: Callable[[], Blank],
    phone: Callable[..., Page],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    made = blank()
    city = made.node.city
    page = phone(made, 360, 740)
    take_order_along(made, page)
    city.fleet.kill()
    try:
        visit = begin_on_site(made, page)
        record_property("on_site", visit.locator(".status").inner_text())
        page.screenshot(path=str(tmp_path / "on-site.png"), full_page=True)
        visit.locator("[data-act='commission.sign']").tap()
        expect(visit).to_have_attribute("data-kind", "untold")
        page.reload()
        expect(visit).to_have_attribute("data-kind", "untold")
    finally:
        city.start_fleet_again()
    expect(visit).to_have_attribute("data-kind", "signed")

    def life() -> NodeLife:
        return city.client.get_node(made.identity.mac.hex())

    made.node.wait_until(lambda: life().life_state == "in_service", "in service")
    assert life().pole_code == made.node.pole.code
    signed = city.client.audit.export(actor="field", subject=made.node.pole.code)
    assert "visit.sign" in {record.action for record in signed}
    made.node.wait_until(lambda: made.node.reports() > 0, "what it measured meanwhile")


def test_a_conflict_that_shows_only_after_the_uplink_is_back(
    blank: Callable[[], Blank], phone: Callable[..., Page]
) -> None:
    made, other = blank(), blank()
    city = made.node.city
    page = phone(made, 360, 740)
    take_order_along(made, page)
    city.fleet.kill()
    try:
        visit = begin_on_site(made, page)
        visit.locator("[data-act='commission.sign']").tap()
        expect(visit).to_have_attribute("data-kind", "untold")
    finally:
        city.gateway.kill()
        city.start_fleet_again()
    # Somebody else put the same node elsewhere before the gateway could tell.
    city.client.commission(
        mac=made.identity.mac,
        claim_code=made.identity.claim_code,
        pole_code=other.node.pole.code,
        gateway_name=GATEWAY_NAME,
    )
    city.start_gateway_again()
    words = f"stands in pole {other.node.pole.code}"
    expect(visit.locator(".status")).to_contain_text(words)
    told = city.client.audit.export(actor=GATEWAY_NAME, subject=made.node.pole.code)
    assert any(words in record.detail["why"] for record in told)
    assert city.client.get_node(made.identity.mac.hex()).pole_code == other.node.pole.code
