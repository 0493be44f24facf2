"""Use cases: rights by role and area, commissioning, commands, logins, live updates."""

import asyncio
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fleet_rig import (
    ADMIN,
    CITY,
    DISTRICT,
    OTHER_DISTRICT,
    FakeClock,
    columns,
    hello,
    make_csr,
    make_gateway,
    make_poles,
    manufactured,
)
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.commands import CommandStatus
from poleward_fleet.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TooManyAttemptsError,
    UnauthenticatedError,
)
from poleward_fleet.domain.identity import NodeTask, StationPermit
from poleward_fleet.domain.inventory import Area, LifeState, Pole
from poleward_fleet.domain.rollout_policy import Policy, Target
from poleward_fleet.ports.alarms import Judgement
from poleward_fleet.ports.telemetry import SpooledReports
from poleward_fleet.services.accounts import LOCK_MS, MAX_FAILURES, SESSION_MS
from poleward_fleet.services.ingest import MAX_GROUPS_AT_ONCE


def somebody(role: Role, area: str = "") -> Principal:
    return Principal("somebody", frozenset({role}), area)


async def test_rights_end_at_the_subtree(fleet: Fleet) -> None:
    await make_gateway(fleet)
    await make_poles(fleet, 1)
    await make_poles(fleet, 1, first=9, area=OTHER_DISTRICT)
    operator = somebody(Role.OPERATOR, OTHER_DISTRICT)
    assert [m.code for m in await fleet.inventory.markers(operator)] == ["P-9"]
    assert [a.code for a in await fleet.inventory.areas(operator)] == [OTHER_DISTRICT]
    assert await fleet.inventory.gateways(operator) == []
    with pytest.raises(NotFoundError):
        await fleet.inventory.pole_detail(operator, "P-1")
    with pytest.raises(NotFoundError):
        await fleet.commands.set_lamp(operator, "P-1", level_percent=0)
    with pytest.raises(NotFoundError):
        await fleet.inventory.markers(operator, area_code=DISTRICT)
    assert len(await fleet.inventory.markers(somebody(Role.VIEWER, CITY))) == 2


async def test_viewer_changes_nothing(fleet: Fleet) -> None:
    await make_gateway(fleet)
    await make_poles(fleet, 1)
    viewer = somebody(Role.VIEWER)
    with pytest.raises(ForbiddenError):
        await fleet.commands.set_lamp(viewer, "P-1", level_percent=0)
    with pytest.raises(ForbiddenError):
        await fleet.inventory.import_poles(viewer, [])
    with pytest.raises(ForbiddenError):
        await fleet.releases.publish(viewer, b"", "")
    with pytest.raises(ForbiddenError):
        await fleet.rollouts.create(viewer, bytes(32), Target(), Policy())
    with pytest.raises(ForbiddenError):
        await fleet.audit.records(viewer)


async def test_import_of_poles_is_all_or_nothing(fleet: Fleet) -> None:
    good = Pole("P-1", DISTRICT, 30, 120, ("lamp",), 60)
    for bad, reason in (
        (Pole("P-2", "999999999999", 30, 120), "area"),
        (Pole("P-2", DISTRICT, 91, 120), "latitude"),
        (Pole("P-2", DISTRICT, float("nan"), 120), "no place"),
        (Pole("P 2", DISTRICT, 30, 120), "printable"),
        (Pole("P-1", DISTRICT, 30, 120), "twice"),
    ):
        with pytest.raises(InvalidError, match=reason):
            await fleet.inventory.import_poles(ADMIN, [good, bad])
    assert await fleet.inventory.list_poles(ADMIN) == []
    assert await fleet.inventory.import_poles(ADMIN, [good]) == (1, 0)
    assert await fleet.inventory.import_poles(ADMIN, [good]) == (0, 1)
    (view,) = await fleet.inventory.list_poles(ADMIN)
    assert view.pole == good


async def test_areas_need_their_parents(fleet: Fleet) -> None:
    with pytest.raises(InvalidError, match="the parent of an area does not exist"):
        await fleet.inventory.create_areas(ADMIN, [Area("330199000000", "x", "999999999999")])
    with pytest.raises(InvalidError, match="12 digits"):
        await fleet.inventory.create_areas(ADMIN, [Area("12", "x")])


