"""The map in memory: what is read when, who falls silent, when it is let go of."""

from collections.abc import Collection
from dataclasses import replace
from typing import cast

import pytest

from poleward_fleet.domain.errors import UnavailableError
from poleward_fleet.domain.inventory import PoleMarker, PoleStatus
from poleward_fleet.ports.inventory import InventoryStore
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.city_map import KEEP_MS, CityMap

_LIT = PoleMarker("P-1", "370200000000", 36.0, 120.0, PoleStatus.LIT, 80.0, 77.0, 1_000, 200_000)


class Clock:
    """Stands still."""

    ms = 2_000

    def now_ms(self) -> int:
        return self.ms


class Store:
    """Two poles; remembers what was asked for."""

    def __init__(self) -> None:
        self.poles = {"P-1": _LIT, "P-3": replace(_LIT, code="P-3", area_code="370202000000")}
        self.asked: list[Collection[str] | None] = []
        self.away = False

    async def markers(self, codes: Collection[str] | None) -> list[PoleMarker]:
        self.asked.append(codes if codes is None else sorted(codes))
        if self.away:
            raise UnavailableError("the database is away")
        return [self.poles[code] for code in sorted(self.poles) if codes is None or code in codes]


class City:
    """A map over the store."""

    def __init__(self) -> None:
        self.store, self.clock, self.changes = Store(), Clock(), ChangeBroadcast()
        self.map = CityMap(cast(InventoryStore, self.store), self.changes, self.clock)


@pytest.fixture
def city() -> City:
    return City()


async def test_everything_is_read_once_and_what_changed_again(city: City) -> None:
    assert [m.code for m in await city.map.markers(None)] == ["P-1", "P-3"]
    assert await city.map.markers(None, ["P-3"]) == [city.store.poles["P-3"]]
    assert city.store.asked == [None]
    city.store.poles["P-2"] = replace(_LIT, code="P-2", level_percent=30.0)
    del city.store.poles["P-3"]
    city.changes.publish(pole_codes=["P-2", "P-3"])
    assert [m.code for m in await city.map.markers(None)] == ["P-1", "P-2"]
    assert city.store.asked == [None, ["P-2", "P-3"]]


async def test_only_allowed_areas_are_seen(city: City) -> None:
    assert [m.code for m in await city.map.markers({"370202000000"})] == ["P-3"]
    assert await city.map.markers({"370202000000"}, ["P-1"]) == []


async def test_a_pole_that_falls_silent_is_told_once(city: City) -> None:
    await city.map.markers(None)
    listener = city.changes.listen()
    city.map.look_again()
    assert not listener.take().pole_codes
    city.clock.ms = 200_000
    city.map.look_again()
    assert listener.take().pole_codes == {"P-1", "P-3"}
    assert {m.status for m in await city.map.markers(None)} == {PoleStatus.SILENT}
    city.clock.ms += 5_000
    city.map.look_again()
    assert not listener.take().pole_codes


async def test_nothing_is_held_when_nobody_looks(city: City) -> None:
    await city.map.markers(None)
    assert city.changes.wanted
    city.clock.ms += KEEP_MS + 1
    city.map.look_again()
    assert not city.changes.wanted
    await city.map.markers(None)
    assert city.store.asked == [None, None]


async def test_a_change_is_not_forgotten_when_the_store_is_away(city: City) -> None:
    city.store.away = True
    with pytest.raises(UnavailableError):
        await city.map.markers(None)
    assert not city.changes.wanted
    city.store.away = False
    await city.map.markers(None)
    city.store.away = True
    city.changes.publish(pole_codes=["P-1"])
    with pytest.raises(UnavailableError):
        await city.map.markers(None)
    city.store.away = False
    city.store.poles["P-1"] = replace(_LIT, level_percent=10.0)
    assert (await city.map.markers(None))[0].level_percent == 10.0
