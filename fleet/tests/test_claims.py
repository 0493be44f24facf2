"""Nodes that are claimed at the same moment: one transaction, one chain, all or nothing."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet_rig import ADMIN, DISTRICT, FakeClock, PlainHasher, make_gateway, manufactured
from poleward_fleet.adapters.sql.database import make_engine
from poleward_fleet.assembly import Fleet, assemble
from poleward_fleet.domain.audit import AuditEntry, AuditFilter
from poleward_fleet.domain.errors import ConflictError, ForbiddenError, NotFoundError
from poleward_fleet.domain.inventory import LifeState, Pole

NODES = 4
COMMISSIONED = AuditFilter(action="node.commission")


class CrashError(Exception):
    """The fleet ends here."""


@pytest.fixture
async def street(fleet: Fleet) -> Fleet:
    """A gateway, poles without nodes, and nodes in their boxes."""
    await make_gateway(fleet)
    numbers = range(1, NODES + 1)
    await fleet.inventory.import_poles(ADMIN, [Pole(f"P-{n}", DISTRICT, 30, 120) for n in numbers])
    await fleet.provisioning.import_nodes(ADMIN, [manufactured(n) for n in numbers])
    return fleet


async def claim(fleet: Fleet, number: int, *, pole: int | None = None, code: str = "") -> int:
    return await fleet.provisioning.claim(
        ADMIN,
        mac=manufactured(number).mac,
        claim_code=code or f"claim-{number}",
        pole_code=f"P-{pole or number}",
        gateway_name="gw-1",
        sign_off=True,
    )


async def claim_all(fleet: Fleet) -> list[int | BaseException]:
    claims = (claim(fleet, n) for n in range(1, NODES + 1))
    return await asyncio.gather(*claims, return_exceptions=True)


async def commissioned(fleet: Fleet) -> list[str]:
    """Return the poles whose nodes are commissioned, which the audit record must name, too."""
    views = await fleet.inventory.list_poles(ADMIN)
    poles = [v.pole.code for v in views if v.node and v.node.life_state is LifeState.COMMISSIONED]
    records = await fleet.audit.records(ADMIN, wanted=COMMISSIONED)
    assert sorted(r.entry.subject for r in records) == poles
    assert (await fleet.audit.check(ADMIN)).broken is None
    return poles


@contextmanager
def listening(engine: AsyncEngine, name: str, listener: Callable[..., None]) -> Iterator[None]:
    event.listen(engine.sync_engine, name, listener)
    try:
        yield
    finally:
        event.remove(engine.sync_engine, name, listener)


async def test_claims_of_one_moment_are_one_transaction(street: Fleet, engine: AsyncEngine) -> None:
    chained: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        if "INTO audit" in statement:
            chained.append(statement)

    before = (await street.links._nodes.desired_state("gw-1", 0)).revision
    with listening(engine, "before_cursor_execute", note):
        numbers = await claim_all(street)
    assert len(chained) == 1
    assert len(await commissioned(street)) == NODES
    change = await street.links._nodes.desired_state("gw-1", before)
    assert [node.node_number for node in change.nodes] == numbers
    assert change.revision == before + 1


async def test_a_wrong_claim_holds_up_nobody(street: Fleet) -> None:
    outcomes = await asyncio.gather(
        claim(street, 1),
        claim(street, 2, code="guess"),
        claim(street, 3, pole=77),
        claim(street, 4),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [int, ForbiddenError, NotFoundError, int]
    assert await commissioned(street) == ["P-1", "P-4"]


async def test_of_two_that_claim_one_node_or_one_pole_one_wins(street: Fleet) -> None:
    outcomes = await asyncio.gather(
        claim(street, 1),
        claim(street, 1, pole=2),
        claim(street, 3),
        claim(street, 4, pole=3),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [int, ConflictError, int, ConflictError]
    assert await commissioned(street) == ["P-1", "P-3"]


async def test_a_crash_loses_all_claims_of_a_group_or_none(
    street: Fleet, engine: AsyncEngine
) -> None:
    left = 0

    def crash(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:  # and whatever is tried after it
            raise CrashError

    for reached in itertools.count():
        left = reached
        with (
            listening(engine, "before_cursor_execute", crash),
            listening(engine, "commit", crash),
        ):
            outcomes = await claim_all(street)
        if not any(isinstance(outcome, CrashError) for outcome in outcomes):
            break
        assert await commissioned(street) == []
    assert len(await commissioned(street)) == NODES
    assert reached > 6  # it was cut off between claims and records, too


async def test_two_fleets_at_once_keep_one_chain(
    street: Fleet, database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    engine = make_engine(database_url)
    try:
        other = assemble(engine, tmp_path, clock=clock, hasher=PlainHasher())
        before = (await street.audit.check(ADMIN)).records
        notes = [
            fleet.provisioning._audit.append(AuditEntry("both", "test.note", str(number)))
            for number in range(15)
            for fleet in (street, other)
        ]
        await asyncio.gather(claim(street, 1), claim(other, 2), claim(street, 3), *notes)
        assert await commissioned(other) == ["P-1", "P-2", "P-3"]
        assert (await other.audit.check(ADMIN)).records == before + 3 + len(notes)
    finally:
        await engine.dispose()
