"""The checklist of a technician: what passes, what waits, what fails."""

from dataclasses import replace

import pytest

from poleward_commissioning.checklist import (
    ONLINE,
    Facts,
    Place,
    Verdict,
    checklist,
    distance_m,
    is_complete,
)

NOW_MS = 1_800_000_000_000
HEALTHY = Facts(
    link_state=ONLINE,
    version="1.0.0",
    equipment=("lamp", "air"),
    lamp_nominal_w=100,
    values={
        "supply.voltage_v": 230.0,
        "air.temperature_c": 12.0,
        "air.humidity_percent": 60.0,
        "air.pm10_ug_m3": 20.0,
    },
    measured_at_ms=NOW_MS - 500,
    blink_w=(99.0, 21.0),
    blink_failure="",
    sos_pressed=False,
    now_ms=NOW_MS,
)


def verdicts(**changes: object) -> dict[str, Verdict]:
    facts = replace(HEALTHY, **changes)  # type: ignore[arg-type]
    return {check.name: check.verdict for check in checklist(facts)}


def test_healthy_pole_is_complete_and_what_is_not_mounted_does_not_matter() -> None:
    checks = checklist(HEALTHY)
    assert is_complete(checks)
    assert {check.name for check in checks if check.verdict is Verdict.ABSENT} == {"sos"}


@pytest.mark.parametrize(
    ("changes", "name", "verdict"),
    [
        ({"link_state": "bootstrapped"}, "link", Verdict.WAITING),
        ({"blink_w": ()}, "lamp", Verdict.WAITING),
        ({"blink_w": (99.0, 97.0)}, "lamp", Verdict.FAILED),
        ({"blink_w": (1.0, 0.2)}, "lamp", Verdict.FAILED),
        ({"blink_failure": "unreachable"}, "lamp", Verdict.FAILED),
        ({"values": {"supply.voltage_v": 90.0}}, "supply", Verdict.FAILED),
        ({"values": {}}, "humidity", Verdict.FAILED),
        ({"values": {}, "measured_at_ms": 0}, "humidity", Verdict.WAITING),
        ({"measured_at_ms": NOW_MS + 60_000}, "clock", Verdict.FAILED),
        ({"version": ""}, "version", Verdict.WAITING),
        ({"equipment": ("lamp", "sos")}, "sos", Verdict.WAITING),
        ({"equipment": ("lamp", "sos"), "sos_pressed": True}, "sos", Verdict.PASSED),
    ],
)
def test_each_fault_shows_in_its_own_line(
    changes: dict[str, object], name: str, verdict: Verdict
) -> None:
    assert verdicts(**changes)[name] is verdict


def test_distance_is_that_of_the_ground() -> None:
    # One thousandth of a degree of latitude is 111 m.
    assert 110 < distance_m(Place(30.0, 120.0, 5), 30.001, 120.0) < 112
    assert distance_m(Place(30.0, 120.0, 5), 30.0, 120.0) == 0
