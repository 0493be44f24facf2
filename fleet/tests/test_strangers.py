"""Whom gateways refused: kept within bounds, shown by area, an alarm when there are many."""

import pytest
from test_people_commands import poleward
from test_people_pages import Browser, chief, mei, site

from fleet_rig import (
    ADMIN,
    DISTRICT,
    OTHER_DISTRICT,
    FakeGateway,
    Rig,
    make_gateway,
    make_poles,
)
from poleward.v1 import gateway_link_service_pb2 as link_pb
from poleward_fleet.assembly import Fleet
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.alarms import AlarmKind
from poleward_fleet.domain.strangers import (
    ATTEMPTS_ALARM,
    SIGHTINGS_MAX,
    Sighting,
    StrangerKind,
    StrangersSeen,
)

__all__ = ["chief", "mei", "site"]  # fixtures

NOW_MS = 1_800_000_000_000


def seen(key_id: bytes, *, is_wrong_key: bool = False, at_ms: int = NOW_MS) -> Sighting:
    return Sighting(is_wrong_key, key_id, "192.0.2.7:4711", at_ms - 5, at_ms, 3)


def watcher_of(area: str) -> Principal:
    return Principal("w", frozenset({Role.VIEWER}), area)


async def test_a_stranger_is_named_by_what_the_fleet_knows_of_its_key_id(fleet: Fleet) -> None:
    await make_gateway(fleet, "gw-1")
    await make_gateway(fleet, "gw-2")
    (node,) = await make_poles(fleet, 1)
    sightings = (
        seen(bytes.fromhex("aabbcc000001"), at_ms=NOW_MS + 4),
        seen(node.to_bytes(2, "big"), at_ms=NOW_MS + 3),
        seen(bytes.fromhex("ffffff000001"), at_ms=NOW_MS + 2),
        seen(b"", at_ms=NOW_MS + 1),
        seen(b"\xff" * 16),
    )
    await fleet.strangers.take("gw-2", StrangersSeen(sightings, 1))
    await fleet.strangers.take("gw-1", StrangersSeen((seen(b"\x01", is_wrong_key=True),), 1))
    found = await fleet.strangers.strangers(ADMIN)
    assert {(s.gateway_name, s.kind, s.node_number, s.sighting.key_id) for s in found} == {
        ("gw-2", StrangerKind.FOREIGN_NODE, node, bytes.fromhex("aabbcc000001")),
        ("gw-2", StrangerKind.FOREIGN_NODE, node, node.to_bytes(2, "big")),
        ("gw-2", StrangerKind.UNKNOWN_NODE, 0, bytes.fromhex("ffffff000001")),
        ("gw-2", StrangerKind.UNKNOWN_NODE, 0, b""),
        ("gw-2", StrangerKind.UNKNOWN_NODE, 0, b"\xff" * 16),
        ("gw-1", StrangerKind.WRONG_KEY, node, b"\x01"),
    }
    assert found[0].sighting == sightings[0]


async def test_each_gateway_has_a_bounded_number_and_the_newest_stay(fleet: Fleet) -> None:
    await make_gateway(fleet, "gw-1")
    for part in range(2):
        sightings = tuple(
            seen(b"%016d" % (part * SIGHTINGS_MAX + n), at_ms=NOW_MS + part * SIGHTINGS_MAX + n)
            for n in range(SIGHTINGS_MAX)
        )
        await fleet.strangers.take("gw-1", StrangersSeen(sightings, 1))
    found = await fleet.strangers.strangers(ADMIN)
    assert len(found) == SIGHTINGS_MAX
    assert found[-1].sighting.key_id == b"%016d" % SIGHTINGS_MAX


async def test_strangers_and_their_alarm_are_seen_in_the_gateways_area_only(fleet: Fleet) -> None:
    await make_gateway(fleet, "gw-1")
    await fleet.strangers.take("gw-1", StrangersSeen((seen(b"abcdef"),), ATTEMPTS_ALARM))
    for area, expected in ((DISTRICT, 1), (OTHER_DISTRICT, 0)):
        watcher = watcher_of(area)
        assert len(await fleet.strangers.strangers(watcher)) == expected
        assert len(await fleet.alarms.alarms(watcher)) == expected


async def test_many_attempts_are_one_alarm_of_the_gateway_until_it_is_calm(fleet: Fleet) -> None:
    await make_gateway(fleet, "gw-1")
    counts = []
    for rate in (ATTEMPTS_ALARM - 1, ATTEMPTS_ALARM, 10 * ATTEMPTS_ALARM, ATTEMPTS_ALARM - 1):
        await fleet.strangers.take("gw-1", StrangersSeen((), rate))
        counts.append(len(await fleet.alarms.alarms(ADMIN)))
    assert counts == [0, 1, 1, 1]
    (alarm,) = await fleet.alarms.alarms(ADMIN)
    assert (alarm.kind, alarm.gateway_name) == (AlarmKind.STRANGERS, "gw-1")
    taken = await fleet.alarms.acknowledge(ADMIN, alarm.number)
    assert taken.acknowledged_by == "admin"
    await fleet.strangers.take("gw-1", StrangersSeen((), 0))
    assert await fleet.alarms.alarms(ADMIN) == []


async def test_the_page_names_strangers_in_both_languages(chief: Browser, fleet: Fleet) -> None:
    await make_gateway(fleet, "gw-1")
    assert "Nobody was refused" in (await chief.get("/strangers")).text
    await fleet.strangers.take("gw-1", StrangersSeen((seen(b"abcdef"),), ATTEMPTS_ALARM))
    page = (await chief.get("/strangers")).text
    assert "616263646566" in page
    assert "Unknown node" in page
    assert "未知节点" in (await chief.get("/strangers", "zh-CN")).text
    assert 'href="/strangers"' in (await chief.get("/gateways")).text
    assert "Many strangers at a gateway" in (await chief.get("/alarms")).text


@pytest.mark.system
async def test_what_a_gateway_sends_is_listed_whatever_it_contains(rig: Rig) -> None:
    key, certificate = await rig.enroll()
    sighting = link_pb.StrangerSighting(
        fault=link_pb.STRANGER_FAULT_UNKNOWN_KEY_ID,
        key_id=b"\xff" * 300,
        peer="\x00" * 500,
        first_seen_at_ms=-1,
        last_seen_at_ms=2**63 - 1,
        attempts=2**64 - 1,
    )
    message = link_pb.StrangersSeen(
        sightings=[sighting, sighting, link_pb.StrangerSighting()], attempts_per_minute=2**32 - 1
    )
    async with rig.link(key, certificate) as channel:
        gateway = FakeGateway(channel)
        await gateway.connect()
        await gateway.send(link_pb.ConnectRequest(strangers_seen=message))
        # What comes after it on the stream is answered after it.
        await gateway.send(link_pb.ConnectRequest(event_batch=link_pb.EventBatch(batch_number=1)))
        await gateway.next("event_ack")
    (found,) = (await poleward(rig, "node", "strangers", "--json")).json["strangers"]
    assert (found["kind"], found["key_id"]) == ("unknown_node", "ff" * 16)
    (alarm,) = (await poleward(rig, "alarm", "list", "--json")).json["alarms"]
    assert (alarm["kind"], alarm["gateway_name"]) == ("gateway.strangers", "gw-1")
    assert "gw-1" in (await poleward(rig, "alarm", "ack", str(alarm["number"]))).out
    assert "unknown_node" in (await poleward(rig, "node", "strangers")).out
