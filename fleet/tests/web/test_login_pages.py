"""Signing in, forms and headers. Not the checking of passwords."""

from collections.abc import AsyncIterator

import httpx
import pytest
from web_city import FakeFleet
from web_visits import form_token, sign_in

from poleward_fleet.adapters.web.login_pages import local_path


async def test_page_without_session_leads_to_login_and_back(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/rollouts")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/rollouts"


async def test_data_without_session_is_refused_as_json(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/data/map")
    assert answer.status_code == 401
    assert answer.json()["error"]


async def test_session_cookie_is_out_of_reach_of_scripts(visitor: httpx.AsyncClient) -> None:
    answer = await sign_in(visitor)
    cookie = next(c for c in answer.headers.get_list("set-cookie") if "poleward_session=" in c)
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


async def test_wrong_password_is_told_without_saying_which_part(visitor: httpx.AsyncClient) -> None:
    answer = await sign_in(visitor, password="no")
    assert answer.status_code == 401
    assert "User name or password is wrong" in answer.text
    unknown = await sign_in(visitor, name="nobody", password="no")
    assert "User name or password is wrong" in unknown.text


async def test_too_many_attempts_are_told_with_the_wait(visitor: httpx.AsyncClient) -> None:
    for _ in range(5):
        await sign_in(visitor, password="no")
    answer = await sign_in(visitor)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "30"
    assert "Try again in 30 s" in answer.text


async def test_login_form_of_another_browser_is_refused(visitor: httpx.AsyncClient) -> None:
    form = {"name": "operator", "password": "lamplight", "login_token": "made-up"}
    answer = await visitor.post("/login", data=form)
    assert answer.status_code == 400
    assert "poleward_session" not in visitor.cookies


async def test_change_without_form_token_is_refused(
    operator: httpx.AsyncClient, city: FakeFleet
) -> None:
    answer = await operator.post("/poles/QD-000001/lamp", json={"level_percent": 10})
    assert answer.status_code == 403
    assert city.markers_by_code["QD-000001"].level_percent != 10


async def test_change_from_another_site_is_refused(operator: httpx.AsyncClient) -> None:
    token = form_token(await operator.get("/gateways"))
    for headers in ({"origin": "https://evil.test"}, {"sec-fetch-site": "cross-site"}):
        answer = await operator.post("/logout", data={"csrf": token}, headers=headers)
        assert answer.status_code == 403


async def test_logout_ends_the_session(operator: httpx.AsyncClient, city: FakeFleet) -> None:
    token = form_token(await operator.get("/gateways"))
    answer = await operator.post("/logout", data={"csrf": token})
    assert answer.headers["location"] == "/login"
    assert city.sessions == {}
    assert (await operator.get("/gateways")).status_code == 303


async def test_ended_session_is_explained(operator: httpx.AsyncClient, city: FakeFleet) -> None:
    city.sessions.clear()
    answer = await operator.get("/gateways")
    assert answer.headers["location"] == "/login?next=/gateways&ended=true"
    assert "Your session has ended" in (await operator.get(answer.headers["location"])).text


async def test_every_answer_forbids_inline_scripts_and_framing(visitor: httpx.AsyncClient) -> None:
    for path in ("/login", "/static/app.css", "/nowhere", "/.well-known/poleward.json"):
        policy = (await visitor.get(path)).headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize(
    "target", ["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)", ""]
)
def test_login_leads_only_to_pages_of_ours(target: str) -> None:
    assert local_path(target) == "/"


def test_login_leads_back_to_where_one_was() -> None:
    assert local_path("/poles/QD-1?x=1") == "/poles/QD-1?x=1"


async def test_oversized_or_unmeasured_request_is_refused(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/login", content=b"x" * 70_000)
    assert answer.status_code == 413
    assert "content-security-policy" in answer.headers

    async def endless() -> AsyncIterator[bytes]:
        yield b"name=operator"

    assert (await visitor.post("/login", content=endless())).status_code == 413
