"""Signing in at an OpenID provider: who gets in, as what, and everything that must not work."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from openid_provider import CLIENT_ID, CLIENT_SECRET, Provider, serving
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet_rig import ADMIN, DISTRICT, FakeClock, PlainHasher, make_city
from poleward_fleet.adapters.openid import OpenIdSettings, load_settings
from poleward_fleet.adapters.web.app import create_app
from poleward_fleet.assembly import Fleet, assemble, web_services
from poleward_fleet.domain.accounts import Role, SignIn
from poleward_fleet.domain.errors import ConfigurationError
from poleward_fleet.services.single_sign_on import PENDING_MS

SECRET = "twelve characters"
FLEET = "http://127.0.0.1:1"
SETTINGS = """
issuer = "{issuer}"
public_url = "http://127.0.0.1:1"
name = "City ID"
client_id = "{client_id}"
client_secret_file = "secret"
scopes = ["profile", "groups"]

[[grants]]
value = "xihu"
roles = ["technician"]
area = "{area}"

[[grants]]
value = "lighting"
roles = ["operator", "viewer"]

[[grants]]
value = "lost"
roles = ["viewer"]
area = "999999999999"
"""


def settings_of(provider: Provider, folder: Path) -> OpenIdSettings:
    file = folder / "openid.toml"
    (folder / "secret").write_text(CLIENT_SECRET + "\n")
    file.write_text(SETTINGS.format(issuer=provider.issuer, client_id=CLIENT_ID, area=DISTRICT))
    return load_settings(file)


@pytest.fixture
async def provider(clock: FakeClock) -> AsyncIterator[Provider]:
    async with serving(Provider(clock)) as provider:
        yield provider


@pytest.fixture
async def fleet(engine: AsyncEngine, tmp_path: Path, clock: FakeClock, provider: Provider) -> Fleet:
    fleet = assemble(
        engine, tmp_path, clock=clock, hasher=PlainHasher(),
        openid=settings_of(provider, tmp_path),
    )  # fmt: skip
    await make_city(fleet)
    return fleet


@pytest.fixture
async def browser(fleet: Fleet, clock: FakeClock) -> AsyncIterator[httpx.AsyncClient]:
    services = web_services(fleet, {})
    transport = httpx.ASGITransport(app=create_app(services, now_ms=clock.now_ms))
    async with httpx.AsyncClient(transport=transport, base_url=FLEET) as client:
        yield client


async def way_there(browser: httpx.AsyncClient) -> str:
    """Begin in the browser and pass the provider; return the address of the way back."""
    start = await browser.get("/login/single-sign-on?next=/gateways")
    assert start.status_code == 303, start.text
    async with httpx.AsyncClient() as network:
        return (await network.get(start.headers["location"])).headers["location"]


async def sign_on(browser: httpx.AsyncClient) -> httpx.Response:
    return await browser.get(await way_there(browser))


async def test_person_of_the_provider_gets_in_with_the_roles_of_their_group(
    browser: httpx.AsyncClient, fleet: Fleet
) -> None:
    assert "Sign in with City ID" in (await browser.get("/login")).text
    answer = await sign_on(browser)
    assert (answer.status_code, answer.headers["location"]) == (303, "/gateways")
    assert "mei" in (await browser.get("/gateways")).text
    account = await fleet.administration.account(ADMIN, "mei")
    assert account.roles == {Role.OPERATOR, Role.VIEWER}
    assert account.signs_in is SignIn.SINGLE_SIGN_ON
    login = (await fleet.audit.records(ADMIN, limit=1))[0].entry
    assert (login.action, dict(login.detail)["way"]) == ("login", "single_sign_on")


async def test_request_carries_what_the_standard_wants(browser: httpx.AsyncClient) -> None:
    start = await browser.get("/login/single-sign-on")
    asked = parse_qs(urlsplit(start.headers["location"]).query)
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["scope"] == ["openid profile groups"]
    assert len(asked["nonce"][0]) >= 43
    assert len(asked["state"][0]) >= 43
    assert "HttpOnly" in start.headers["set-cookie"]


async def test_roles_and_area_follow_the_provider_at_every_sign_in(
    browser: httpx.AsyncClient, fleet: Fleet, provider: Provider
) -> None:
    await sign_on(browser)
    provider.claims["groups"] = ["lighting", "xihu"]
    provider.claims["preferred_username"] = "mei.li"
    await sign_on(browser)
    account = await fleet.administration.account(ADMIN, "mei")
    assert account.roles == {Role.TECHNICIAN}
    assert account.area_code == DISTRICT
    provider.claims["groups"] = ["all"]
    assert (await sign_on(browser)).status_code == 403


@pytest.mark.parametrize("groups", [[], ["all"], "all", None, ["lost"]])
async def test_person_without_a_grant_has_no_role_and_stays_out(
    browser: httpx.AsyncClient, fleet: Fleet, provider: Provider, groups: object
) -> None:
    provider.claims["groups"] = groups
    answer = await sign_on(browser)
    assert answer.status_code == 403
    assert "poleward_session" not in browser.cookies
    assert "mei" not in [one.name for one in await fleet.administration.accounts(ADMIN)]
    assert (await fleet.audit.records(ADMIN, limit=1))[0].entry.action == "login.failed"


async def test_local_account_of_the_same_name_is_not_taken_over(
    browser: httpx.AsyncClient, fleet: Fleet
) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"], password=SECRET)
    answer = await sign_on(browser)
    assert answer.status_code == 409
    await fleet.accounts.login("mei", SECRET, remote="::1")


async def test_another_person_who_got_the_name_does_not_get_the_account(
    browser: httpx.AsyncClient, provider: Provider
) -> None:
    await sign_on(browser)
    provider.claims["sub"] = "0002"
    assert (await sign_on(browser)).status_code == 409


@pytest.mark.parametrize(
    "forged",
    [
        {"iss": "https://evil.example"},
        {"aud": "another client"},
        {"aud": ["poleward", "another client"]},
        {"nonce": "replayed"},
        {"exp": 1},
        {"iat": 9_999_999_999},
        {"sub": None},
    ],
    ids=str,
)
async def test_id_token_that_is_not_for_this_sign_in_is_refused(
    browser: httpx.AsyncClient, provider: Provider, forged: dict[str, object]
) -> None:
    provider.forge = forged
    assert (await sign_on(browser)).status_code == 401
    assert "poleward_session" not in browser.cookies


async def test_new_key_of_the_provider_is_fetched_and_an_old_one_refused(
    browser: httpx.AsyncClient, provider: Provider
) -> None:
    await sign_on(browser)
    old = provider.key
    provider.new_keys()
    assert (await sign_on(browser)).status_code == 303
    provider.key = old
    assert (await sign_on(browser)).status_code == 401


async def test_sign_in_begun_elsewhere_replayed_or_too_old_is_refused(
    browser: httpx.AsyncClient, clock: FakeClock
) -> None:
    back = await way_there(browser)
    browser.cookies.clear()
    assert (await browser.get(back)).status_code == 401
    back = await way_there(browser)
    assert (await browser.get(back)).status_code == 303
    browser.cookies.delete("poleward_session")
    assert (await browser.get(back)).status_code == 401
    back = await way_there(browser)
    clock.pass_ms(PENDING_MS)
    assert (await browser.get(back)).status_code == 401


async def test_refusal_of_the_provider_is_told(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/login/single-sign-on/callback?error=access_denied&state=x")
    assert answer.status_code == 401
    assert "access_denied" in answer.text
    made_up = (await way_there(browser)).split("?")
    state = parse_qs(made_up[1])["state"][0]
    answer = await browser.get(f"{made_up[0]}?code=made-up&state={state}")
    assert answer.status_code == 401
    assert "invalid_grant" in answer.text


async def test_provider_that_is_away_is_told(
    browser: httpx.AsyncClient, provider: Provider
) -> None:
    provider.issuer = "http://127.0.0.1:9"
    assert (await browser.get("/login/single-sign-on")).status_code == 503


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('client_id = "poleward"', "", "no client_id"),
        ('"secret"', '"nowhere"', "cannot be used"),
        ('"technician"', '"king"', "king"),
        ('public_url = "http://127.0.0.1:1"', 'public_url = "http://fleet.example"', "https://"),
        ("[[grants]]", "[[grants", "cannot be used"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, clock: FakeClock, old: str, new: str, complaint: str
) -> None:
    provider = Provider(clock)
    provider.issuer = "https://id.city.example"
    settings_of(provider, tmp_path)
    file = tmp_path / "openid.toml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ConfigurationError, match=complaint):
        load_settings(file)


def test_secret_of_the_client_is_not_in_a_repr(tmp_path: Path, clock: FakeClock) -> None:
    provider = Provider(clock)
    provider.issuer = "https://id.city.example"
    assert CLIENT_SECRET not in repr(settings_of(provider, tmp_path))
