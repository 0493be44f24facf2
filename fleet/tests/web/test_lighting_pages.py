"""The lighting page and the answers to an emergency call."""

import httpx
from web_city import FakeFleet
from web_visits import form_token

from poleward_fleet.adapters.web.lighting_pages import call_state, curve_of
from poleward_fleet.domain.commands import SetLamp
from poleward_fleet.domain.lighting import Group, LightingKind, Program
from poleward_fleet.domain.telemetry import NodeEvent, Severity


async def test_lighting_is_shown_with_who_follows_it(operator: httpx.AsyncClient) -> None:
    page = (await operator.get("/lighting")).text
    for text in ("street", "9 of 12 follow it", "harbour", "3 poles", "match-day", "sos.pressed"):
        assert text in page


async def test_nothing_yet_is_explained(operator: httpx.AsyncClient, city: FakeFleet) -> None:
    city.lighting.found = FakeFleet(0).lighting.found
    page = (await operator.get("/lighting")).text
    assert page.count('class="empty"') == 4


async def test_preview_draws_tonight_or_says_what_is_wrong(operator: httpx.AsyncClient) -> None:
    wish = {"rules": "||S;22:00;R|100;50;0\r\n", "time_zone": "Asia/Shanghai", "pole": "QD-000001"}
    drawn = (await operator.get("/lighting/preview", params=wish)).text
    assert "<path" in drawn
    assert "Sunset 19:19 · Sunrise 04:45" in drawn
    assert "22:00 50 %" in drawn
    wrong = await operator.get("/lighting/preview", params=wish | {"rules": "||S;R|100"})
    assert wrong.status_code == 200
    assert "2 times and 1 levels" in wrong.text
    waits = await operator.get("/lighting/preview", params=wish | {"pole": ""})
    assert "Name a pole" in waits.text


async def test_forms_do_what_they_say(operator: httpx.AsyncClient, city: FakeFleet) -> None:
    csrf = form_token(await operator.get("/lighting"))
    for path, form, asked in (
        (
            "programs",
            {"name": "new", "time_zone": "UTC", "rules": "||S;R|90;0\r\n\r\n"},
            ("put", Program("new", "UTC", "||S;R|90;0")),
        ),
        ("assign", {"program": "street", "area": "370200000000"},
         ("assign", "street", "370200000000")),
        ("groups", {"name": "g", "poles": "QD-000001, QD-000002 QD-000001"},
         ("put group", Group("g", ("QD-000001", "QD-000002")))),
        ("remove/group", {"name": "harbour"}, ("remove", LightingKind.GROUP, "harbour")),
    ):  # fmt: skip
        answer = await operator.post(f"/lighting/{path}", data={"csrf": csrf, **form})
        assert answer.status_code == 303, answer.text
        assert city.lighting.asked[-1] == asked
    for path, form, ordered in (
        ("dim", {"group": "harbour", "level": "30", "minutes": "5"},
         ("dim", "harbour", SetLamp(30, duration_s=300))),
        ("run", {"scene": "match-day", "minutes": "0"}, ("run", "match-day", 0)),
    ):  # fmt: skip
        answer = await operator.post(f"/lighting/{path}", data={"csrf": csrf, **form})
        assert "2 of 3 lamps confirmed" in answer.text
        assert "QD-000003: node 3 did not answer" in answer.text
        assert city.lighting.asked[-1] == ordered
    bad = {"csrf": csrf, "name": "x", "time_zone": "UTC", "rules": "nonsense"}
    assert (await operator.post("/lighting/programs", data=bad)).status_code == 400
    assert (await operator.post("/lighting/dim", data={"csrf": csrf})).status_code == 400
    assert (await operator.post("/lighting/dim", data={"level": "5"})).status_code == 403


def call(kind: str, at_ms: int) -> NodeEvent:
    return NodeEvent(1, 1, at_ms, at_ms, kind, Severity.CRITICAL, ())


def test_newest_word_about_a_call_counts() -> None:
    story = [call("node.rebooted", 5), call("sos.pressed", 1)]
    assert call_state(story) == "calling"
    assert call_state([call("sos.accepted", 2), *story]) == "accepted"
    assert call_state([call("sos.reset", 3), call("sos.accepted", 2)]) == ""
    assert call_state([]) == ""


async def test_call_is_shown_on_its_pole_and_answered(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    city.happened["QD-000001"] = [call("sos.pressed", 1_800_000_000_000)]
    page = await operator.get("/poles/QD-000001")
    assert "Accept the call" in page.text
    form = {"csrf": form_token(page), "answer": "reset"}
    answer = await operator.post("/poles/QD-000001/call", data=form)
    assert answer.status_code == 303
    assert city.lighting.asked[-1] == ("answer", "QD-000001", True)
    form["answer"] = "shrug"
    assert (await operator.post("/poles/QD-000001/call", data=form)).status_code == 400


async def test_curve_is_within_its_drawing(city: FakeFleet) -> None:
    program = Program("x", "Asia/Shanghai", "||S;00:00;R|100;40;0")
    night = await city.lighting.preview(None, program, "QD-000001")  # type: ignore[arg-type]
    curve = curve_of(night)
    assert 0 < curve.sunset_x < curve.sunrise_x < 960
    assert curve.path.startswith("M0.0 160.0")
    assert curve.path.endswith("H960.0")
