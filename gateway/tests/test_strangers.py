"""Whom the gateway refuses: remembered within bounds, told to the fleet once a minute."""

import pytest
from aiocoap.numbers import codes
from gateway_fakes.clock import SteppedClock
from gateway_fakes.desired import keys_of
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import FakeContext, FakeNode, until

from poleward.v1 import gateway_link_service_pb2 as pb
from poleward_gateway import bootstrap
from poleward_gateway.adapters.metrics.prometheus import MemoryTally
from poleward_gateway.domain.nodes import OscoreKeys
from poleward_gateway.domain.strangers import Fault
from poleward_gateway.services import strangers
from poleward_gateway.services.strangers import KEPT_MAX, PERIOD_S, Strangers

PERIOD_MS = int(PERIOD_S * 1000)


def test_a_stranger_is_told_at_once_and_then_once_a_minute_until_it_is_calm() -> None:
    clock = SteppedClock()
    strangers = Strangers(clock, MemoryTally())
    calm = strangers.take_news()
    assert calm is not None
    assert calm.sightings == ()
    assert strangers.take_news() is None
    strangers.note(Fault.UNKNOWN_KEY_ID, b"abcdef", "192.0.2.7:4711")
    first = strangers.take_news()
    assert first is not None
    assert first.attempts_per_minute == 1
    for _ in range(30):
        strangers.note(Fault.UNKNOWN_KEY_ID, b"abcdef", "192.0.2.8:4711")
    assert strangers.take_news() is None
    clock.ms += PERIOD_MS
    news = strangers.take_news()
    assert news is not None
    (seen,) = news.sightings
    assert (seen.attempts, seen.peer) == (31, "192.0.2.8:4711")
    assert news.attempts_per_minute == 30
    clock.ms += PERIOD_MS
    end = strangers.take_news()
    assert end is not None
    assert (end.sightings, end.attempts_per_minute) == ((), 0)
    clock.ms += PERIOD_MS
    assert strangers.take_news() is None


def test_a_flood_of_key_ids_pushes_out_the_oldest_which_is_counted() -> None:
    tally = MemoryTally()
    strangers = Strangers(SteppedClock(), tally)
    for number in range(KEPT_MAX + 44):
        strangers.note(Fault.UNKNOWN_KEY_ID, number.to_bytes(200, "little"), "192.0.2.7:1")
    news = strangers.take_news()
    assert news is not None
    assert len(news.sightings) == KEPT_MAX
    assert len(news.sightings[0].key_id) == 16
    assert int.from_bytes(news.sightings[0].key_id, "little") == 44
    assert tally.counts["strangers_forgotten"] == 44


def test_a_new_stream_is_told_everything_again() -> None:
    strangers = Strangers(SteppedClock(), MemoryTally())
    strangers.note(Fault.WRONG_KEY, b"\x01", "192.0.2.7:1")
    told = strangers.take_news()
    strangers.tell_everything()
    again = strangers.take_news()
    assert told is not None
    assert again is not None
    assert again.sightings == told.sightings


async def test_the_fleet_learns_of_unknown_nodes_and_wrong_keys(
    gateway: bootstrap.Gateway,
    fleet: FakeFleet,
    node: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(strangers, "PERIOD_S", 0.0)
    unknown = FakeContext(OscoreKeys(b"s" * 16, b"", b"abcdef", b"\x00"))
    known = keys_of(2, "operational")
    forged = FakeContext(OscoreKeys(b"s" * 16, b"", known.node_id, known.gateway_id))

    def told() -> dict[tuple[int, bytes], int]:
        return {
            (seen.fault, seen.key_id): seen.attempts
            for message in fleet.strangers
            for seen in message.sightings
        }

    for context in (unknown, forged):
        await node.request(context, codes.POST, ("dp",), payload=b"x")
    await until(lambda: len(told()) == 2)
    assert told() == {
        (pb.STRANGER_FAULT_UNKNOWN_KEY_ID, b"abcdef"): 1,
        (pb.STRANGER_FAULT_WRONG_KEY, known.node_id): 1,
    }
