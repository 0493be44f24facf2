"""What the database guarantees: exactly once, sealed secrets, one-time tokens, the audit chain."""

import asyncio
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet_rig import (
    ADMIN,
    DISTRICT,
    OTHER_DISTRICT,
    FakeClock,
    columns,
    hello,
    make_city,
    make_gateway,
    make_poles,
    manufactured,
)
from poleward_fleet.adapters.sql import migrate
from poleward_fleet.adapters.sql.secret_box import SecretBox, load_or_make_key
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.errors import BatchGapError, ConfigurationError
from poleward_fleet.domain.inventory import PoleStatus
from poleward_fleet.domain.telemetry import NodeEvent, SeriesKey, Severity
from poleward_fleet.ports.telemetry import SpooledReports, TelemetryStore

_spools = itertools.count(1)


def batches(node: int, numbers: list[int], spool: str = "s") -> list[SpooledReports]:
    """Build batches of two reports each; batch n always has the same content."""
    return [
        SpooledReports(
            "gw-1", spool, n, columns([(node, 1, 2 * n), (node, 1, 2 * n + 1)], at_ms=10_000 * n)
        )
        for n in numbers
    ]


def store_of(fleet: Fleet) -> TelemetryStore:
    return fleet.telemetry._store


async def test_schema_goes_up_down_and_up_again(engine: AsyncEngine) -> None:
    async def tables() -> set[str]:
        async with engine.connect() as connection:
            rows = await connection.execute(
                text("SELECT table_name FROM information_schema.tables WHERE table_schema='public'")
            )
            return set(rows.scalars())

    before = await tables()
    await migrate.downgrade(engine, "base")
    assert await tables() == {"alembic_version"}
    await migrate.upgrade(engine)
    assert await tables() == before
    await migrate.upgrade(engine)


