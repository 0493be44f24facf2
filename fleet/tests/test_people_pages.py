"""The pages about people and tables on the fleet's own services, as browsers ask for them."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from release_builders import KEY, publish

from fleet_rig import ADMIN, CITY, DISTRICT, FakeClock
from poleward_fleet.adapters.web.app import create_app
from poleward_fleet.adapters.web.texts import TEXTS
from poleward_fleet.assembly import Fleet, people_services, web_services
from poleward_fleet.domain.accounts import Permission, Principal, Role, SignIn
from poleward_fleet.domain.approvals import ApprovalNeededError, ApprovalState, GuardedAction
from poleward_fleet.domain.trust import RENEWAL_MS
from poleward_manifest import trust
from poleward_manifest.signatures import key_id, public_bytes
from poleward_manifest.trust import Role as KeyRole
from poleward_manifest.trust import TrustDocument

SECRET = "twelve characters"
HEAD = "code,area_code,latitude_deg,longitude_deg,lamp_nominal_w\n"
PATHS = (
    "/account",
    "/people",
    "/people/mei",
    "/approvals",
    "/tables",
    "/audit",
    "/keys",
    "/components",
)


@pytest.fixture
async def site(fleet: Fleet, clock: FakeClock) -> httpx.ASGITransport:
    await fleet.accounts.add_account("fleet", "chief", SECRET, frozenset({Role.ADMINISTRATOR}))
    await fleet.administration.put(
        ADMIN, "mei", roles=["viewer"], area_code=DISTRICT, password=SECRET
    )
    return httpx.ASGITransport(
        app=create_app(web_services(fleet, {}), now_ms=clock.now_ms, people=people_services(fleet))
    )


class Browser:
    """A signed-in browser that fills in forms."""

    def __init__(self, client: httpx.AsyncClient, csrf: str) -> None:
        self.client = client
        self.csrf = csrf

    async def get(self, path: str, language: str = "en") -> httpx.Response:
        return await self.client.get(path, headers={"accept-language": language})

    async def post(self, path: str, language: str = "en", **fields: object) -> httpx.Response:
        return await self.client.post(
            path, data={"csrf": self.csrf, **fields}, headers={"accept-language": language}
        )


async def signed_in(site: httpx.ASGITransport, fleet: Fleet, name: str) -> Browser:
    session = await fleet.accounts.login(name, SECRET, remote="10.0.0.7", agent="Test browser")
    client = httpx.AsyncClient(
        transport=site, base_url="http://fleet.test", cookies={"poleward_session": session.token}
    )
    page = await client.get("/gateways")
    return Browser(client, page.text.split('<meta name="csrf" content="')[1].split('"')[0])


@pytest.fixture
async def chief(site: httpx.ASGITransport, fleet: Fleet) -> AsyncIterator[Browser]:
    browser = await signed_in(site, fleet, "chief")
    yield browser
    await browser.client.aclose()


@pytest.fixture
async def mei(site: httpx.ASGITransport, fleet: Fleet) -> AsyncIterator[Browser]:
    browser = await signed_in(site, fleet, "mei")
    yield browser
    await browser.client.aclose()


def secret_on(page: httpx.Response) -> str:
    return page.text.split('<output class="secret">')[1].split("<")[0]


@pytest.mark.parametrize("path", PATHS)
async def test_page_speaks_both_languages_without_inline_scripts(chief: Browser, path: str) -> None:
    for language in ("en", "zh-CN"):
        answer = await chief.get(path, language)
        assert answer.status_code == 200
        assert ("我的账户" in answer.text) == (language == "zh-CN")
        assert not re.search(r"<script(?![^>]*(src=|application/json))", answer.text)
        assert not re.search(r"<[^>]+\s(style|on\w+)=", answer.text)


@pytest.mark.parametrize(
    ("prefix", "kind"),
    [
        ("role", Role),
        ("permission", Permission),
        ("approval", ApprovalState),
        ("signs_in", SignIn),
    ],
)
def test_every_value_has_words(prefix: str, kind: type[Role]) -> None:
    assert {f"{prefix}.{one.value}" for one in kind} <= set(TEXTS)


async def test_person_without_the_right_sees_no_link_and_gets_no_page(mei: Browser) -> None:
    page = (await mei.get("/account")).text
    assert 'href="/people"' not in page
    assert 'href="/approvals"' not in page
    assert (await mei.get("/people")).status_code == 403
    assert (await mei.post("/people", name="eve", role="administrator")).status_code == 403
    assert (await mei.get("/people/chief")).status_code == 403
    assert "Import</h2>" not in (await mei.get("/tables")).text
    assert (await mei.get("/tables/accounts.csv")).status_code == 403


async def test_account_is_added_changed_and_removed(chief: Browser, fleet: Fleet) -> None:
    page = await chief.post("/people", name="oto", role=["operator", "technician"], area=DISTRICT)
    session = await fleet.accounts.login("oto", secret_on(page), remote="::1")
    assert session.principal.roles == {Role.OPERATOR, Role.TECHNICIAN}
    assert session.principal.area_code == DISTRICT
    page = await chief.post("/people/oto", role="viewer", area=CITY)
    assert 'class="secret"' not in page.text
    assert await fleet.accounts.principal_of(session.token) is None
    page = await chief.post("/people/oto", role="viewer", area=CITY, new_password="yes")
    await fleet.accounts.login("oto", secret_on(page), remote="::1")
    assert (await chief.post("/people/oto", area=CITY)).status_code == 400
    assert (await chief.post("/people/nobody", role="viewer")).status_code == 404
    assert (await chief.post("/people/chief", role="viewer")).status_code == 400
    assert (await chief.post("/people/oto/drop")).headers["location"] == "/people"
    assert "oto" not in (await chief.get("/people")).text


async def test_token_is_made_shown_once_and_revoked(chief: Browser, fleet: Fleet) -> None:
    page = await chief.post(
        "/people/mei/tokens", label="<b>wall</b>", scope="see", days="3", calls_per_s="5"
    )
    token = secret_on(page)
    assert (await fleet.accounts.principal_of_api_token(token)).permissions == {Permission.SEE}
    again = await chief.get("/people/mei")
    assert token not in again.text
    assert "&lt;b&gt;wall" in again.text
    (known,) = await fleet.administration.api_tokens(ADMIN, "mei")
    await chief.post(f"/people/mei/tokens/{known.number}/revoke")
    assert await fleet.administration.api_tokens(ADMIN, "mei") == []
    assert (await chief.post("/people/mei/tokens", days="x")).status_code == 400


async def test_people_keep_their_own_account(mei: Browser, fleet: Fleet) -> None:
    token = secret_on(await mei.post("/account/tokens", label="phone", scope="see", days="1"))
    assert (await fleet.accounts.principal_of_api_token(token)).name == "mei"
    (known,) = await fleet.administration.api_tokens(ADMIN, "mei")
    await mei.post(f"/account/tokens/{known.number}/revoke")
    assert await fleet.administration.api_tokens(ADMIN, "mei") == []
    assert "Test browser" in (await mei.get("/account")).text
    wrong = await mei.post("/account/password", old="wrong", new="another password")
    assert wrong.status_code == 401
    done = await mei.post("/account/password", old=SECRET, new="another password")
    assert done.headers["location"] == "/login?changed=true"
    assert (await mei.get("/account")).status_code == 303
    assert "is changed" in (await mei.get("/login?changed=true")).text


async def test_session_is_ended_from_the_page(chief: Browser, mei: Browser, fleet: Fleet) -> None:
    (session,) = await fleet.administration.sessions(ADMIN, "mei")
    await chief.post(f"/people/mei/sessions/{session.number}/end")
    assert (await mei.get("/account")).status_code == 303


async def test_second_person_decides_on_the_page(
    chief: Browser, mei: Browser, fleet: Fleet
) -> None:
    officer = Principal("olga", frozenset({Role.SECURITY_OFFICER}))
    revoke = GuardedAction(
        "release_key.revoke", "key-1", Permission.TRUST_KEYS, detail=(("why", "lost"),)
    )
    with pytest.raises(ApprovalNeededError) as needed:
        await fleet.approvals.require(officer, revoke)
    number = needed.value.approval.number
    page = (await chief.get("/approvals")).text
    assert "key-1" in page
    assert 'value="approve"' in page
    assert "key-1" not in (await mei.get("/approvals")).text
    assert (await mei.post(f"/approvals/{number}", decision="approve")).status_code == 404
    assert (await chief.post(f"/approvals/{number}", decision="dance")).status_code == 400
    await chief.post(f"/approvals/{number}", decision="approve", reason="seen it")
    page = (await chief.get("/approvals")).text
    assert "seen it" in page
    assert 'value="approve"' not in page
    await fleet.approvals.require(officer, revoke)
    assert (await chief.post(f"/approvals/{number}", decision="reject")).status_code == 409


async def test_table_is_checked_and_imported_on_the_page(chief: Browser, fleet: Fleet) -> None:
    async def send(text: str, do: str, language: str = "en") -> str:
        answer = await chief.client.post(
            "/tables",
            data={"csrf": chief.csrf, "table": "poles", "do": do},
            files={"file": ("poles.csv", text.encode())},
            headers={"accept-language": language},
        )
        assert answer.status_code == 200, answer.text
        return answer.text

    bad = await send(f"{HEAD}P-1,{DISTRICT},north,120,60\n", "import")
    assert "line 2" in bad
    assert "latitude_deg &#39;north&#39; is no number" in bad
    twice = f"{HEAD}P-1,{DISTRICT},30,120,60\nP-1,{DISTRICT},30,120,60\n"
    bad = await send(twice, "import", "zh-CN")
    assert "第 3 行" in bad
    assert "P-1 在第 2 行已出现" in bad
    good = f"{HEAD}P-1,{DISTRICT},30,120,60\n" + "".join(
        f"P-{n},{DISTRICT},30,120,60\n" for n in range(2, 4000)
    )
    assert "would go through" in await send(good, "check")
    assert await fleet.inventory.list_poles(ADMIN) == []
    assert "Imported." in await send(good, "import")
    assert "Nothing to do" in await send(good, "import")
    empty = await chief.client.post("/tables", data={"csrf": chief.csrf, "table": "poles"})
    assert empty.status_code == 400
    table = await chief.get("/tables/poles.csv")
    assert len(table.text.splitlines()) == 4000
    assert (await chief.get("/tables/poles.geojson")).json()["type"] == "FeatureCollection"
    assert (await chief.get("/tables/nodes.geojson")).status_code == 400
    assert (await chief.get("/tables/kings.csv")).status_code == 404


async def test_table_of_nobody_is_not_looked_at(site: httpx.ASGITransport) -> None:
    async with httpx.AsyncClient(transport=site, base_url="http://fleet.test") as visitor:
        answer = await visitor.post("/tables", files={"file": ("x.csv", b"x" * 100_000)})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")
        answer = await visitor.post("/account", files={"file": ("x.csv", b"x" * 100_000)})
        assert answer.status_code == 413


async def test_form_without_its_token_changes_nothing(chief: Browser, fleet: Fleet) -> None:
    for path in ("/people", "/people/mei/drop", "/account/tokens", "/approvals/1", "/tables"):
        assert (await chief.client.post(path, data={"name": "x"})).status_code == 403
    assert len(await fleet.administration.accounts(ADMIN)) == 2


async def test_a_key_is_revoked_on_the_page_once_a_second_person_agreed(
    chief: Browser, mei: Browser, fleet: Fleet
) -> None:
    await publish(fleet)
    (key,) = (await fleet.trust.trust(ADMIN)).keys
    path = f"/keys/{key.key_id.hex()}/revoke"
    assert path in (await chief.get("/keys")).text
    assert path not in (await mei.get("/keys")).text
    assert (await mei.post(path, reason="lost")).status_code == 403
    assert (await chief.post(path, reason=" ")).status_code == 400
    assert (await chief.post("/keys/xyz/revoke", reason="lost")).status_code == 400
    asked = await chief.post(path, reason="lost")
    assert (asked.status_code, asked.headers["location"]) == (303, "/approvals")
    officer = Principal("olga", frozenset({Role.SECURITY_OFFICER}))
    (approval,) = await fleet.approvals.approvals(officer)
    await fleet.approvals.approve(officer, approval.number)
    done = await chief.post(path, reason="lost")
    assert (done.status_code, done.headers["location"]) == (303, "/keys")
    page = (await chief.get("/keys")).text
    assert "revoked by chief" in page
    assert path not in page


@pytest.mark.parametrize(
    ("path", "fields", "english", "chinese"),
    [
        ("/people", {"name": "oto"}, "roles Viewer, Operator, ", "查看者、运行值班员、"),
        ("/people", {"name": "a b", "role": "viewer"}, "without spaces", "不含空格"),
        ("/people/chief", {"role": "viewer"}, "another administrator", "其他管理员"),
        ("/people/nobody/drop", {}, "account nobody does not exist", "账户 nobody 不存在"),
        ("/people/mei/tokens", {"scope": "roll_out"}, "may not roll out", "没有以下权限：下发升级"),
        ("/people/mei/tokens", {"days": "9999"}, "1 to 366 days", "1 至 366 天"),
        ("/account/tokens/9/revoke", {}, "API token 9 does not exist", "API 令牌 9 不存在"),
        ("/account/password", {"old": "x", "new": "short"}, "at least 12", "至少 12 个字符"),
        ("/approvals/9", {"decision": "approve"}, "request 9 does not exist", "申请 9 不存在"),
        ("/tables", {"table": "poles"}, "choose a file first", "请先选择文件"),
        ("/keys/0000000000000000/revoke", {"reason": "lost"}, "no release key", "没有签名密钥"),
    ],
)
async def test_refusal_is_said_in_both_languages(
    chief: Browser, path: str, fields: dict[str, object], english: str, chinese: str
) -> None:
    for language, words in (("en", english), ("zh-CN", chinese)):
        answer = await chief.post(path, language, **fields)
        assert answer.status_code in (400, 404)
        assert words in answer.text


async def test_what_nobody_may_is_said_with_the_roles_that_may(mei: Browser) -> None:
    page = await mei.get("/people", "zh-CN")
    assert "mei 没有“管理账户”的权限，需要以下角色之一：系统管理员" in page.text
    for _ in range(5):
        await mei.post("/account/password", old="wrong", new="another password")
    locked = await mei.post("/account/password", "zh-CN", old="wrong", new="another password")
    assert "秒后重试" in locked.text


async def test_who_runs_a_component_is_asked_on_the_page(chief: Browser, fleet: Fleet) -> None:
    await publish(fleet)
    page = (await chief.get("/components?component=mpy-cross&below=1.27")).text
    assert "0 nodes run mpy-cross below 1.27." in page
    assert (await chief.get("/components?component=x&below=soon")).status_code == 400
    assert 'href="/components"' in (await chief.get("/releases")).text


async def test_keys_page_tells_who_may_sign_what_and_which_releases_each_key_signed(
    site: httpx.ASGITransport, chief: Browser, mei: Browser, fleet: Fleet, clock: FakeClock
) -> None:
    release = await publish(fleet)
    (key,) = (await fleet.trust.trust(ADMIN)).keys
    page = (await chief.get("/keys")).text
    assert "There is no trust document yet" in page
    assert "1 of 1 sign a release" in page
    row = page.split(f'id="key-{key.key_id.hex()}"')[1].split("</tr>")[0]
    assert f'href="/releases/{release.digest.hex()}"' in row
    own = []
    for _ in range(3):
        own.append(await fleet.trust.make_directive_key(ADMIN))
        clock.pass_ms(1)
    foreign, root = (Ed25519PrivateKey.generate() for _ in range(2))
    directors = (own[0].public_key, own[1].public_key, public_bytes(foreign))
    document = TrustDocument(
        1,
        (clock.now_ms() + RENEWAL_MS) // 1000 + 1,
        KeyRole((public_bytes(root),), 1),
        KeyRole((public_bytes(KEY), public_bytes(foreign)), 1),
        KeyRole(directors, 1),
    )
    await fleet.trust.publish(ADMIN, trust.sign(document, [root, KEY]))
    page = (await mei.get("/keys")).text
    for words in (
        "Trust document 1", "in 60 days", "1 of 2 sign a release",
        "1 of 3 sign what a node shall install", "1 of 1 sign the next document",
        key_id(public_bytes(root)).hex(),
    ):  # fmt: skip
        assert words in page
    for one, state in zip(
        (*directors, own[2].public_key),
        ("signs now", "named, waits", "not of this fleet", "no document names it"),
        strict=True,
    ):
        row = page.split("Directive keys")[1].split(key_id(one).hex())[1].split("</tr>")[0]
        assert state in row
    assert "keys rotate" not in page
    clock.pass_ms(2_000)
    assert "expires in 59 days" in (await mei.get("/releases")).text
    assert "将在 59 天后到期" in (await chief.get("/rollouts/new", "zh-CN")).text
    clock.pass_ms(RENEWAL_MS)
    later = await signed_in(site, fleet, "mei")
    assert "has expired" in (await later.get("/keys")).text
    await later.client.aclose()