async def test_texts_that_postgresql_cannot_hold_are_the_callers_fault(fleet: Fleet) -> None:
    with pytest.raises(InvalidError, match="cannot be stored"):
        await fleet.inventory.create_areas(ADMIN, [Area(CITY, "nul \x00 in it")])
    with pytest.raises(InvalidError, match="cannot be stored"):
        await fleet.inventory.import_poles(
            ADMIN, [Pole("P-1", DISTRICT, 30, 120, lamp_nominal_w=1 << 40)]
        )


async def test_same_node_row_again_is_fine_and_another_secret_is_not(fleet: Fleet) -> None:
    rows = [manufactured(n) for n in range(1, 4)]
    numbers = await fleet.provisioning.import_nodes(ADMIN, rows)
    assert await fleet.provisioning.import_nodes(ADMIN, [rows[2], rows[0]]) == [
        numbers[2],
        numbers[0],
    ]
    other = manufactured(9)
    fake = type(other)(rows[0].mac, bytes(16), bytes(8), other.claim_code_hash)
    with pytest.raises(ConflictError, match="another secret"):
        await fleet.provisioning.import_nodes(ADMIN, [manufactured(8), fake])
    assert await fleet.provisioning.import_nodes(ADMIN, [manufactured(8)]) != []


def permit_for(
    quota: int, *, key: bytes = b"\x01" * 32, expires_at_ms: int = 1_800_000_060_000
) -> StationPermit:
    return StationPermit(key, "bench", quota, expires_at_ms)


async def test_quota_of_a_station_holds_over_all_its_imports(fleet: Fleet) -> None:
    rows = [manufactured(n) for n in range(1, 6)]
    take = fleet.provisioning.import_nodes
    numbers = await take(ADMIN, rows[:2], permit_for(3))
    assert await take(ADMIN, rows[:2], permit_for(3)) == numbers
    with pytest.raises(ConflictError, match="would have 4 nodes in the fleet; its permit is for 3"):
        await take(ADMIN, rows[:4], permit_for(3))
    # Nothing of what was refused is there, and nothing of it was counted.
    await take(ADMIN, rows[1:3], permit_for(3))
    with pytest.raises(ConflictError, match="would have 4"):
        await take(ADMIN, rows[3:4], permit_for(3))
    # Another station has a count of its own, and a new permit goes on where the old one ended.
    await take(ADMIN, rows[3:4], permit_for(1, key=b"\x02" * 32))
    await take(ADMIN, rows[4:5], permit_for(4))


async def test_imports_of_one_station_at_the_same_moment_do_not_exceed_its_quota(
    fleet: Fleet,
) -> None:
    outcomes = await asyncio.gather(
        *(fleet.provisioning.import_nodes(ADMIN, [manufactured(n)], permit_for(3))
          for n in range(1, 7)),
        return_exceptions=True,
    )  # fmt: skip
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, list) for outcome in outcomes) == 3


async def test_permit_that_is_over_or_makes_no_sense_is_refused(
    fleet: Fleet, clock: FakeClock
) -> None:
    rows = [manufactured(1)]
    for bad, reason in (
        (permit_for(1, key=b"short"), "32 bytes"),
        (StationPermit(b"\x01" * 32, "", 1, clock.now), "no name"),
    ):
        with pytest.raises(InvalidError, match=reason):
            await fleet.provisioning.import_nodes(ADMIN, rows, bad)
    permit = permit_for(1, expires_at_ms=clock.now)
    clock.pass_ms(1)
    with pytest.raises(ConflictError, match="is over"):
        await fleet.provisioning.import_nodes(ADMIN, rows, permit)


