"""History: packed exactly, read through rows and packed days alike, late reports, retention."""

import math
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet_rig import (
    ADMIN,
    FakeClock,
    PlainHasher,
    make_city,
    make_gateway,
    make_poles,
    manufactured,
)
from poleward_fleet.adapters.sql import packed_columns
from poleward_fleet.adapters.sql.report_packing import pack_rollup, unpack_rollup
from poleward_fleet.assembly import Fleet, assemble
from poleward_fleet.domain.history import (
    DAY_MS,
    FIVE_MINUTES_S,
    ReportDay,
    Retention,
    day_of,
    has_own_place,
    rolled_up,
)
from poleward_fleet.domain.life_cycle import Step
from poleward_fleet.domain.telemetry import ReportColumns, Series, SeriesKey
from poleward_fleet.ports.telemetry import SpooledReports

POWER, VOLTAGE = SeriesKey("supply.active_power_w"), SeriesKey("supply.voltage_v")
MINUTE_MS = 60_000
TODAY = day_of(FakeClock().now)
float32 = st.floats(width=32)
integers = st.lists(st.integers(-(2**40), 2**62))
floats = st.lists(float32 | st.integers(0, 10**6).map(lambda n: _float32(n / 1000)))


def _float32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


@given(st.lists(integers, max_size=3), st.lists(floats, max_size=3))
def test_packed_columns_come_back_exactly(
    whole: list[list[int]], measured: list[list[float]]
) -> None:
    found_whole, found = packed_columns.unpack(packed_columns.pack(whole, measured), len(whole))
    assert found_whole == whole
    for column, expected in zip(found, measured, strict=True):
        assert struct.pack(f"{len(column)}f", *column) == struct.pack(f"{len(column)}f", *expected)


@given(st.binary(max_size=60))
def test_damaged_columns_are_refused(content: bytes) -> None:
    with pytest.raises(packed_columns.DamagedColumnsError):
        packed_columns.unpack(content, 3)


def test_a_day_of_a_noisy_sensor_takes_little_more_than_a_byte_for_each_value() -> None:
    noisy = [_float32(round(230 + 2 * math.sin(n * n), 1)) for n in range(1440)]
    assert len(packed_columns.pack([], [noisy])) < 1440 * 1.2


def test_rollup_leaves_out_what_was_not_measured() -> None:
    day = ReportDay([1] * 4, [0, 1, 2, 3], [0, 1000, 300_000, 600_000], [[1.0, 3.0, math.nan, 7.0]])
    rollup = rolled_up(day, FIVE_MINUTES_S)
    assert rollup.from_ms == [0, 300_000, 600_000]
    assert rollup.count == [[2, 0, 1]]
    assert (rollup.mean[0][0], rollup.least[0][0], rollup.greatest[0][0]) == (2.0, 1.0, 3.0)
    again = unpack_rollup(pack_rollup(rollup), 1)
    assert (again.from_ms, again.count, again.mean[0][2]) == (rollup.from_ms, rollup.count, 7.0)


def test_days_of_clocks_that_are_far_off_get_no_place_of_their_own() -> None:
    now_ms, retention = 20_000 * DAY_MS, Retention(reports_days=100)
    assert has_own_place(19_900, now_ms, retention)
    assert has_own_place(20_001, now_ms, retention)
    assert not has_own_place(19_899, now_ms, retention)
    assert not has_own_place(20_002, now_ms, retention)


def day_reports(node: int, day: int, minutes: Sequence[int], *, first: int = 0) -> ReportColumns:
    """Build a report for each of some minutes of a day; its power is the minute's number."""
    return ReportColumns(
        layouts=((POWER, VOLTAGE),),
        node_number=[node] * len(minutes),
        boot=[1] * len(minutes),
        sequence=[first + i for i in range(len(minutes))],
        layout=[0] * len(minutes),
        measured_at_ms=[day * DAY_MS + minute * MINUTE_MS for minute in minutes],
        value=[value for minute in minutes for value in (float(minute), 230.5)],
    )


class City:
    """A fleet with one node, and batches of its reports."""

    def __init__(self, fleet: Fleet, clock: FakeClock, node: int) -> None:
        self.fleet, self.clock, self.node = fleet, clock, node
        self._batches = 0

    async def report(self, day: int, minutes: Sequence[int], *, first: int = 0) -> None:
        self._batches += 1
        reports = day_reports(self.node, day, minutes, first=first)
        await self.fleet.telemetry._store.store_reports(
            [SpooledReports("gw-1", "spool", self._batches, reports)]
        )

    async def power(self, from_day: int, to_day: int, max_points: int = 5000) -> Series:
        return await self.fleet.telemetry.series(
            ADMIN,
            "P-1",
            POWER,
            from_ms=from_day * DAY_MS,
            to_ms=to_day * DAY_MS,
            max_points=max_points,
        )


@pytest.fixture
async def city(engine: AsyncEngine, tmp_path: Path, clock: FakeClock) -> City:
    retention = Retention(reports_days=190, five_minutes_days=300, hours_days=500)
    fleet = assemble(engine, tmp_path, clock=clock, hasher=PlainHasher(), retention=retention)
    await make_city(fleet)
    await make_gateway(fleet)
    (node,) = await make_poles(fleet, 1)
    return City(fleet, clock, node)


async def count(engine: AsyncEngine, table: str) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def test_packing_a_closed_day_changes_nothing_that_is_read(
    city: City, engine: AsyncEngine
) -> None:
    await city.report(TODAY - 1, range(1440))
    await city.report(TODAY, range(100), first=1440)
    fine = await city.power(TODAY - 1, TODAY + 1)
    coarse = await city.power(TODAY - 1, TODAY + 1, 100)
    await city.fleet.history.once()
    assert await count(engine, "report") == 100
    assert await count(engine, "packed_day") == 1
    assert await city.power(TODAY - 1, TODAY + 1) == fine
    packed = await city.power(TODAY - 1, TODAY + 1, 100)
    assert packed.value == pytest.approx(coarse.value, abs=15)
    assert len(packed.value) == len(coarse.value)


