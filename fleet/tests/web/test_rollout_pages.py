"""The pages of releases and rollouts: the wizard, what goes on, nodes and reports.

Not how they look; a browser tests that.
"""

import csv
import hashlib
import io
import json
import re
from dataclasses import replace

import httpx
import pytest
from web_city import FakeFleet
from web_visits import form_token

from poleward_fleet.adapters.web import rollout_node_pages
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.rollout import NodeStage, RolloutState
from poleward_fleet.domain.rollout_policy import OnFailure, Policy, Target, Wave, Window
from poleward_fleet.domain.words import Words

MAKER = Principal("maker", frozenset({Role.ADMINISTRATOR}))


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
    assert city.rollouts.rollout_list[0].policy.deadlines == Policy().deadlines
    # In a browser what is refused leaves the form as it is.
    refused = await operator.post(
        "/rollouts/new", data=fields | {"name": "No"}, headers={"hx-request": "true"}
    )
    assert refused.status_code == 400
    assert "<html" not in refused.text
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
        "window_start_0": "23:00",
        "window_end_0": "04:30",
        "window_day_0": ["0", "4"],
        "window_start_1": "13:00",
        "window_end_1": "14:00",
        "window_day_1": "6",
        "time_zone": "Asia/Shanghai",
        "silence_min": "5",
        "max_attempts": "4",
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
    assert made.policy.windows == (
        Window((0, 4), 23 * 60, 4 * 60 + 30),
        Window((6,), 13 * 60, 14 * 60),
    )
    assert (made.policy.on_failure, made.policy.return_digest) == (OnFailure.RETURN, old.digest)
    assert made.policy.deadlines.trial_s == 300
    assert (made.policy.max_failures, made.policy.max_attempts) == (7, 4)
    page = (await operator.get("/rollouts/1", headers={"accept-language": "zh-CN"})).text
    assert "批次 2" in page
    assert "23:00–04:30" in page


@pytest.mark.parametrize(
    ("field", "value", "english", "chinese"),
    [
        ("wave_size_0", "three", "Nodes, or % must be a whole", "百分比 应为整数"),
        ("max_attempts", "11", "Tries must be 1", "尝试次数 应在 1"),
        ("max_failures", "0", "Stops at failures must be 1", "失败停止阈值 应在 1"),
        ("wave_success_0", "101", "wave 1 is out of range", "批次 1"),
        ("release", "00" * 32, "is not published", "未发布"),
        ("window_end_0", "", "weekdays and two times", "星期和起止时间"),
        ("time_zone", "Mars/Base", "Asia/Shanghai", "未知时区"),
        ("on_failure", "return", "name the release", "须指定"),
    ],
)
async def test_rollout_that_makes_no_sense_is_refused_in_both_languages(
    operator: httpx.AsyncClient, field: str, value: str, english: str, chinese: str
) -> None:
    token = form_token(await operator.get("/rollouts/new"))
    release = hashlib.sha256(b"1.1.0").hexdigest()
    fields = {"csrf": token, "release": release, "wave_size_0": "1", "window_start_0": "1:00",
              "window_end_0": "2:00", "window_day_0": "1"} | {field: value}  # fmt: skip
    for language, words in (("en", english), ("zh-CN", chinese)):
        answer = await operator.post(
            "/rollouts/try", data=fields, headers={"accept-language": language}
        )
        assert answer.status_code in (400, 404)
        assert words in answer.text