async def test_every_constraint_has_a_name_of_ours(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        rows = await connection.execute(
            text(
                "SELECT conname FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace "
                "WHERE n.nspname = 'public' AND contype <> 'n' "
                "AND conname ~ '_(check|fkey[0-9]|key[0-9]).*$'"
            )
        )
        assert list(rows.scalars()) == []


async def test_group_that_straddles_the_mark_stores_only_its_new_part(fleet: Fleet) -> None:
    await make_gateway(fleet)
    (node,) = await make_poles(fleet, 1)
    store = store_of(fleet)
    await store.store_reports(batches(node, [1, 2]))
    await store.store_reports(batches(node, [2, 3, 4]))
    (count,) = await store.counts([node])
    assert (count.reports, count.first_sequence, count.last_sequence) == (8, 2, 9)


async def test_gap_inside_a_group_stores_nothing(fleet: Fleet) -> None:
    await make_gateway(fleet)
    (node,) = await make_poles(fleet, 1)
    store = store_of(fleet)
    with pytest.raises(BatchGapError) as gap:
        await store.store_reports(batches(node, [1, 2, 4]))
    assert (gap.value.stored, gap.value.received) == (2, 4)
    assert await store.counts([]) == []
    await store.store_reports(batches(node, [1]))


async def test_new_spool_of_a_gateway_counts_from_1_and_stores_no_report_twice(
    fleet: Fleet,
) -> None:
    await make_gateway(fleet)
    (node,) = await make_poles(fleet, 1)
    store = store_of(fleet)
    await store.store_reports(batches(node, [1, 2], "old"))
    await store.store_reports(batches(node, [1, 2, 3], "new"))
    (count,) = await store.counts([])
    assert count.reports == 6


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
async def test_any_order_of_resends_and_cuts_stores_each_report_once(
    fleet: Fleet, data: st.DataObject
) -> None:
    """The gateway sends any groups, with gaps too; what is acknowledged is stored, once."""
    spool = f"spool-{next(_spools)}"
    if not await fleet.inventory.gateways(ADMIN):
        await make_gateway(fleet)
        await make_poles(fleet, 1)
    store = store_of(fleet)
    acknowledged = 0
    for _ in range(data.draw(st.integers(1, 6))):
        first = data.draw(st.integers(1, acknowledged + 3))
        last = data.draw(st.integers(first, first + 4))
        group = batches(1, list(range(first, last + 1)), spool)
        if first > acknowledged + 1:
            with pytest.raises(BatchGapError) as gap:
                await store.store_reports(group)
            assert gap.value.stored == acknowledged
        else:
            await store.store_reports(group)
            acknowledged = max(acknowledged, last)
    stored = await fleet.links._gateways.hello("gw-1", hello(spool), 1)
    assert stored.report == acknowledged
    for count in await store.counts([]):
        assert count.missing == 0


async def test_latest_keeps_the_newest_and_forgives_a_clock_that_was_ahead(
    fleet: Fleet, clock: FakeClock
) -> None:
    await make_gateway(fleet)
    (node,) = await make_poles(fleet, 1)
    store = store_of(fleet)

    async def send(number: int, at_ms: int, power_w: float) -> float:
        reports = columns([(node, 1, number)], at_ms=at_ms, power_w=power_w)
        await store.store_reports([SpooledReports("gw-1", "s", number, reports)])
        return next(v.value for v in await store.latest(node) if "power" in v.series.metric)

    assert await send(1, clock.now, 40) == 40
    assert await send(2, clock.now - 5000, 39) == 40
    assert await send(3, clock.now + 10 * 86_400_000, 41) == 41
    assert await send(4, clock.now + 1000, 42) == 42


async def test_series_is_read_back_and_thinned(fleet: Fleet) -> None:
    await make_gateway(fleet)
    (node,) = await make_poles(fleet, 1)
    rows = [(node, 1, n) for n in range(100)]
    began_ms = FakeClock().now - 200_000
    reports = columns(rows, at_ms=began_ms)
    await store_of(fleet).store_reports([SpooledReports("gw-1", "s", 1, reports)])
    key = SeriesKey("air.temperature_c")
    whole = await fleet.telemetry.series(
        ADMIN, str(node), key, from_ms=began_ms + 10_000, to_ms=began_ms + 20_000
    )
    assert whole.value == tuple(float(v) for v in range(30, 40))
    thin = await fleet.telemetry.series(
        ADMIN, str(node), key, from_ms=began_ms, to_ms=began_ms + 100_000, max_points=10
    )
    assert thin.value == tuple(24.5 + 10 * n for n in range(10))
    pieces = fleet.telemetry.readings(ADMIN, str(node), key, from_ms=0, to_ms=0, limit=7)
    assert [len(piece.value) async for piece in pieces] == [7]
    nothing = await fleet.telemetry.series(ADMIN, str(node), SeriesKey("x"), from_ms=0, to_ms=9)
    assert nothing.value == ()


async def test_connections_that_the_server_ended_are_replaced(
    fleet: Fleet, engine: AsyncEngine
) -> None:
    await asyncio.gather(*(fleet.readiness.is_ready() for _ in range(5)))
    async with engine.connect() as connection:
        ended = await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        assert len(ended.all()) >= 1
        for _ in range(3):  # the loop hears of it
            await connection.execute(text("SELECT 1"))
        assert await asyncio.gather(*(fleet.readiness.is_ready() for _ in range(5))) == [True] * 5


async def test_secrets_are_sealed_in_the_database(fleet: Fleet, engine: AsyncEngine) -> None:
    await make_gateway(fleet)
    await make_poles(fleet, 1)
    async with engine.connect() as connection:
        node = (await connection.execute(text("SELECT * FROM node"))).one()
        assert manufactured(1).bootstrap_secret not in bytes(node.bootstrap_secret_sealed)
        await connection.rollback()
        # Rows cannot be swapped: a secret opens only for the node it was sealed for.
        await connection.execute(text("UPDATE node SET mac = 'ffffffffffff'"))
        await connection.commit()
    with pytest.raises(ConfigurationError, match="cannot be decrypted"):
        await fleet.links._nodes.desired_state("gw-1", 0)


def test_secret_box_refuses_another_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("keys") / "database.key"
    key = load_or_make_key(path)
    assert load_or_make_key(path) == key
    sealed = SecretBox(key).seal(b"secret", "x")
    assert SecretBox(key).open(sealed, "x") == b"secret"
    with pytest.raises(ConfigurationError):
        SecretBox(bytes(32)).open(sealed, "x")
    path.write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="32 bytes"):
        load_or_make_key(path)


