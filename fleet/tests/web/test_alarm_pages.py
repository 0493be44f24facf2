"""The page of the alarms: what it lists, who may answer, that it is live."""

import httpx
from web_city import FakeFleet
from web_visits import form_token, sign_in

from poleward_fleet.adapters.web.texts import Language, translate
from poleward_fleet.domain.alarms import AlarmKind

HTMX = {"hx-request": "true"}


def test_every_kind_has_words() -> None:
    for kind in AlarmKind:
        assert translate(Language.ZH, f"alarm.{kind.value}")


async def test_alarms_are_listed_in_words_and_can_be_answered(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    call = city.alarm_list.raise_one(AlarmKind.SOS, "QD-000001")
    page = await operator.get("/alarms")
    assert "Emergency call" in page.text
    assert 'href="/poles/QD-000001"' in page.text
    form = {"csrf": form_token(page)}
    answered = await operator.post(f"/alarms/{call.number}/acknowledge", data=form, headers=HTMX)
    assert "acknowledged" in answered.text
    assert "End the call" in answered.text
    ended = await operator.post(f"/alarms/{call.number}/clear", data=form, headers=HTMX)
    assert "No alarm stands" in ended.text
    assert "Emergency call" in (await operator.get("/alarms?show=all")).text
    chinese = await operator.get("/alarms?show=all", headers={"accept-language": "zh-CN"})
    assert "应急求助" in chinese.text


async def test_viewer_sees_alarms_and_cannot_answer(
    visitor: httpx.AsyncClient, city: FakeFleet
) -> None:
    await sign_in(visitor, "viewer", "lookonly")
    call = city.alarm_list.raise_one(AlarmKind.SOS, "QD-000001")
    page = await visitor.get("/alarms")
    assert "Emergency call" in page.text
    assert "/acknowledge" not in page.text
    form = {"csrf": form_token(page)}
    refused = await visitor.post(f"/alarms/{call.number}/acknowledge", data=form)
    assert refused.status_code == 403


async def test_what_is_no_alarm_is_refused(operator: httpx.AsyncClient) -> None:
    form = {"csrf": form_token(await operator.get("/alarms"))}
    assert (await operator.post("/alarms/99/acknowledge", data=form)).status_code == 404
    assert (await operator.post("/alarms/1/forget", data=form)).status_code == 400
