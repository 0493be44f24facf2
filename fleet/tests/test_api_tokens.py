"""What API tokens and sessions are good for, how long, and who may make and end them."""

import pytest

from fleet_rig import ADMIN, DISTRICT, OTHER_DISTRICT, FakeClock
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Permission, Principal, Role, SignIn
from poleward_fleet.domain.api_tokens import DAY_MS
from poleward_fleet.domain.errors import (
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TooManyAttemptsError,
    UnauthenticatedError,
)

SECRET = "twelve characters"
DISTRICT_ADMIN = Principal("dan", frozenset({Role.ADMINISTRATOR}), DISTRICT)


async def test_token_does_what_both_its_scopes_and_the_roles_allow(fleet: Fleet) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["operator"], password=SECRET)
    token = await fleet.administration.make_api_token(ADMIN, "mei", scopes=["see"])
    reader = await fleet.accounts.principal_of_api_token(token)
    assert reader.permissions == {Permission.SEE}
    with pytest.raises(ForbiddenError, match="token of mei is not for command"):
        reader.require(Permission.COMMAND)
    full = await fleet.administration.make_api_token(ADMIN, "mei")
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"])
    assert (await fleet.accounts.principal_of_api_token(full)).permissions == {Permission.SEE}
    await fleet.administration.put(ADMIN, "mei", roles=["administrator"])
    wider = await fleet.accounts.principal_of_api_token(full)
    assert wider.permissions == {Permission.SEE, Permission.COMMAND}


async def test_token_ends_by_itself(fleet: Fleet, clock: FakeClock) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"])
    token = await fleet.administration.make_api_token(ADMIN, "mei", valid_days=2)
    clock.pass_ms(2 * DAY_MS - 1)
    assert (await fleet.accounts.principal_of_api_token(token)).name == "mei"
    clock.pass_ms(1)
    with pytest.raises(UnauthenticatedError):
        await fleet.accounts.principal_of_api_token(token)
    assert await fleet.administration.api_tokens(ADMIN) == []


async def test_token_makes_no_more_calls_than_it_is_good_for(
    fleet: Fleet, clock: FakeClock
) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"])
    token = await fleet.administration.make_api_token(ADMIN, "mei", calls_per_s=5)
    other = await fleet.administration.make_api_token(ADMIN, "mei", calls_per_s=5)
    for _ in range(10):
        await fleet.accounts.principal_of_api_token(token)
    with pytest.raises(TooManyAttemptsError, match="5 calls a second"):
        await fleet.accounts.principal_of_api_token(token)
    await fleet.accounts.principal_of_api_token(other)
    clock.pass_ms(200)
    await fleet.accounts.principal_of_api_token(token)


async def test_tokens_are_listed_with_their_use_and_revoked_one_by_one(
    fleet: Fleet, clock: FakeClock
) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"])
    kept = await fleet.administration.make_api_token(ADMIN, "mei", label="wall screen")
    lost = await fleet.administration.make_api_token(ADMIN, "mei")
    clock.pass_ms(3_600_000)
    await fleet.accounts.principal_of_api_token(kept)
    listed = await fleet.administration.api_tokens(ADMIN, "mei")
    assert [(one.label, one.used_at_ms) for one in listed] == [("wall screen", clock.now), ("", 0)]
    await fleet.administration.revoke_api_tokens(ADMIN, number=listed[1].number)
    assert (await fleet.accounts.principal_of_api_token(kept)).name == "mei"
    with pytest.raises(UnauthenticatedError):
        await fleet.accounts.principal_of_api_token(lost)
    with pytest.raises(NotFoundError):
        await fleet.administration.revoke_api_tokens(ADMIN, number=listed[1].number)


@pytest.mark.parametrize(
    ("wish", "refusal"),
    [
        ({"scopes": ["fly"]}, InvalidError),
        ({"scopes": ["command"]}, InvalidError),
        ({"valid_days": 367}, InvalidError),
        ({"calls_per_s": -1}, InvalidError),
        ({"label": "two\nlines"}, InvalidError),
        ({"label": "x" * 101}, InvalidError),
    ],
)
async def test_token_that_makes_no_sense_is_refused(
    fleet: Fleet, wish: dict[str, object], refusal: type[Exception]
) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"])
    with pytest.raises(refusal):
        await fleet.administration.make_api_token(ADMIN, "mei", **wish)  # type: ignore[arg-type]


async def test_token_made_for_another_never_approves_in_their_name(fleet: Fleet) -> None:
    await fleet.administration.put(ADMIN, "rae", roles=["release_manager"], password=SECRET)
    token = await fleet.administration.make_api_token(ADMIN, "rae")
    assert not (await fleet.accounts.principal_of_api_token(token)).may(Permission.APPROVE)
    with pytest.raises(ForbiddenError, match="only rae"):
        await fleet.administration.make_api_token(ADMIN, "rae", scopes=["approve"])
    rae = (await fleet.accounts.login("rae", SECRET, remote="::1")).principal
    own = await fleet.own_account.make_api_token(rae, label="", scopes=["approve"], valid_days=1)
    assert (await fleet.accounts.principal_of_api_token(own)).may(Permission.APPROVE)


