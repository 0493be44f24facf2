"""Alarms: what is judged and when, that nothing is raised twice, calls that nobody answers."""

import datetime
import itertools
from collections.abc import Sequence
from pathlib import Path

import astral
import astral.sun
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet_rig import (
    ADMIN,
    DISTRICT,
    OTHER_DISTRICT,
    FakeClock,
    PlainHasher,
    hello,
    make_gateway,
    make_poles,
)
from poleward_fleet.adapters.sql.alarm_store import SqlAlarmStore, in_rounds
from poleward_fleet.assembly import Fleet, assemble
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.alarms import (
    AlarmChange,
    AlarmKind,
    AlarmLimits,
    AlarmState,
    LampFacts,
    judge,
)
from poleward_fleet.domain.daylight import sun_elevation_deg
from poleward_fleet.domain.errors import ConflictError, ForbiddenError, NotFoundError
from poleward_fleet.domain.gateway_link import NodeState
from poleward_fleet.domain.inventory import LinkState
from poleward_fleet.domain.telemetry import NodeEvent, ReportColumns, SeriesKey, Severity
from poleward_fleet.ports.telemetry import SpooledReports

MINUTE_MS = 60_000
# 1 January 2027, 16:00 UTC: midnight in Hangzhou.
NIGHT_MS = 1_798_819_200_000
LAYOUT = tuple(
    map(
        SeriesKey,
        ("lamp.level_percent", "supply.active_power_w", "supply.power_factor", "supply.voltage_v"),
    )
)
GOOD = (100.0, 60.0, 0.95, 230.0)


def raised_by(
    readings: Sequence[tuple[float, float, float, float]], *, is_day: bool = False
) -> list[tuple[int, AlarmKind, bool]]:
    """Judge a report a minute; return (minute, kind, raised) of every change."""
    state, found = AlarmState(), []
    for minute, (level, power_w, power_factor, voltage_v) in enumerate(readings, start=1):
        facts = LampFacts(
            at_ms=minute * MINUTE_MS,
            nominal_w=60,
            level_percent=level,
            power_w=power_w,
            power_factor=power_factor,
            voltage_v=voltage_v,
            is_day=is_day,
        )
        state, changes = judge(state, facts, AlarmLimits())
        found += [(minute, kind, wrong) for kind, wrong in changes]
    return found


def test_a_lamp_that_does_what_it_should_raises_nothing() -> None:
    assert (
        raised_by([GOOD] * 20 + [(0.0, 0.5, 0.4, 229.0)] * 20 + [(50.0, 30.0, 0.9, 231.0)] * 9)
        == []
    )


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (AlarmKind.LAMP_FAILED, (100.0, 0.5, 0.4, 230.0)),
        (AlarmKind.RELAY_STUCK, (0.0, 60.0, 0.95, 230.0)),
        (AlarmKind.POWER_HIGH, (100.0, 80.0, 0.95, 230.0)),
        (AlarmKind.POWER_LOW, (100.0, 40.0, 0.95, 230.0)),
        (AlarmKind.POWER_FACTOR_LOW, (100.0, 60.0, 0.6, 230.0)),
    ],
)
def test_what_stays_wrong_is_raised_after_the_judgement_time_and_cleared_likewise(
    kind: AlarmKind, bad: tuple[float, float, float, float]
) -> None:
    assert raised_by([GOOD] * 10 + [bad] * 5 + [GOOD] * 12) == [
        (13, kind, True),
        # A lamp that was off warms up first; being lit at all is seen at once.
        (18, kind, False),
    ]


def test_a_moment_raises_nothing() -> None:
    high = (100.0, 80.0, 0.95, 230.0)
    assert raised_by(([GOOD] * 10) + [high, high, GOOD] * 5) == []


def test_a_value_just_inside_its_limit_neither_raises_nor_clears() -> None:
    near = (100.0, 70.0, 0.95, 230.0)  # 1.17 of nominal; the limit is 1.2, the way back 1.14
    high = (100.0, 80.0, 0.95, 230.0)
    assert raised_by([GOOD] * 10 + [near] * 9) == []
    assert raised_by([GOOD] * 10 + [high] * 3 + [near] * 9) == [(13, AlarmKind.POWER_HIGH, True)]


def test_nothing_about_power_is_judged_while_the_lamp_warms_up() -> None:
    assert raised_by([(0.0, 0.0, 0.4, 230.0)] + [(100.0, 90.0, 0.95, 230.0)] * 5) == []


