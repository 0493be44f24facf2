"""What two people have to want: who asks, who decides, what counts, what expires."""

import asyncio

import pytest

from fleet_rig import CITY, DISTRICT, OTHER_DISTRICT, FakeClock
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import PERMISSIONS, Permission, Principal, Role
from poleward_fleet.domain.approvals import ApprovalNeededError, ApprovalState, GuardedAction
from poleward_fleet.domain.errors import ConflictError, ForbiddenError, NotFoundError
from poleward_fleet.services.approvals import VALID_MS

OFFICER = frozenset({Role.SECURITY_OFFICER})
ANNA, BEI = Principal("anna", OFFICER), Principal("bei", OFFICER)
REVOKE = GuardedAction("release_key.revoke", "key-1", Permission.TRUST_KEYS)


async def ask(fleet: Fleet, who: Principal = ANNA, what: GuardedAction = REVOKE) -> int:
    """Try the action alone; return the number of the request."""
    with pytest.raises(ApprovalNeededError) as needed:
        await fleet.approvals.require(who, what)
    return needed.value.approval.number


async def test_action_goes_on_once_after_a_second_person_approved(fleet: Fleet) -> None:
    number = await ask(fleet)
    assert await ask(fleet) == number
    approved = await fleet.approvals.approve(BEI, number, "lost laptop")
    assert (approved.state, approved.decided_by) == (ApprovalState.APPROVED, "bei")
    await fleet.approvals.require(ANNA, REVOKE)
    assert await ask(fleet) != number


async def test_nobody_approves_their_own_request(fleet: Fleet) -> None:
    number = await ask(fleet)
    for decide in (fleet.approvals.approve, fleet.approvals.reject):
        with pytest.raises(ForbiddenError, match="second person"):
            await decide(ANNA, number)
    assert await ask(fleet) == number


async def test_approval_counts_for_its_requester_and_its_exact_action_only(fleet: Fleet) -> None:
    await fleet.approvals.approve(BEI, await ask(fleet))
    with pytest.raises(ApprovalNeededError):
        await fleet.approvals.require(BEI, REVOKE)
    for other in (
        GuardedAction("release_key.revoke", "key-2", Permission.TRUST_KEYS),
        GuardedAction("release_key.revoke", "key-1", Permission.TRUST_KEYS, detail=(("a", "b"),)),
        GuardedAction("release_key.trust", "key-1", Permission.TRUST_KEYS),
    ):
        with pytest.raises(ApprovalNeededError):
            await fleet.approvals.require(ANNA, other)
    await fleet.approvals.require(ANNA, REVOKE)


async def test_one_approval_lets_one_of_many_calls_at_once_go_on(fleet: Fleet) -> None:
    await fleet.approvals.approve(BEI, await ask(fleet))
    outcomes = await asyncio.gather(
        *(fleet.approvals.require(ANNA, REVOKE) for _ in range(8)), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert all(isinstance(one, ConflictError) for one in outcomes if one is not None)


@pytest.mark.parametrize("decide_first", [False, True])
async def test_request_expires_also_when_it_was_approved(
    fleet: Fleet, clock: FakeClock, decide_first: bool
) -> None:
    number = await ask(fleet)
    if decide_first:
        await fleet.approvals.approve(BEI, number)
    clock.pass_ms(VALID_MS)
    with pytest.raises(ConflictError, match="expired"):
        await fleet.approvals.approve(BEI, number)
    assert (await fleet.approvals.approvals(BEI))[0].state is ApprovalState.EXPIRED
    assert await ask(fleet) != number


async def test_rejected_or_withdrawn_request_leads_nowhere(fleet: Fleet) -> None:
    first = await ask(fleet)
    rejected = await fleet.approvals.reject(BEI, first, "why?")
    assert (rejected.state, rejected.reason) == (ApprovalState.REJECTED, "why?")
    second = await ask(fleet)
    with pytest.raises(ForbiddenError, match="anna's to withdraw"):
        await fleet.approvals.withdraw(BEI, second)
    assert (await fleet.approvals.withdraw(ANNA, second)).state is ApprovalState.WITHDRAWN
    for number in (first, second):
        with pytest.raises(ConflictError, match="already"):
            await fleet.approvals.approve(BEI, number)


async def test_decider_needs_the_same_right_in_the_same_area(fleet: Fleet) -> None:
    def manager(name: str, area: str) -> Principal:
        return Principal(name, frozenset({Role.RELEASE_MANAGER}), area)

    roll_out = GuardedAction("rollout.create", "1.2.0", Permission.ROLL_OUT, DISTRICT)
    number = await ask(fleet, manager("mia", CITY), roll_out)
    for stranger in (
        manager("oscar", OTHER_DISTRICT),
        Principal("otto", frozenset({Role.OPERATOR})),
        BEI,
        Principal("v", frozenset({Role.VIEWER}), DISTRICT),
    ):
        assert await fleet.approvals.approvals(stranger) == []
        with pytest.raises(NotFoundError):
            await fleet.approvals.approve(stranger, number)
    await fleet.approvals.approve(manager("dora", DISTRICT), number)


async def test_request_needs_the_right_to_act_at_all(fleet: Fleet) -> None:
    with pytest.raises(ForbiddenError):
        await fleet.approvals.require(Principal("v", frozenset({Role.VIEWER})), REVOKE)
    with pytest.raises(ForbiddenError, match=f"in {DISTRICT} only"):
        await fleet.approvals.require(Principal("d", OFFICER, DISTRICT), REVOKE)
    with pytest.raises(NotFoundError):
        await fleet.approvals.require(
            Principal("d", frozenset({Role.ADMINISTRATOR}), DISTRICT),
            GuardedAction("node.decommission", "11 nodes", Permission.COMMISSION, OTHER_DISTRICT),
        )


async def test_every_step_is_in_the_audit_record(fleet: Fleet) -> None:
    await fleet.approvals.approve(BEI, await ask(fleet), "ok")
    await fleet.approvals.require(ANNA, REVOKE)
    auditor = Principal("a", OFFICER)
    records = await fleet.audit.records(auditor, limit=3)
    assert [(r.entry.actor, r.entry.action) for r in reversed(records)] == [
        ("anna", "approval.requested"),
        ("bei", "approval.approved"),
        ("anna", "approval.used"),
    ]
    assert ("reason", "ok") in records[1].entry.detail


@pytest.mark.parametrize("role", Role)
def test_role_that_approves_can_do_something_that_needs_approval(role: Role) -> None:
    guarded = {Permission.ROLL_OUT, Permission.TRUST_KEYS, Permission.COMMISSION}
    if Permission.APPROVE in PERMISSIONS[role]:
        assert PERMISSIONS[role] & guarded