async def test_commissioning_needs_the_code_from_the_label(fleet: Fleet, clock: FakeClock) -> None:
    await make_gateway(fleet)
    await fleet.inventory.import_poles(ADMIN, [Pole("P-1", DISTRICT, 30, 120)])
    await fleet.provisioning.import_nodes(ADMIN, [manufactured(1)])

    async def commission(code: str, pole: str = "P-1", gateway: str = "gw-1") -> int:
        return await fleet.provisioning.claim(
            ADMIN,
            mac=manufactured(1).mac,
            claim_code=code,
            pole_code=pole,
            gateway_name=gateway,
        )

    for _ in range(MAX_FAILURES):
        with pytest.raises(ForbiddenError):
            await commission("guess")
    with pytest.raises(TooManyAttemptsError):
        await commission("claim-1")
    clock.pass_ms(LOCK_MS)
    with pytest.raises(NotFoundError, match="gateway nowhere"):
        await commission("claim-1", gateway="nowhere")
    with pytest.raises(NotFoundError):
        await commission("claim-1", pole="P-77")
    number = await commission("claim-1")
    assert await commission("claim-1") == number


async def test_swapped_node_loses_its_keys_and_the_pole_keeps_its_code(fleet: Fleet) -> None:
    await make_gateway(fleet)
    (old,) = await make_poles(fleet, 1)
    await fleet.provisioning.import_nodes(ADMIN, [manufactured(2)])

    async def claim_second(*, swap: bool) -> int:
        return await fleet.provisioning.claim(
            ADMIN,
            mac=manufactured(2).mac,
            claim_code="claim-2",
            pole_code="P-1",
            swap=swap,
            sign_off=True,
        )

    before = (await fleet.links._nodes.desired_state("gw-1", 0)).revision
    with pytest.raises(ConflictError, match="say that it is swapped"):
        await claim_second(swap=False)
    new = await claim_second(swap=True)
    change = await fleet.links._nodes.desired_state("gw-1", before)
    assert [(n.node_number, n.task) for n in change.nodes] == [
        (old, NodeTask.FORGET),
        (new, NodeTask.SERVE),
    ]
    assert change.nodes[0].operational is None
    node = (await fleet.inventory.pole(ADMIN, "P-1")).node
    assert node is not None
    assert (node.number, node.life_state) == (new, LifeState.COMMISSIONED)
    with pytest.raises(ConflictError, match="swapped out"):
        await make_poles(fleet, 1)


async def test_command_says_when_the_gateway_is_away(fleet: Fleet) -> None:
    await make_gateway(fleet)
    await make_poles(fleet, 1)
    await fleet.inventory.import_poles(ADMIN, [Pole("EMPTY", DISTRICT, 30, 120)])
    outcome = await fleet.commands.set_lamp(ADMIN, "P-1", level_percent=50, timeout_s=0.01)
    assert outcome.status is CommandStatus.UNREACHABLE
    assert "not connected" in outcome.detail
    with pytest.raises(ConflictError, match="no node"):
        await fleet.commands.set_lamp(ADMIN, "EMPTY", level_percent=50)
    with pytest.raises(InvalidError):
        await fleet.commands.set_lamp(ADMIN, "P-1", level_percent=101)


async def test_result_from_a_foreign_gateway_counts_for_nothing(fleet: Fleet) -> None:
    await make_gateway(fleet, "gw-1")
    await make_gateway(fleet, "gw-2")
    await make_poles(fleet, 1)
    own, _ = await fleet.links.open("gw-1", hello())
    foreign, _ = await fleet.links.open("gw-2", hello())
    waiting = asyncio.create_task(fleet.commands.set_lamp(ADMIN, "P-1", level_percent=50))
    messages = fleet.links.messages(own)
    message = await anext(messages)
    while not isinstance(message, tuple):
        message = await anext(messages)
    (command,) = message
    done = {"status": CommandStatus.DONE, "detail": ""}
    finish = fleet.commands.finished
    await finish(foreign, command.command_id, finished_at_ms=1, **done)  # type: ignore[arg-type]
    assert not waiting.done()
    await finish(own, command.command_id, finished_at_ms=1, **done)  # type: ignore[arg-type]
    assert (await waiting).status is CommandStatus.DONE