async def test_proposed_rollout_is_approved_by_somebody_else(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    release = city.rollouts.release_list[0]
    policy = Policy(needs_approval=True)
    await city.rollouts.create(MAKER, release.digest, Target(), policy)
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
    release = city.rollouts.release_list[0]
    await city.rollouts.create(MAKER, release.digest, Target(), Policy())
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


async def test_a_rollout_is_found_by_its_name_its_number_and_its_release(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    new, old, _ = city.rollouts.release_list
    await city.rollouts.create(MAKER, old.digest, Target(), Policy())
    fields = {"csrf": form_token(await operator.get("/rollouts/new")), "release": new.digest.hex()}
    for name in ("Dusk 2026", "2026", "x" * 33):
        refused = await operator.post("/rollouts/try", data=fields | {"name": name})
        assert refused.status_code == 400
        assert "begins with a letter" in refused.text
    await operator.post("/rollouts/new", data=fields | {"name": "dusk-2026-11"})
    assert "dusk-2026-11" in (await operator.get("/rollouts/2")).text
    assert (await operator.get("/rollouts/2/report.json")).json()["name"] == "dusk-2026-11"
    for wanted, found in (
        ("", [2, 1]), ("Dusk", [2]), ("1.0", [1]), ("2", [2]), ("1", [1, 2]), ("nobody", []),
    ):  # fmt: skip
        page = (await operator.get("/rollouts", params={"search": wanted})).text
        assert [n for n in (1, 2) if f'href="/rollouts/{n}"' in page] == sorted(found)
    assert "No rollout matches" in page
    live = (await operator.get("/rollouts?search=dusk")).text
    assert 'hx-get="/rollouts?search=dusk"' in live


async def test_a_release_names_who_may_go_back_to_it(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    release = city.rollouts.release_list[1]
    await city.rollouts.create(MAKER, release.digest, Target(), Policy())
    for downgrade, english, chinese in (
        ("", "nobody may", "节点只接受更新的版本"),
        ("rollout:return-1", "rollout return-1 may go back", "任务 return-1 可回退"),
        ("node:aabbcc000003", "node aabbcc000003 may go back", "节点 aabbcc000003 可回退"),
    ):
        city.rollouts.release_list[1] = replace(release, downgrade=downgrade)
        for language, words in (("en", english), ("zh-CN", chinese)):
            asked = {"accept-language": language}
            page = await operator.get(f"/releases/{release.digest.hex()}", headers=asked)
            assert words in page.text
            for path in ("/releases", "/rollouts/new", "/rollouts/1") if downgrade else ():
                assert words in (await operator.get(path, headers=asked)).text
    assert 'data-downgrade=""' in (await operator.get("/rollouts/new")).text


async def test_nodes_that_are_held_back_are_told_with_what_to_do(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    await city.rollouts.create(MAKER, city.rollouts.release_list[0].digest, Target(), Policy())
    first, *others = city.rollouts.rollout_nodes[1]
    for reason, is_frozen in (
        (Words.told("link lost"), False),
        (Words.of("frozen", told="it is over"), True),
    ):
        again = Words.of("try_again", reason=reason)
        assert Words.of_json(json.loads(again.to_json())) == again
        city.rollouts.rollout_nodes[1] = (replace(first, reason=again), *others)
        page = (await operator.get("/rollouts/1")).text
        assert f"{reason}; it is asked again" in page
        assert ("clock of their gateway" in page) == is_frozen
    page = (await operator.get("/rollouts/1", headers={"accept-language": "zh-CN"})).text
    assert "安装指令不在有效期内（it is over）；稍后重试" in page
    assert "升级被冻结" in page


async def test_rollout_of_gateways_speaks_of_gateways_and_stands_on_their_pages(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    release = city.rollouts.release_list[2]
    waves = (Wave(nodes=1, needs_approval=True), Wave())
    policy = Policy(waves, on_failure=OnFailure.RETURN, return_digest=release.digest)
    await city.rollouts.create(MAKER, release.digest, Target(also_later=True), policy)
    node = replace(
        city.rollouts.rollout_nodes[1][0], pole_code="", gateway_name="gw-harbour",
        stage=NodeStage.RETURNED, reason=Words.of("frozen", told=Words.told("exit code 7")),
    )  # fmt: skip
    city.rollouts.rollout_nodes[1] = (node,)
    city.rollouts.set_rollout(1)
    for path in ("/rollouts/1", "/rollouts/1/nodes"):
        for language, gateways, nodes in (("en", "Gateways", "node"), ("zh-CN", "网关", "节点")):
            page = (await operator.get(path, headers={"accept-language": language})).text
            assert 'href="/gateways/gw-harbour"' in page
            words = re.sub(r"<[^>]+>|confirm=.*?>", " ", page.partition('class="page"')[2])
            assert gateways in words
            assert nodes not in words.lower()
    gateway = (await operator.get("/gateways/gw-harbour")).text
    assert 'href="/rollouts/1"' in gateway
    assert "exit code 7" in gateway
    assert "No rollout has been for this gateway" in (await operator.get("/gateways/gw-hill")).text
    assert (await operator.get("/gateways/gw-nowhere")).status_code == 404
