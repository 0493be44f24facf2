"""Rules without I/O: pole status, rates, audit chain, permissions, rollout decisions."""

from dataclasses import replace

import pytest

from poleward_fleet.domain.accounts import Permission, Principal, Role
from poleward_fleet.domain.audit import AuditEntry, AuditRecord, chain_digest, first_broken
from poleward_fleet.domain.errors import ForbiddenError, InvalidError
from poleward_fleet.domain.identity import check_gateway_name, operational_sender_id
from poleward_fleet.domain.inventory import LinkState, PoleMarker, PoleStatus, pole_status, totals
from poleward_fleet.domain.metrics import METRICS, metric_named


def status(
    link: LinkState | None,
    level: float | None = None,
    power: float | None = None,
    *,
    heard: int = 1,
    failed: bool = False,
) -> PoleStatus:
    return pole_status(
        link,
        heard_at_ms=heard,
        level_percent=level,
        power_w=power,
        nominal_w=60,
        lamp_failed=failed,
    )


def test_status_follows_link_level_and_power() -> None:
    online = LinkState.ONLINE
    assert status(None) is PoleStatus.NO_NODE
    assert status(online, 50, 30, heard=0) is PoleStatus.WAITING
    assert status(LinkState.BOOTSTRAPPED) is PoleStatus.WAITING
    assert status(LinkState.SILENT, 50, 30) is PoleStatus.SILENT
    assert status(LinkState.OFFLINE, 50, 30) is PoleStatus.OFFLINE
    assert status(online, 0, 0.3) is PoleStatus.DARK
    assert status(online) is PoleStatus.DARK
    assert status(online, 50, 29) is PoleStatus.LIT
    assert status(online, 50, None) is PoleStatus.LIT
    assert status(online, 50, 0.4) is PoleStatus.FAULT
    assert status(online, 50, 29, failed=True) is PoleStatus.FAULT


def marker(state: PoleStatus, level: float | None) -> PoleMarker:
    return PoleMarker("P", "1", 0, 0, state, level, None, 1)


def test_rates_count_what_the_trade_counts() -> None:
    found = totals(
        [
            marker(PoleStatus.LIT, 80),
            marker(PoleStatus.LIT, 80),
            marker(PoleStatus.FAULT, 80),
            marker(PoleStatus.DARK, 0),
            marker(PoleStatus.SILENT, 80),
            marker(PoleStatus.NO_NODE, None),
        ]
    )
    assert found.online_rate == 4 / 5
    assert found.lit_rate == 2 / 4
    assert totals([]).online_rate is None
    assert totals([marker(PoleStatus.DARK, 0)]).lit_rate is None


def test_audit_chain_breaks_where_a_record_was_altered() -> None:
    records: list[AuditRecord] = []
    digest = bytes(32)
    for number in range(1, 6):
        entry = AuditEntry("admin", "lamp.set", f"P-{number}", (("level", "1"),))
        digest = chain_digest(digest, number, entry)
        records.append(AuditRecord(number, number, entry, digest))
    assert first_broken(records) is None
    altered = replace(records[2], entry=replace(records[2].entry, actor="somebody"))
    assert first_broken([*records[:2], altered, *records[3:]]) == 3
    assert first_broken([*records[:2], *records[3:]]) == 3


def test_roles_deny_by_default() -> None:
    viewer = Principal("v", frozenset({Role.VIEWER}))
    viewer.require(Permission.SEE)
    with pytest.raises(ForbiddenError, match="operator"):
        viewer.require(Permission.COMMAND)
    assert not Principal("nobody", frozenset()).may(Permission.SEE)
    assert all(Principal("a", frozenset({Role.ADMINISTRATOR})).may(p) for p in Permission)


@pytest.mark.parametrize(
    ("number", "sender_id"), [(1, "01"), (255, "ff"), (256, "0100"), (70000, "011170")]
)
def test_sender_id_is_the_number_big_endian_and_minimal(number: int, sender_id: str) -> None:
    assert operational_sender_id(number).hex() == sender_id


@pytest.mark.parametrize("name", ["", "GW", "-a", "a b", "a" * 64, "ä", "a\n"])
def test_gateway_names_fit_certificates(name: str) -> None:
    with pytest.raises(InvalidError):
        check_gateway_name(name)


def test_every_metric_has_a_name_in_both_languages() -> None:
    assert all(metric.label_en and metric.label_zh for metric in METRICS.values())
    assert metric_named("new.thing_x").label_en == "new.thing_x"