def test_a_lamp_that_burns_by_day_is_a_day_burner() -> None:
    assert raised_by([GOOD] * 5, is_day=True) == [(3, AlarmKind.DAY_BURNER, True)]


def test_too_many_ignitions_within_an_hour_are_cycling() -> None:
    assert raised_by([GOOD, (100.0, 0.0, 0.4, 230.0)] * 6) == []
    (raised,) = raised_by([GOOD, (100.0, 0.0, 0.4, 230.0)] * 10)
    assert raised == (13, AlarmKind.CYCLING, True)
    dark = (0.0, 0.0, 0.4, 230.0)
    assert (raised_by([GOOD, dark] * 7 + [dark] * 60))[-1][1:] == (AlarmKind.CYCLING, False)


def test_lost_supply_is_raised_at_once() -> None:
    assert raised_by([GOOD, (100.0, 0.0, 0.0, 3.0)]) == [(2, AlarmKind.SUPPLY_LOST, True)]


def test_an_older_report_says_nothing_new() -> None:
    facts = LampFacts(at_ms=5, nominal_w=60, level_percent=0.0, power_w=60.0)
    state = AlarmState(judged_at_ms=5)
    assert judge(state, facts, AlarmLimits()) == (state, ())


@pytest.mark.parametrize(("latitude", "longitude"), [(30.25, 120.2), (51.45, -2.6), (-33.9, 151.2)])
def test_the_sun_stands_where_astral_says(latitude: float, longitude: float) -> None:
    observer = astral.Observer(latitude, longitude)
    for days, hour in itertools.product(range(0, 365, 30), range(0, 24, 5)):
        at = datetime.datetime(2027, 1, 1, hour, tzinfo=datetime.UTC) + datetime.timedelta(days)
        expected = astral.sun.elevation(observer, at, with_refraction=False)
        found = sun_elevation_deg(int(at.timestamp() * 1000), latitude, longitude)
        assert found == pytest.approx(expected, abs=0.15)


class Street:
    """A fleet with one lit lamp, and its reports."""

    def __init__(self, fleet: Fleet, clock: FakeClock, node: int) -> None:
        self.fleet, self.clock, self.node = fleet, clock, node
        self._numbers = itertools.count()

    async def report(self, *readings: tuple[float, float, float, float]) -> None:
        """Store a report a minute."""
        for reading in readings:
            self.clock.pass_ms(MINUTE_MS)
            sequence = next(self._numbers)
            reports = ReportColumns(
                layouts=(LAYOUT,),
                node_number=[self.node],
                boot=[1],
                sequence=[sequence],
                layout=[0],
                measured_at_ms=[self.clock.now],
                value=list(reading),
            )
            await self.fleet.ingest.store([SpooledReports("gw-1", "s", sequence + 1, reports)])

    async def event(self, kind: str, number: int = 1) -> None:
        link, _ = await self.fleet.links.open("gw-1", hello())
        event = NodeEvent(self.node, 1, number, self.clock.now, kind, Severity.CRITICAL)
        await self.fleet.ingest.events(link, number, [event])

    async def open(self) -> list[AlarmKind]:
        return [alarm.kind for alarm in await self.fleet.alarms.alarms(ADMIN)]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NIGHT_MS)


@pytest.fixture
async def street(fleet: Fleet, clock: FakeClock) -> Street:
    await make_gateway(fleet)
    (node,) = await make_poles(fleet, 1)
    return Street(fleet, clock, node)


async def test_an_alarm_follows_from_reports_and_ends_with_its_cause(street: Street) -> None:
    await street.report(*[GOOD] * 8)
    assert await street.open() == []
    await street.report(*[(100.0, 80.0, 0.95, 230.0)] * 3)
    assert await street.open() == [AlarmKind.POWER_HIGH]
    await street.report(*[GOOD] * 3)
    assert await street.open() == []
    (alarm,) = await street.fleet.alarms.alarms(ADMIN, is_open=None)
    assert alarm.cleared_at_ms == street.clock.now
    assert alarm.pole_code == "P-1"


async def test_judging_goes_on_after_a_restart(
    street: Street, engine: AsyncEngine, tmp_path: Path
) -> None:
    high = (100.0, 80.0, 0.95, 230.0)
    await street.report(*[GOOD] * 8, high, high)
    assert await street.open() == []
    street.fleet = assemble(engine, tmp_path, clock=street.clock, hasher=PlainHasher())
    await street.report(high)
    assert await street.open() == [AlarmKind.POWER_HIGH]
    street.fleet = assemble(engine, tmp_path, clock=street.clock, hasher=PlainHasher())
    await street.report(high, high)
    assert len(await street.fleet.alarms.alarms(ADMIN, is_open=None)) == 1


