"""What the pages show and how they answer to errors. Not how they look; a browser tests that."""

import csv
import hashlib
import io
import re
from dataclasses import replace

import httpx
import pytest
from web_city import FakeFleet
from web_visits import form_token, sign_in

from poleward_fleet.adapters.web import rollout_node_pages
from poleward_fleet.adapters.web.pages import HERE, embedded_json
from poleward_fleet.adapters.web.texts import TEXTS, Language, negotiate, translate
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.commands import CommandStatus
from poleward_fleet.domain.inventory import LifeState, LinkState, PoleStatus
from poleward_fleet.domain.rollout import NodeStage, RolloutState
from poleward_fleet.domain.rollout_policy import OnFailure, Policy, Target, Wave, Window
from poleward_fleet.domain.rollout_views import WaitsFor
from poleward_fleet.domain.telemetry import NodeEvent, Severity
from poleward_fleet.domain.words import Words

PATHS = (
    "/",
    "/poles/QD-000001",
    "/poles/QD-000007",  # without a node
    "/lighting",
    "/gateways",
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


async def test_rollout_is_created_paused_resumed_and_aborted(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    form_page = await operator.get("/rollouts/new")
    fields = {
        "csrf": form_token(form_page),
        "release": city.rollouts.release_list[0].digest.hex(),
        "concurrency": "5",
        "max_failures": "2",
    }
    created = await operator.post("/rollouts/new", data=fields)
    assert created.headers["location"] == "/rollouts/1"
    for action, state in (
        ("pause", RolloutState.PAUSED),
        ("resume", RolloutState.RUNNING),
        ("abort", RolloutState.ABORTED),
    ):
        await operator.post(f"/rollouts/1/{action}", data={"csrf": fields["csrf"]})
        assert city.rollouts.rollout_list[0].state is state
    page = await operator.get("/rollouts/1")
    assert "aborted" in page.text
    assert "/rollouts/1/pause" not in page.text


async def test_form_of_a_rollout_says_everything_about_it(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    new, old, _ = city.rollouts.release_list
    fields = {
        "csrf": form_token(await operator.get("/rollouts/new")),
        "release": new.digest.hex(),
        "labels": "night old-lamp",
        "also_later": "yes",
        "wave_size_0": "3",
        "wave_wait_0": "30",
        "wave_size_2": "10%",
        "wave_success_2": "90",
        "wave_approve_2": "yes",
        "max_failures": "7",
        "on_failure": "return",
        "return_release": old.digest.hex(),
        "window_start": "23:00",
        "window_end": "04:30",
        "window_day": ["0", "4"],
        "time_zone": "Asia/Shanghai",
        "silence_min": "5",
    }
    tried = await operator.post("/rollouts/try", data=fields)
    assert tried.status_code == 200, tried.text
    assert city.rollouts.rollout_list == []
    await operator.post("/rollouts/new", data=fields)
    made = city.rollouts.rollout_list[0]
    assert made.target == Target(labels=("night", "old-lamp"), also_later=True)
    assert made.policy.waves == (
        Wave(nodes=3, wait_s=1800),
        Wave(percent=10, success_percent=90, needs_approval=True),
        Wave(),
    )
    assert made.policy.windows == (Window((0, 4), 23 * 60, 4 * 60 + 30),)
    assert (made.policy.on_failure, made.policy.return_digest) == (OnFailure.RETURN, old.digest)
    assert made.policy.deadlines.trial_s == 300
    assert made.policy.max_failures == 7
    page = (await operator.get("/rollouts/1", headers={"accept-language": "zh-CN"})).text
    assert "批次 2" in page
    assert "23:00–04:30" in page


@pytest.mark.parametrize(
    ("field", "value", "english", "chinese"),
    [
        ("wave_size_0", "three", "Nodes, or % must be a whole", "百分比 应为整数"),
        ("max_failures", "0", "Stops at failures must be 1", "失败停止阈值 应在 1"),
        ("wave_success_0", "101", "wave 1 is out of range", "批次 1"),
        ("release", "00" * 32, "is not published", "未发布"),
        ("time_zone", "Mars/Base", "Asia/Shanghai", "未知时区"),
        ("on_failure", "return", "name the release", "须指定"),
    ],
)
async def test_rollout_that_makes_no_sense_is_refused_in_both_languages(
    operator: httpx.AsyncClient, field: str, value: str, english: str, chinese: str
) -> None:
    token = form_token(await operator.get("/rollouts/new"))
    release = hashlib.sha256(b"1.1.0").hexdigest()
    fields = {"csrf": token, "release": release, "wave_size_0": "1", "window_start": "1:00",
              "window_end": "2:00", "window_day": "1"} | {field: value}  # fmt: skip
    for language, words in (("en", english), ("zh-CN", chinese)):
        answer = await operator.post(
            "/rollouts/try", data=fields, headers={"accept-language": language}
        )
        assert answer.status_code in (400, 404)
        assert words in answer.text


async def test_proposed_rollout_is_approved_by_somebody_else(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    maker = Principal("maker", frozenset({Role.ADMINISTRATOR}))
    release = city.rollouts.release_list[0]
    policy = Policy(needs_approval=True)
    await city.rollouts.create(maker, release.digest, Target(), policy)
    page = await operator.get("/rollouts/1")
    assert "second person" in page.text
    await operator.post("/rollouts/1/approve", data={"csrf": form_token(page)})
    assert city.rollouts.rollout_list[0].state is RolloutState.RUNNING
    city.rollouts.set_rollout(1, state=RolloutState.PROPOSED, created_by="operator")
    page = await operator.get("/rollouts/1")
    assert 'id="approve"' not in page.text
    refused = await operator.post("/rollouts/1/approve", data={"csrf": form_token(page)})
    assert refused.status_code == 409


async def test_progress_is_asked_for_only_while_it_can_move(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    token = form_token(await operator.get("/rollouts/new"))
    release = city.rollouts.release_list[0].digest.hex()
    await operator.post("/rollouts/new", data={"csrf": token, "release": release})
    part = await operator.get("/rollouts/1", headers={"hx-request": "true"})
    assert 'hx-trigger="every 1s"' in part.text
    assert "<html" not in part.text
    city.rollouts.set_rollout(1, state=RolloutState.FINISHED)
    part = await operator.get("/rollouts/1", headers={"hx-request": "true"})
    assert "hx-trigger" not in part.text


async def test_nodes_of_a_rollout_are_listed_by_stage_page_by_page_and_in_files(
    operator: httpx.AsyncClient, city: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_node_pages, "NODES_A_PAGE", 5)
    monkeypatch.setattr(rollout_node_pages, "NODES_A_PIECE", 7)
    maker = Principal("maker", frozenset({Role.ADMINISTRATOR}))
    release = city.rollouts.release_list[0]
    await city.rollouts.create(maker, release.digest, Target(), Policy())
    nodes = list(city.rollouts.rollout_nodes[1])
    nodes[0] = replace(nodes[0], stage=NodeStage.FAILED, reason=Words.told("=no room, in flash"))
    city.rollouts.rollout_nodes[1] = tuple(nodes)
    city.rollouts.set_rollout(1)
    first = (await operator.get("/rollouts/1/nodes")).text
    assert f"1 to 5 of {len(nodes)}" in first
    assert 'rel="next"' in first
    assert 'rel="prev"' not in first
    last = (await operator.get("/rollouts/1/nodes?page=999")).text
    assert 'rel="prev"' in last
    assert 'rel="next"' not in last
    failed = (await operator.get("/rollouts/1/nodes?stage=failed")).text
    assert "1 to 1 of 1" in failed
    assert "Nobody is at this stage" in (await operator.get("/rollouts/1/nodes?stage=trial")).text
    for odd in ("stage=lost", "page=-1", "page=x"):
        assert (await operator.get(f"/rollouts/1/nodes?{odd}")).status_code == 400
    assert (await operator.get("/rollouts/9/nodes")).status_code == 404
    assert (await operator.get("/rollouts/9/report.csv")).status_code == 404
    rows = list(csv.DictReader(io.StringIO((await operator.get("/rollouts/1/report.csv")).text)))
    report = (await operator.get("/rollouts/1/report.json")).json()
    assert [row["pole"] for row in rows] == [node["pole"] for node in report["nodes"]]
    assert len(rows) == len(nodes)
    # A spreadsheet must not take what a node said for a formula.
    assert (rows[0]["stage"], rows[0]["reason"]) == ("failed", "'=no room, in flash")
    assert report["nodes"][0]["reason"] == "=no room, in flash"
    assert report["counts"] == {"queued": len(nodes) - 1, "failed": 1}
    page = (await operator.get("/rollouts/1")).text
    assert "Why they were not successful" in page
    pole = (await operator.get(f"/poles/{nodes[0].pole_code}")).text
    assert 'href="/rollouts/1"' in pole
    assert "=no room, in flash" in pole


async def test_release_is_shown_with_who_signed_it_and_what_it_is_made_of(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    release = city.rollouts.release_list[0]
    page = await operator.get(f"/releases/{release.digest.hex()}")
    for words in ("release team", "never trusted here", "mpy-cross", release.notes):
        assert words in page.text
    for unknown in ("00" * 32, "nonsense"):
        assert (await operator.get(f"/releases/{unknown}")).status_code == 404


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
