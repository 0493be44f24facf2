"""Who may keep which accounts, and what becomes of their sessions and tokens."""

import pytest

from fleet_rig import ADMIN, CITY, DISTRICT, make_city, manufactured
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.errors import (
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
)

DISTRICT_ADMIN = Principal("dan", frozenset({Role.ADMINISTRATOR}), DISTRICT)
SECRET = "twelve characters"


async def test_account_signs_in_with_the_password_that_was_made(fleet: Fleet) -> None:
    await make_city(fleet)
    made = await fleet.administration.put(ADMIN, "mei", roles=["operator"], area_code=DISTRICT)
    session = await fleet.accounts.login("mei", made, remote="::1")
    assert session.principal == Principal("mei", frozenset({Role.OPERATOR}), DISTRICT)


async def test_replaced_account_is_signed_out(fleet: Fleet) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["operator"], password=SECRET)
    session = await fleet.accounts.login("mei", SECRET, remote="::1")
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"], password=SECRET)
    assert await fleet.accounts.principal_of(session.token) is None


async def test_dropped_account_and_revoked_tokens_are_worthless(fleet: Fleet) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"], password=SECRET)
    first = await fleet.administration.make_api_token(ADMIN, "mei")
    assert (await fleet.accounts.principal_of_api_token(first)).name == "mei"
    assert len(await fleet.administration.revoke_api_tokens(ADMIN, name="mei")) == 1
    with pytest.raises(UnauthenticatedError):
        await fleet.accounts.principal_of_api_token(first)
    second = await fleet.administration.make_api_token(ADMIN, "mei")
    session = await fleet.accounts.login("mei", SECRET, remote="::1")
    await fleet.administration.drop(ADMIN, "mei")
    assert await fleet.accounts.principal_of(session.token) is None
    with pytest.raises(UnauthenticatedError):
        await fleet.accounts.principal_of_api_token(second)


async def test_administrator_of_a_district_keeps_no_account_above_it(fleet: Fleet) -> None:
    await make_city(fleet)
    administration = fleet.administration
    await administration.put(ADMIN, "chief", roles=["viewer"], area_code=CITY)
    with pytest.raises(InvalidError, match="name an area"):
        await administration.put(DISTRICT_ADMIN, "eve", roles=["administrator"])
    with pytest.raises(NotFoundError):
        await administration.put(DISTRICT_ADMIN, "eve", roles=["viewer"], area_code=CITY)
    for attempt in (
        administration.put(DISTRICT_ADMIN, "chief", roles=["viewer"], area_code=DISTRICT),
        administration.drop(DISTRICT_ADMIN, "chief"),
        administration.make_api_token(DISTRICT_ADMIN, "chief"),
        administration.revoke_api_tokens(DISTRICT_ADMIN, name="chief"),
    ):
        with pytest.raises(NotFoundError, match="chief"):
            await attempt
    await administration.put(DISTRICT_ADMIN, "eve", roles=["viewer"], area_code=DISTRICT)
    assert [one.name for one in await administration.accounts(DISTRICT_ADMIN)] == ["eve"]


async def test_nobody_takes_away_their_own_rights(fleet: Fleet) -> None:
    await fleet.accounts.add_account("fleet", ADMIN.name, SECRET, ADMIN.roles)
    with pytest.raises(InvalidError, match="another administrator"):
        await fleet.administration.put(ADMIN, ADMIN.name, roles=["viewer"])
    with pytest.raises(InvalidError, match="another administrator"):
        await fleet.administration.drop(ADMIN, ADMIN.name)


@pytest.mark.parametrize(
    ("name", "roles", "password"),
    [
        ("", ["viewer"], ""),
        ("two words", ["viewer"], ""),
        ("nul\0", ["viewer"], ""),
        ("x" * 65, ["viewer"], ""),
        ("mei", [], ""),
        ("mei", ["king"], ""),
        ("mei", ["viewer"], "short"),
    ],
)
async def test_account_that_makes_no_sense_is_refused(
    fleet: Fleet, name: str, roles: list[str], password: str
) -> None:
    with pytest.raises(InvalidError):
        await fleet.administration.put(ADMIN, name, roles=roles, password=password)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMINISTRATOR])
async def test_only_administrators_keep_accounts(fleet: Fleet, role: Role) -> None:
    with pytest.raises(ForbiddenError):
        await fleet.administration.accounts(Principal("v", frozenset({role})))


async def test_nodes_in_no_pole_are_listed_to_who_may_act_everywhere(fleet: Fleet) -> None:
    await make_city(fleet)
    numbers = await fleet.provisioning.import_nodes(ADMIN, [manufactured(n) for n in (1, 2, 3)])
    listed = await fleet.inventory.list_nodes(ADMIN, limit=2)
    listed += await fleet.inventory.list_nodes(ADMIN, after=listed[-1].number)
    assert [node.number for node in listed] == numbers
    assert {node.pole_code for node in listed} == {""}
    assert await fleet.inventory.list_nodes(DISTRICT_ADMIN) == []
    assert await fleet.inventory.list_nodes(ADMIN, area_code=DISTRICT) == []
