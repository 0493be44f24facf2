"""What the pages show and how they answer to errors. Not how they look; a browser tests that."""

import re

import httpx
import pytest
from web_city import FakeFleet
from web_visits import form_token, sign_in

from poleward_fleet.adapters.web.pages import HERE, embedded_json
from poleward_fleet.adapters.web.texts import TEXTS, Language, negotiate, translate
from poleward_fleet.domain.commands import CommandStatus
from poleward_fleet.domain.inventory import LifeState, LinkState, PoleStatus
from poleward_fleet.domain.rollout import NodeStage, RolloutState
from poleward_fleet.domain.rollout_policy import OnFailure
from poleward_fleet.domain.rollout_views import WaitsFor
from poleward_fleet.domain.telemetry import NodeEvent, Severity

PATHS = (
    "/",
    "/poles/QD-000001",
    "/poles/QD-000007",  # without a node
    "/lighting",
    "/gateways",
    "/gateways/gw-harbour",
    "/releases",
    "/rollouts",
    "/rollouts/new",
    "/audit",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_page_speaks_one_language(
    operator: httpx.AsyncClient, path: str, language: str
) -> None:
    answer = await operator.get(path, headers={"accept-language": language})
    assert answer.status_code == 200
    assert f'<html lang="{language}"' in answer.text
    assert ("地图" in answer.text) == (language == "zh-CN")
    assert 'id="freshness"' in answer.text


@pytest.mark.parametrize("path", PATHS)
async def test_page_has_no_inline_script_or_style(operator: httpx.AsyncClient, path: str) -> None:
    html = (await operator.get(path)).text
    assert not re.search(r"<script(?![^>]*(src=|application/json))", html)
    assert not re.search(r"<[^>]+\s(style|on\w+)=", html)


async def test_empty_fleet_is_explained_on_every_page() -> None:
    from poleward_fleet.adapters.web.app import create_app

    city = FakeFleet(0)
    city.gateway_list = []
    transport = httpx.ASGITransport(app=create_app(city.services()))
    async with httpx.AsyncClient(transport=transport, base_url="http://fleet.test") as client:
        await sign_in(client)
        for path in ("/gateways", "/releases", "/rollouts", "/rollouts/new", "/audit"):
            assert 'class="empty"' in (await client.get(path)).text
        assert (await client.get("/data/map")).json()["code"] == []


def test_every_text_of_a_template_exists() -> None:
    used: set[str] = set()
    for template in (HERE / "templates").glob("*.html"):
        used |= set(re.findall(r'\bt\("([\w.]*\w)"', template.read_text(encoding="utf-8")))
    assert used <= set(TEXTS)
    for module in (HERE / "static").glob("*.js"):
        for key in re.findall(r'\btext\("([\w.]+)"', module.read_text(encoding="utf-8")):
            assert f"js.{key}" in TEXTS, f"{module.name} uses {key}"


@pytest.mark.parametrize(
    ("prefix", "kind"),
    [
        ("status", PoleStatus),
        ("life", LifeState),
        ("link", LinkState),
        ("stage", NodeStage),
        ("rollout", RolloutState),
        ("waits_for", WaitsFor),
        ("on_failure", OnFailure),
        ("js", CommandStatus),
    ],
)
def test_every_state_has_words(prefix: str, kind: type[PoleStatus]) -> None:
    for state in kind:
        assert translate(Language.EN, f"{prefix}.{state.value}")


async def test_events_are_told_in_words(operator: httpx.AsyncClient) -> None:
    in_chinese = {"accept-language": "zh-CN"}
    page = (await operator.get("/poles/QD-000001", headers=in_chinese)).text
    assert "节点启动" in page
    assert "上电启动" in page
    assert "node.rebooted" not in page
    assert "power on" not in page
    page = (await operator.get("/poles/QD-000001")).text
    assert "Node started" in page
    assert "after power came on" in page


async def test_event_of_an_unknown_kind_is_shown_as_it_is(
    operator: httpx.AsyncClient, city: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = NodeEvent(1, 3, 9, 1, "bin.full", Severity.INFO, (("text", "at the top"),))
    monkeypatch.setattr(city, "_events", lambda _: (strange,))
    page = (await operator.get("/poles/QD-000001")).text
    assert "bin.full" in page
    assert re.search(r'quiet">\s*at the top', page)


async def test_equipment_and_ranges_are_translated(operator: httpx.AsyncClient) -> None:
    page = (await operator.get("/poles/QD-000001", headers={"accept-language": "zh-CN"})).text
    assert "路灯" in page
    for words in ("15 分钟", "24 小时", "30 天"):
        assert words in page


async def test_audit_names_actions_in_words(operator: httpx.AsyncClient) -> None:
    token = form_token(await operator.get("/"))
    await operator.post(
        "/poles/QD-000001/lamp", json={"level_percent": 30}, headers={"x-csrf-token": token}
    )
    page = (await operator.get("/audit", headers={"accept-language": "zh-CN"})).text
    assert "调光" in page
    assert "lamp.set</" not in page


def test_both_languages_fill_in_the_same_values() -> None:
    for key, (english, chinese) in TEXTS.items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", chinese)), key


@pytest.mark.parametrize(
    ("cookie", "header", "language"),
    [
        (None, "", Language.EN),
        (None, "zh-TW,zh;q=0.9,en;q=0.8", Language.ZH),
        (None, "en-GB,en;q=0.9,zh;q=0.1", Language.EN),
        (None, "de, zh;q=0.5, en;q=0.4", Language.ZH),
        (None, "zh;q=nonsense, en", Language.EN),
        ("zh-CN", "en", Language.ZH),
        ("klingon", "zh", Language.ZH),
    ],
)
def test_language_is_what_the_person_chose_or_the_browser_prefers(
    cookie: str | None, header: str, language: Language
) -> None:
    assert negotiate(cookie, header) is language


def test_embedded_json_cannot_end_its_script_element() -> None:
    assert "</script>" not in embedded_json({"a": "</script><script>alert(1)</script>"})


async def test_unknown_pole_is_a_page_that_says_so(operator: httpx.AsyncClient) -> None:
    answer = await operator.get("/poles/QD-999999")
    assert answer.status_code == 404
    assert "there is no pole QD-999999" in answer.text


async def test_code_of_a_pole_is_escaped(operator: httpx.AsyncClient) -> None:
    answer = await operator.get("/poles/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert "<script>alert" not in answer.text


async def test_broken_service_is_an_error_page_and_nothing_leaks(
    city: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from poleward_fleet.adapters.web.app import create_app

    transport = httpx.ASGITransport(app=create_app(city.services()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://fleet.test") as client:
        await sign_in(client)

        async def broken(*_: object) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(city, "gateways", broken)
        answer = await client.get("/gateways")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "fleet&#39;s log" in answer.text


async def test_viewer_sees_but_cannot_command(visitor: httpx.AsyncClient) -> None:
    await sign_in(visitor, name="viewer", password="lookonly")
    page = await visitor.get("/poles/QD-000001")
    assert "may look but not command" in page.text
    answer = await visitor.post(
        "/poles/QD-000001/lamp",
        json={"level_percent": 10},
        headers={"x-csrf-token": form_token(page)},
    )
    assert answer.status_code == 403
    assert (await visitor.get("/audit")).status_code == 403


@pytest.mark.parametrize("level", [-1, 101, "bright", None])
async def test_impossible_level_is_refused(operator: httpx.AsyncClient, level: object) -> None:
    token = form_token(await operator.get("/poles/QD-000001"))
    answer = await operator.post(
        "/poles/QD-000001/lamp", json={"level_percent": level}, headers={"x-csrf-token": token}
    )
    assert answer.status_code == 400
    assert "level_percent" in answer.json()["detail"]


@pytest.mark.parametrize("status", [s for s in CommandStatus if s is not CommandStatus.PENDING])
async def test_outcome_of_a_lamp_command_is_told(
    operator: httpx.AsyncClient, city: FakeFleet, status: CommandStatus
) -> None:
    city.lamp_status = status
    token = form_token(await operator.get("/poles/QD-000001"))
    answer = await operator.post(
        "/poles/QD-000001/lamp", json={"level_percent": 30}, headers={"x-csrf-token": token}
    )
    assert answer.json()["status"] == status.value


async def test_history_of_a_backward_range_is_refused(operator: httpx.AsyncClient) -> None:
    query = "metric=supply.active_power_w&from_ms=2000&to_ms=1000"
    assert (await operator.get(f"/data/poles/QD-000001/history?{query}")).status_code == 400


async def test_discovery_needs_no_login(visitor: httpx.AsyncClient) -> None:
    assert "ca_pem" in (await visitor.get("/.well-known/poleward.json")).json()


async def test_language_choice_is_remembered(operator: httpx.AsyncClient) -> None:
    answer = await operator.get("/language/zh-CN?next=/gateways")
    assert answer.headers["location"] == "/gateways"
    assert "网关" in (await operator.get("/gateways")).text


async def test_audit_is_filtered_on_the_page_and_in_its_download(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    token = form_token(await operator.get("/"))
    for code in ("QD-000001", "QD-000002"):
        await operator.post(
            f"/poles/{code}/lamp", json={"level_percent": 10}, headers={"x-csrf-token": token}
        )
    page = await operator.get("/audit?subject=QD-000002&actor=operator&from_ms=&to_ms=x")
    assert ">QD-000002<" in page.text
    assert ">QD-000001<" not in page.text
    assert "subject=QD-000002" in page.text.split('href="/audit/export.csv?')[1].split('"')[0]
    table = await operator.get("/audit/export.csv?subject=QD-000002")
    assert table.headers["content-type"].startswith("text/csv")
    assert [line.split(",")[4] for line in table.text.splitlines()] == ["subject", "QD-000002"]
    empty = await operator.get("/audit/export.csv?actor=nobody")
    assert len(empty.text.splitlines()) == 1


async def test_readiness_without_a_database_is_503(
    visitor: httpx.AsyncClient, city: FakeFleet
) -> None:
    assert (await visitor.get("/health/ready")).status_code == 200
    city.database_answers = False
    assert (await visitor.get("/health/ready")).status_code == 503
    assert (await visitor.get("/health/live")).status_code == 200