async def test_nobody_gives_what_they_do_not_have(fleet: Fleet) -> None:
    keeper = Principal(
        "k",
        frozenset({Role.ADMINISTRATOR}),
        scopes=frozenset({Permission.MANAGE_ACCOUNTS, Permission.SEE}),
    )
    await fleet.administration.put(keeper, "mei", roles=["viewer"])
    with pytest.raises(ForbiddenError, match="do not have"):
        await fleet.administration.put(keeper, "eve", roles=["administrator"])
    await fleet.administration.put(ADMIN, "op", roles=["operator"])
    token = await fleet.administration.make_api_token(keeper, "op")
    assert (await fleet.accounts.principal_of_api_token(token)).permissions == {Permission.SEE}


async def test_token_cannot_make_a_token_of_its_own(fleet: Fleet) -> None:
    with pytest.raises(ForbiddenError, match="sign in"):
        await fleet.own_account.make_api_token(
            Principal("mei", frozenset({Role.VIEWER}), scopes=frozenset({Permission.SEE})),
            label="",
            scopes=[],
            valid_days=1,
        )


async def test_integrator_has_tokens_and_nobody_signs_in_with_it(fleet: Fleet) -> None:
    assert await fleet.administration.put(ADMIN, "city-api", roles=["integrator"]) == ""
    account = await fleet.administration.account(ADMIN, "city-api")
    assert account.signs_in is SignIn.NEVER
    for password in ("", SECRET):
        with pytest.raises(UnauthenticatedError):
            await fleet.accounts.login("city-api", password, remote="::1")
    with pytest.raises(InvalidError, match="never signs in"):
        await fleet.administration.put(ADMIN, "city-api", roles=["integrator"], password=SECRET)
    token = await fleet.administration.make_api_token(ADMIN, "city-api")
    assert (await fleet.accounts.principal_of_api_token(token)).permissions == {Permission.SEE}


async def test_changed_account_keeps_its_password_unless_a_new_one_is_asked_for(
    fleet: Fleet,
) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"], password=SECRET)
    assert await fleet.administration.put(ADMIN, "mei", roles=["operator"]) == ""
    await fleet.accounts.login("mei", SECRET, remote="::1")
    made = await fleet.administration.put(ADMIN, "mei", roles=["operator"], new_password=True)
    with pytest.raises(UnauthenticatedError):
        await fleet.accounts.login("mei", SECRET, remote="::1")
    await fleet.accounts.login("mei", made, remote="::1")


async def test_sessions_are_listed_and_ended_by_whoever_keeps_the_account(
    fleet: Fleet, clock: FakeClock
) -> None:
    await fleet.administration.put(
        ADMIN, "mei", roles=["viewer"], area_code=DISTRICT, password=SECRET
    )
    await fleet.administration.put(
        ADMIN, "oto", roles=["viewer"], area_code=OTHER_DISTRICT, password=SECRET
    )
    session = await fleet.accounts.login("mei", SECRET, remote="10.0.0.7", agent="Browser\n1")
    await fleet.accounts.login("oto", SECRET, remote="10.0.0.8")
    clock.pass_ms(120_000)
    await fleet.accounts.principal_of(session.token)
    listed = await fleet.administration.sessions(DISTRICT_ADMIN)
    assert [(s.account_name, s.remote, s.agent) for s in listed] == [
        ("mei", "10.0.0.7", "Browser1")
    ]
    assert listed[0].seen_at_ms == clock.now
    others = await fleet.administration.sessions(ADMIN, "oto")
    with pytest.raises(NotFoundError):
        await fleet.administration.end_session(DISTRICT_ADMIN, others[0].number)
    await fleet.administration.end_session(DISTRICT_ADMIN, listed[0].number)
    assert await fleet.accounts.principal_of(session.token) is None


async def test_people_keep_their_own_password_sessions_and_tokens(fleet: Fleet) -> None:
    own = fleet.own_account
    for name in ("mei", "oto"):
        await fleet.administration.put(ADMIN, name, roles=["viewer"], password=SECRET)
    first = await fleet.accounts.login("mei", SECRET, remote="::1")
    mei = first.principal
    await fleet.accounts.login("oto", SECRET, remote="::1")
    theirs = (await fleet.administration.sessions(ADMIN, "oto"))[0].number
    with pytest.raises(NotFoundError):
        await own.end_session(mei, theirs)
    await fleet.administration.make_api_token(ADMIN, "oto")
    with pytest.raises(NotFoundError):
        await own.revoke_api_token(
            mei, (await fleet.administration.api_tokens(ADMIN, "oto"))[0].number
        )
    token = await own.make_api_token(mei, label="phone", scopes=[], valid_days=1)
    await own.revoke_api_token(mei, (await own.api_tokens(mei))[0].number)
    with pytest.raises(UnauthenticatedError):
        await fleet.accounts.principal_of_api_token(token)
    with pytest.raises(InvalidError, match="12 characters"):
        await own.change_password(mei, SECRET, "short")
    with pytest.raises(UnauthenticatedError):
        await own.change_password(mei, "wrong", "another password")
    await own.change_password(mei, SECRET, "another password")
    assert await fleet.accounts.principal_of(first.token) is None
    await fleet.accounts.login("mei", "another password", remote="::1")


async def test_old_password_cannot_be_guessed_in_a_stolen_session(fleet: Fleet) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"], password=SECRET)
    mei = Principal("mei", frozenset({Role.VIEWER}))
    for _ in range(5):
        with pytest.raises(UnauthenticatedError):
            await fleet.own_account.change_password(mei, "guess", "another password")
    with pytest.raises(TooManyAttemptsError):
        await fleet.own_account.change_password(mei, SECRET, "another password")