async def test_login_opens_a_session_that_ends(fleet: Fleet, clock: FakeClock) -> None:
    made = await fleet.accounts.make_first_administrator()
    assert made is not None
    assert await fleet.accounts.make_first_administrator() is None
    name, password, token = made
    session = await fleet.accounts.login(name, password, remote="::1")
    assert password not in repr(session)
    assert session.token not in repr(session)
    assert await fleet.accounts.principal_of(session.token) == session.principal
    assert (await fleet.accounts.principal_of_api_token(token)).name == name
    clock.pass_ms(SESSION_MS)
    assert await fleet.accounts.principal_of(session.token) is None
    again = await fleet.accounts.login(name, password, remote="::1")
    await fleet.accounts.logout(again.principal, again.token)
    await fleet.accounts.logout(again.principal, again.token)
    assert await fleet.accounts.principal_of(again.token) is None
    with pytest.raises(UnauthenticatedError):
        await fleet.accounts.principal_of_api_token("made-up.0000")


async def test_guessing_passwords_is_slowed_down(fleet: Fleet, clock: FakeClock) -> None:
    await fleet.accounts.add_account("admin", "ann", "right", frozenset({Role.VIEWER}))
    for n in range(MAX_FAILURES):
        with pytest.raises(UnauthenticatedError):
            await fleet.accounts.login("ann", "wrong", remote=f"10.0.0.{n}")
    with pytest.raises(TooManyAttemptsError) as limit:
        await fleet.accounts.login("ann", "right", remote="10.0.0.99")
    assert limit.value.retry_after_s == LOCK_MS // 1000
    clock.pass_ms(LOCK_MS)
    assert (await fleet.accounts.login("ann", "right", remote="10.0.0.99")).principal.name == "ann"


async def test_enrolment_refuses_other_keys_names_and_late_tokens(
    fleet: Fleet, clock: FakeClock
) -> None:
    create = fleet.enrollment.create_token
    with pytest.raises(InvalidError, match="gateway name"):
        await create(ADMIN, gateway_name="GW 1", area_code=DISTRICT, valid_s=0)
    with pytest.raises(NotFoundError):
        await create(ADMIN, gateway_name="gw-1", area_code="999999999999", valid_s=0)
    token, _ = await create(ADMIN, gateway_name="gw-1", area_code=DISTRICT, valid_s=10)
    with pytest.raises(InvalidError, match="P-256"):
        await fleet.enrollment.enroll(token, make_csr(ec.SECP384R1())[1])
    clock.pass_ms(10_001)
    with pytest.raises(UnauthenticatedError, match="expired"):
        await fleet.enrollment.enroll(token, make_csr()[1])
    with pytest.raises(UnauthenticatedError, match="not known"):
        await fleet.enrollment.enroll("guess.00", make_csr()[1])


async def test_slow_subscriber_gets_names_merged_and_none_lost(fleet: Fleet) -> None:
    async with fleet.changes.subscribe() as changes:
        fleet.changes.publish(pole_codes=["P-1"])
        fleet.changes.publish(pole_codes=["P-2", "P-1"], rollout_numbers=[3])
        fleet.changes.publish(gateway_names=["gw-1"])
        changed = await anext(changes)
        assert changed.pole_codes == {"P-1", "P-2"}
        assert changed.rollout_numbers == {3}
        assert changed.gateway_names == {"gw-1"}
        fleet.changes.close()
        assert [change async for change in changes] == []
    assert not fleet.changes.wanted


async def test_many_gateways_take_turns_and_none_is_left_out(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"gw-{n}" for n in range(1, 26)]
    nodes = {}
    for first, name in enumerate(names, start=1):
        await make_gateway(fleet, name)
        (nodes[name],) = await make_poles(fleet, 1, gateway=name, first=first)
    store = fleet.telemetry._store
    really_store = store.store_reports
    busy = most = 0

    async def count(batches: Sequence[SpooledReports], judgement: Judgement) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await really_store(batches, judgement)
        busy -= 1

    monkeypatch.setattr(store, "store_reports", count)
    await asyncio.gather(
        *(
            fleet.ingest.store([SpooledReports(name, "s", 1, columns([(nodes[name], 1, 0)]))])
            for name in names
        )
    )
    assert most == MAX_GROUPS_AT_ONCE
    assert len(await store.counts([])) == len(names)
