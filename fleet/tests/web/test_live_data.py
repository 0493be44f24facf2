"""Columns of the map and live streams, without a browser."""

import asyncio
import itertools
import json
import math
from collections.abc import AsyncGenerator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poleward_fleet.adapters.web.live_streams import LiveStreams
from poleward_fleet.adapters.web.map_columns import (
    STATUS_ORDER,
    change_columns,
    compressed,
    map_columns,
)
from poleward_fleet.adapters.web.map_pages import area_depths
from poleward_fleet.adapters.web.pages import HERE
from poleward_fleet.adapters.web.rollout_pages import BAR_ORDER, progress_bar
from poleward_fleet.domain.inventory import Area, PoleMarker, PoleStatus
from poleward_fleet.domain.rollout import NodeStage

NOW_MS = 1_795_000_000_000
DEGREES = st.floats(-80, 80)
MARKERS = st.builds(
    PoleMarker,
    code=st.text(min_size=1, max_size=12),
    area_code=st.sampled_from(["370202000000", "370203000000"]),
    latitude_deg=DEGREES,
    longitude_deg=DEGREES,
    status=st.sampled_from(PoleStatus),
    level_percent=st.none() | st.floats(0, 100) | st.just(math.nan),
    power_w=st.none() | st.floats(0, 1000),
    heard_at_ms=st.just(0) | st.integers(NOW_MS - 10**9, NOW_MS),
)


@given(st.lists(MARKERS, max_size=20))
def test_map_columns_hold_what_the_markers_said(markers: list[PoleMarker]) -> None:
    columns = map_columns(markers, [], at_ms=NOW_MS)
    json.dumps(columns, allow_nan=False)
    latitudes = itertools.accumulate(columns["latitude_e6"])
    longitudes = itertools.accumulate(columns["longitude_e6"])
    for index, (marker, latitude, longitude) in enumerate(
        zip(markers, latitudes, longitudes, strict=True)
    ):
        assert abs(latitude / 1e6 - marker.latitude_deg) < 1e-6
        assert abs(longitude / 1e6 - marker.longitude_deg) < 1e-6
        assert STATUS_ORDER[int(columns["status"][index])] is marker.status
        assert columns["area_codes"][columns["area"][index]] == marker.area_code
        assert (columns["heard_ago_s"][index] == -1) == (marker.heard_at_ms == 0)


@given(MARKERS)
def test_a_change_says_the_same_as_the_map(marker: PoleMarker) -> None:
    whole = map_columns([marker], [], at_ms=NOW_MS)
    change = change_columns([marker], at_ms=NOW_MS)
    assert change["code"] == whole["code"]
    assert str(change["status"][0]) == whole["status"]
    assert change["level"] == whole["level"]
    assert change["power_dw"] == whole["power_dw"]


def test_browser_knows_the_statuses_in_the_same_order() -> None:
    source = (HERE / "static" / "pole_columns.js").read_text(encoding="utf-8")
    names = source.split("STATUSES = [")[1].split("]")[0]
    assert [name.strip(' "') for name in names.split(",")] == [s.value for s in STATUS_ORDER]
    assert set(STATUS_ORDER) == set(PoleStatus)


def test_map_of_a_hundred_thousand_poles_stays_small() -> None:
    markers = [
        PoleMarker(f"QD-{i:06d}", "370202000000", 36 + i % 317 * 3e-4, 120 + i // 317 * 4e-4,
                   PoleStatus.LIT, 80.0, 77.6, NOW_MS - i % 60_000)
        for i in range(100_000)
    ]  # fmt: skip
    assert len(compressed(map_columns(markers, [], at_ms=NOW_MS))) < 1_500_000


async def test_map_data_travels_compressed(operator: httpx.AsyncClient) -> None:
    answer = await operator.get("/data/map")
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["code"]) == 24


def test_areas_are_indented_by_their_depth_even_in_a_ring() -> None:
    city, district = Area("1", "City"), Area("2", "District", "1")
    assert area_depths([city, district, Area("3", "Street", "2")]) == {"1": 0, "2": 1, "3": 2}
    assert set(area_depths([Area("1", "One", "2"), Area("2", "Two", "1")])) == {"1", "2"}


async def collected(streams: LiveStreams, events: AsyncGenerator[tuple[str, object], None]) -> str:
    body = streams.response(events).body_iterator
    return "".join([str(text) async for text in body])


async def test_stream_sends_events_and_ends_with_them() -> None:
    async def events() -> AsyncGenerator[tuple[str, object], None]:
        yield "poles", {"a": 1}

    text = await collected(LiveStreams(), events())
    assert text == 'retry: 2000\n\nevent: poles\ndata: {"a":1}\n\n'


async def test_silent_stream_beats_until_closed() -> None:
    streams = LiveStreams(heartbeat_s=0.01)
    released = []

    async def silence() -> AsyncGenerator[tuple[str, object], None]:
        try:
            await asyncio.Event().wait()
            yield "never", {}
        finally:
            released.append(True)

    beats = 0
    async for text in streams.response(silence()).body_iterator:
        beats += "event: beat" in str(text)
        if beats == 3:
            streams.close()
    assert beats == 3
    assert released == [True]


async def test_stream_ends_after_its_life() -> None:
    async def busy() -> AsyncGenerator[tuple[str, object], None]:
        while True:
            yield "tick", {}
            await asyncio.sleep(0)

    async with asyncio.timeout(60):
        await collected(LiveStreams(lifetime_s=0.05), busy())


async def test_failing_source_ends_the_stream_with_its_error() -> None:
    async def broken() -> AsyncGenerator[tuple[str, object], None]:
        yield "one", {}
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await collected(LiveStreams(), broken())


@given(st.dictionaries(st.sampled_from(NodeStage), st.integers(1, 10**6), min_size=1))
def test_progress_bar_has_no_gaps_and_fills_its_width(counts: dict[NodeStage, int]) -> None:
    bar = progress_bar(counts)
    assert sum(part.count for part in bar) == sum(counts.values())
    for before, after in itertools.pairwise(bar):
        assert abs(before.start + before.width - after.start) < 0.05
    assert abs(bar[-1].start + bar[-1].width - 1000) < 0.2
    assert set(BAR_ORDER) == set(NodeStage)