async def test_a_day_burner_is_judged_by_the_sun_over_its_pole(street: Street) -> None:
    street.clock.pass_ms(12 * 60 * MINUTE_MS)  # noon in Hangzhou
    await street.report(*[GOOD] * 4)
    assert await street.open() == [AlarmKind.DAY_BURNER]


async def test_a_silent_node_raises_one_alarm_until_it_is_back(street: Street) -> None:
    link, _ = await street.fleet.links.open("gw-1", hello())
    silent, online = (
        NodeState(street.node, state, heard_at_ms=1)
        for state in (LinkState.SILENT, LinkState.ONLINE)
    )
    for state, expected in ((silent, 1), (silent, 1), (online, 0), (online, 0)):
        street.clock.pass_ms(1000)
        await street.fleet.ingest.states(link, [state])
        assert len(await street.open()) == expected


async def test_a_call_escalates_until_somebody_answers_and_ends_only_by_hand(
    street: Street,
) -> None:
    await street.event("sos.pressed")
    for waited_ms, escalation in ((14_000, 0), (2_000, 1), (28_000, 1), (2_000, 2)):
        street.clock.pass_ms(waited_ms)
        await street.fleet.alarms.escalate()
        (call,) = await street.fleet.alarms.alarms(ADMIN)
        assert call.escalation == escalation
    with pytest.raises(ConflictError, match="acknowledge"):
        await street.fleet.alarms.clear(ADMIN, call.number)
    answered = await street.fleet.alarms.acknowledge(ADMIN, call.number)
    assert (answered.acknowledged_by, answered.escalation) == ("admin", 2)
    await street.report(GOOD)
    assert await street.open() == [AlarmKind.SOS]
    await street.fleet.alarms.clear(ADMIN, call.number)
    assert await street.open() == []
    actions = [record.entry.action for record in await street.fleet.audit.records(ADMIN, limit=4)]
    assert actions == ["alarm.clear", "alarm.ack", "alarm.escalate", "alarm.escalate"]


async def test_supply_that_an_event_says_is_lost_is_back_when_a_report_says_so(
    street: Street,
) -> None:
    await street.report(GOOD)
    await street.event("supply.lost")
    assert await street.open() == [AlarmKind.SUPPLY_LOST]
    await street.report(GOOD)
    assert await street.open() == []


async def test_alarms_are_seen_and_answered_only_in_ones_own_area(street: Street) -> None:
    await street.event("sos.pressed")
    (call,) = await street.fleet.alarms.alarms(ADMIN)
    elsewhere = Principal("eve", frozenset({Role.OPERATOR}), OTHER_DISTRICT)
    viewer = Principal("vic", frozenset({Role.VIEWER}), DISTRICT)
    assert await street.fleet.alarms.alarms(elsewhere) == []
    with pytest.raises(NotFoundError):
        await street.fleet.alarms.acknowledge(elsewhere, call.number)
    with pytest.raises(ForbiddenError):
        await street.fleet.alarms.acknowledge(viewer, call.number)
    await street.report(*[GOOD] * 8, *[(100.0, 80.0, 0.95, 230.0)] * 3)
    high = next(a for a in await street.fleet.alarms.alarms(ADMIN) if a.number != call.number)
    with pytest.raises(ConflictError, match="by itself"):
        await street.fleet.alarms.clear(ADMIN, high.number)


def test_changes_of_a_whole_city_take_a_statement_for_each_direction() -> None:
    def change(node: int, at_ms: int, *, is_raised: bool) -> AlarmChange:
        return AlarmChange(node, AlarmKind.DAY_BURNER, is_raised, at_ms)

    began = [change(node, 1, is_raised=True) for node in range(50)]
    ended = [change(node, 2, is_raised=False) for node in range(50)]
    again = change(7, 3, is_raised=True)
    assert in_rounds([*began, *ended, again]) == [(True, began), (False, ended), (True, [again])]


async def test_an_alarm_that_begins_and_ends_within_a_group_is_kept(street: Street) -> None:
    begins, ends = (
        AlarmChange(street.node, AlarmKind.POWER_HIGH, is_raised, at_ms)
        for is_raised, at_ms in ((True, 1), (False, 2))
    )
    await SqlAlarmStore(street.fleet.telemetry._store._database).change([begins, ends])  # type: ignore[attr-defined]
    (alarm,) = await street.fleet.alarms.alarms(ADMIN, is_open=None)
    assert (alarm.raised_at_ms, alarm.cleared_at_ms) == (1, 2)