async def test_an_open_day_stays_as_it_is(city: City, engine: AsyncEngine) -> None:
    await city.report(TODAY, range(10))
    await city.fleet.history.once()
    assert (await count(engine, "report"), await count(engine, "packed_day")) == (10, 0)


async def test_reports_of_a_packed_day_that_come_late_are_read_and_packed_with_the_others(
    city: City, engine: AsyncEngine
) -> None:
    await city.report(TODAY - 3, range(0, 100, 2))
    await city.fleet.history.once()
    await city.report(TODAY - 3, range(1, 100, 2), first=50)
    assert (await city.power(TODAY - 3, TODAY)).value == tuple(map(float, range(100)))
    await city.fleet.history.once()
    assert (await count(engine, "report"), await count(engine, "packed_day")) == (0, 1)
    assert (await city.power(TODAY - 3, TODAY)).value == tuple(map(float, range(100)))
    (found,) = await city.fleet.telemetry.counts(ADMIN, [])
    assert (found.reports, found.missing, found.readings) == (100, 0, 200)


async def test_a_report_of_a_packed_day_is_not_stored_again(
    city: City, engine: AsyncEngine
) -> None:
    await city.report(TODAY - 1, range(10))
    await city.fleet.history.once()
    await city.report(TODAY - 1, range(12))
    assert await count(engine, "report") == 2
    (found,) = await city.fleet.telemetry.counts(ADMIN, [])
    assert (found.reports, found.readings) == (12, 24)


async def test_a_report_that_is_twice_in_a_batch_is_stored_once(
    city: City, engine: AsyncEngine
) -> None:
    reports = day_reports(city.node, TODAY, [5, 6])
    reports.sequence[1] = 0  # type: ignore[index]
    await city.fleet.telemetry._store.store_reports([SpooledReports("gw-1", "s", 1, reports)])
    assert await count(engine, "report") == 1


async def test_a_pole_keeps_its_history_when_its_node_is_swapped(city: City) -> None:
    fleet, new = city.fleet, manufactured(77)
    await city.report(TODAY - 1, range(60), first=0)
    await fleet.provisioning.import_nodes(ADMIN, [new])
    swapped = await fleet.provisioning.claim(
        ADMIN, mac=new.mac, claim_code="claim-77", pole_code="P-1", swap=True, sign_off=True
    )
    stays = await fleet.inventory.stays(ADMIN, "P-1")
    assert [stay.node_number for stay in stays] == [city.node, swapped]
    assert stays[0].until_ms == city.clock.now
    city.node = swapped
    city.clock.pass_ms(60 * MINUTE_MS)
    now = city.clock.now % DAY_MS // MINUTE_MS
    await city.report(TODAY, range(now - 30, now - 20), first=0)
    whole = await city.power(TODAY - 1, TODAY + 1)
    assert len(whole.measured_at_ms) == 70
    assert list(whole.measured_at_ms) == sorted(whole.measured_at_ms)
    pieces = fleet.telemetry.readings(ADMIN, "P-1", POWER, from_ms=0, to_ms=0, limit=65)
    assert [len(piece.value) async for piece in pieces] == [60, 5]
    # What the node measures elsewhere is not this pole's.
    await fleet.lives.take_step(ADMIN, Step.LOSE, [str(swapped)])
    await city.report(TODAY, range(now + 10, now + 20), first=10)
    assert len((await city.power(TODAY - 1, TODAY + 1)).value) == 70


async def test_a_year_is_charted_from_roll_ups(city: City) -> None:
    for back in (180, 120, 60, 1):
        await city.report(TODAY - back, range(0, 1440, 60), first=24 * (400 - back))
    await city.fleet.history.once()
    year = await city.fleet.telemetry.series(
        ADMIN,
        str(city.node),
        POWER,
        from_ms=(TODAY - 365) * DAY_MS,
        to_ms=TODAY * DAY_MS,
        max_points=20,
    )
    assert year.value == (690.0,) * 4


async def test_reports_from_a_clock_that_is_far_off_are_kept_and_find_their_day_later(
    city: City, engine: AsyncEngine
) -> None:
    await city.report(TODAY + 30, range(5))
    await city.report(0, range(3), first=5)
    assert await count(engine, "report_other") == 8
    assert len((await city.power(TODAY + 30, TODAY + 31)).value) == 5
    city.clock.pass_ms(32 * DAY_MS)
    await city.fleet.history.once()
    assert (await city.power(TODAY + 30, TODAY + 31)).value == tuple(map(float, range(5)))
    assert await count(engine, "packed_day") == 1
    # What is older than reports are kept went.
    assert await count(engine, "report_other") == 0


async def test_what_is_too_old_is_forgotten_by_kind(city: City, engine: AsyncEngine) -> None:
    async def held() -> list[int]:
        steps = "rollup WHERE step_s = 300", "rollup WHERE step_s = 3600", "rollup"
        return [await count(engine, table) for table in ("packed_day", *steps)]

    day = TODAY - 10
    await city.report(day, range(10))
    await city.fleet.history.once()
    assert await held() == [1, 1, 1, 3]
    for days_later, left in ((185, [0, 1, 1, 3]), (110, [0, 0, 1, 2]), (400, [0, 0, 0, 1])):
        city.clock.pass_ms(days_later * DAY_MS)
        await city.fleet.history.once()
        assert await held() == left
        assert set((await city.power(day, day + 1)).value) == {4.5} or left[1]
