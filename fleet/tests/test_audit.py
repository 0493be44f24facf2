"""Reading the audit record: by whom, filtered, page by page, and told when something is missing."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet_rig import ADMIN, DISTRICT, FakeClock
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.audit import AuditFilter
from poleward_fleet.domain.errors import ForbiddenError, UnauthenticatedError
from poleward_fleet.domain.inventory import Area

SECRET = "twelve characters"


async def found(fleet: Fleet, wanted: AuditFilter) -> list[tuple[str, str, str]]:
    records = await fleet.audit.records(ADMIN, wanted=wanted)
    return [(r.entry.actor, r.entry.action, r.entry.subject) for r in records]


async def test_records_are_found_by_who_what_to_what_and_when(
    fleet: Fleet, clock: FakeClock
) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"], password=SECRET)
    clock.pass_ms(1000)
    with pytest.raises(UnauthenticatedError):
        await fleet.accounts.login("mei", "wrong", remote="10.0.0.9")
    clock.pass_ms(1000)
    session = await fleet.accounts.login("mei", SECRET, remote="10.0.0.9")
    await fleet.accounts.logout(session.principal, session.token)
    assert await found(fleet, AuditFilter(actor="mei")) == [
        ("mei", "logout", "mei"),
        ("mei", "login", "mei"),
    ]
    assert await found(fleet, AuditFilter(action="login")) == [
        ("mei", "login", "mei"),
        ("?", "login.failed", "mei"),
    ]
    assert await found(fleet, AuditFilter(action="log")) == []
    assert len(await found(fleet, AuditFilter(subject="me"))) == 4
    moment = AuditFilter(from_ms=clock.now - 1000, to_ms=clock.now)
    assert await found(fleet, moment) == [("?", "login.failed", "mei")]
    assert await found(fleet, AuditFilter(actor="' OR 1=1 --")) == []


async def test_changed_account_is_recorded_with_what_it_was_before(fleet: Fleet) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"], password=SECRET)
    await fleet.administration.put(ADMIN, "mei", roles=["operator"], area_code=DISTRICT)
    detail = dict((await fleet.audit.records(ADMIN, limit=1))[0].entry.detail)
    assert (detail["from_roles"], detail["roles"]) == ("viewer", "operator")
    assert (detail["from_area"], detail["area"]) == ("", DISTRICT)
    assert SECRET not in str(detail)


async def test_export_goes_through_every_page_in_order(fleet: Fleet, engine: AsyncEngine) -> None:
    for number in range(3):
        await fleet.inventory.create_areas(ADMIN, [Area(f"44000000000{number}", "x")])
    numbers = [
        record.number
        async for page in fleet.audit.export(ADMIN, wanted=AuditFilter(action="area"))
        for record in page
    ]
    assert numbers == sorted(numbers)
    assert len(numbers) == 4


async def test_record_covers_everywhere_and_is_read_by_who_may_act_everywhere(
    fleet: Fleet,
) -> None:
    for reader in (
        Principal("v", frozenset({Role.VIEWER})),
        Principal("d", frozenset({Role.ADMINISTRATOR}), DISTRICT),
    ):
        with pytest.raises(ForbiddenError):
            await fleet.audit.records(reader)
        with pytest.raises(ForbiddenError):
            await fleet.audit.check(reader)
        with pytest.raises(ForbiddenError):
            await anext(fleet.audit.export(reader))


async def test_records_cut_off_the_end_are_missed_by_whoever_noted_the_newest(
    fleet: Fleet, engine: AsyncEngine
) -> None:
    await fleet.administration.put(ADMIN, "mei", roles=["viewer"])
    noted = await fleet.audit.check(ADMIN)
    assert await fleet.audit.holds(ADMIN, noted.records, noted.newest)
    async with engine.begin() as connection:
        await connection.execute(
            text("DELETE FROM audit WHERE number = :number"), {"number": noted.records}
        )
    assert (await fleet.audit.check(ADMIN)).broken is None
    assert not await fleet.audit.holds(ADMIN, noted.records, noted.newest)