async def test_altered_audit_record_is_found(fleet: Fleet, engine: AsyncEngine) -> None:
    await make_gateway(fleet)
    assert (await fleet.audit.check(ADMIN)).broken is None
    records = await fleet.audit.records(ADMIN)
    assert [r.entry.action for r in records] == [
        "gateway.enrolled",
        "gateway.enrollment_token",
        "area.put",
    ]
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE audit SET actor = 'nobody' WHERE number = 2"))
    assert (await fleet.audit.check(ADMIN)).broken == 2
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM audit WHERE number = 2"))
    assert (await fleet.audit.check(ADMIN)).broken == 2


async def test_markers_show_status_within_area_and_bounds(fleet: Fleet, clock: FakeClock) -> None:
    await make_gateway(fleet)
    nodes = await make_poles(fleet, 3)
    await make_poles(fleet, 1, first=9, area=OTHER_DISTRICT)
    link, _ = await fleet.links.open("gw-1", hello())
    reports = columns([(nodes[0], 1, 0)], at_ms=clock.now)
    await store_of(fleet).store_reports([SpooledReports("gw-1", "s", 1, reports)])
    dark = columns([(nodes[1], 1, 0)], at_ms=clock.now, power_w=0.1)
    await store_of(fleet).store_reports([SpooledReports("gw-1", "s", 2, dark)])
    async with fleet.links._nodes._database.begin() as connection:  # type: ignore[attr-defined]
        await connection.execute(text("UPDATE node SET link_state = 'online'"))
    markers = await fleet.inventory.markers(ADMIN)
    assert [(m.code, m.status) for m in markers] == [
        ("P-1", PoleStatus.LIT),
        ("P-2", PoleStatus.FAULT),
        ("P-3", PoleStatus.WAITING),
        ("P-9", PoleStatus.WAITING),
    ]
    assert (markers[0].level_percent, markers[0].power_w) == (80, 40)
    assert len(await fleet.inventory.markers(ADMIN, area_code=DISTRICT)) == 3
    assert [m.code for m in await fleet.inventory.markers(ADMIN, codes=["P-2"])] == ["P-2"]
    clock.pass_ms(3 * 60_000 + 31_000)
    markers = await fleet.inventory.markers(ADMIN, codes=["P-1"])
    assert markers[0].status is PoleStatus.SILENT
    link.close()


async def test_events_come_once_whatever_is_sent_again(fleet: Fleet) -> None:
    await make_gateway(fleet)
    (node,) = await make_poles(fleet, 1)
    event = NodeEvent(node, 1, 0, 5, "node.rebooted", Severity.INFO, (("reason", "power"),))
    link, _ = await fleet.links.open("gw-1", hello())
    await fleet.ingest.events(link, 1, [event])
    await fleet.ingest.events(link, 1, [event])
    other, _ = await fleet.links.open("gw-1", hello("another-spool"))
    await fleet.ingest.events(other, 1, [event])
    assert await fleet.telemetry.events(ADMIN) == [event]


async def test_city_can_be_described_twice(fleet: Fleet) -> None:
    await make_city(fleet)
    assert len(await fleet.inventory.areas(ADMIN)) == 3


async def test_value_that_is_too_big_to_store_is_no_value(fleet: Fleet) -> None:
    await make_gateway(fleet)
    (node,) = await make_poles(fleet, 1)
    reports = columns([(node, 1, 0), (node, 1, 1)], at_ms=FakeClock().now - 5000)
    reports.value[1] = 1e300  # type: ignore[index]
    reports.value[4] = float("inf")  # type: ignore[index]
    await store_of(fleet).store_reports([SpooledReports("gw-1", "s", 1, reports)])
    found = {value.series.metric: value.value for value in await store_of(fleet).latest(node)}
    assert found == {"lamp.level_percent": 80.0, "air.temperature_c": 21.0}
