"""Reports whose values are laid out: learned once from a node, kept, and what cannot be learned."""

import math
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import cbor2
import pytest
from aiocoap.numbers import codes
from gateway_fakes.desired import desired_node
from gateway_fakes.fleet import FakeFleet
from gateway_fakes.node import FakeNode, MakeNode, until
from hypothesis import given
from hypothesis import strategies as st

from poleward_gateway import bootstrap
from poleward_gateway.adapters.node_link import report_mapping
from poleward_gateway.adapters.node_link.report_layouts import Layout
from poleward_gateway.adapters.storage import schema
from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.adapters.storage.layouts import SqliteLayouts
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.telemetry import Series

LAYOUT = "/3416/0/3 /1/2/3 /3418/0/4"
LAYOUT_ID = zlib.crc32(LAYOUT.encode())
KNOWN = Layout(3, (Series("lamp.level_percent", 0), Series("supply.active_power_w", 0)), (0, 2))


def find(layout_id: int) -> Layout | None:
    return KNOWN if layout_id == LAYOUT_ID else None


async def send(node: FakeNode, sequence: int, values: Any) -> Any:
    pack = [
        {-2: "/26241/0/", -3: 1_790_000_000, 0: "0", 2: 1},
        {0: "1", 2: sequence},
        {0: "4", 8: cbor2.dumps(values)},
    ]
    return await node.send(cbor2.dumps(pack))


async def send_until_taken(node: FakeNode, sequence: int, values: Any) -> None:
    while (response := await send(node, sequence, values)).code != codes.CHANGED:
        assert response.code == codes.SERVICE_UNAVAILABLE
        assert response.opt.max_age == 1


async def test_a_layout_is_asked_for_once_and_the_report_taken(
    gateway: bootstrap.Gateway, fleet: FakeFleet, node: FakeNode
) -> None:
    node.resources["/26241/0/5"] = LAYOUT
    assert (await send(node, 0, [LAYOUT_ID, 70, 1, 42.5])).code == codes.SERVICE_UNAVAILABLE
    await send_until_taken(node, 0, [LAYOUT_ID, 70, 1, 42.5])
    await send_until_taken(node, 1, [LAYOUT_ID, 71, 1, None])
    await until(lambda: (1, 1, 1) in fleet.reports)
    report = fleet.reports[(1, 1, 0)]
    assert [s.metric for s in report.layout] == ["lamp.level_percent", "supply.active_power_w"]
    assert tuple(report.values) == (70.0, 42.5)
    assert math.isnan(fleet.reports[(1, 1, 1)].values[1])
    assert gateway.layouts.find(LAYOUT_ID) == KNOWN


async def test_a_layout_survives_a_restart(
    config: GatewayConfig, fleet: FakeFleet, make_node: MakeNode
) -> None:
    fleet.desire([desired_node(1)], revision=1)
    async with bootstrap.running(config) as gateway:
        await until(lambda: len(gateway.table) == 2)
        node = await make_node(gateway.endpoint.port)
        await node.bootstrap()
        await node.register()
        node.resources["/26241/0/5"] = LAYOUT
        await send_until_taken(node, 0, [LAYOUT_ID, 70, 1, 42.5])
    async with bootstrap.running(config) as gateway:
        assert gateway.layouts.find(LAYOUT_ID) == KNOWN


def test_a_file_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    old = sqlite3.connect(path)
    old.executescript(f"{schema._STEPS[0]} PRAGMA user_version = 1;")
    old.close()
    database = Database(path)
    assert SqliteLayouts(database).load_now() == {}
    database.close()


async def test_one_node_explains_the_layout_of_another(
    gateway: bootstrap.Gateway, node: FakeNode, make_node: MakeNode
) -> None:
    node.resources["/26241/0/5"] = LAYOUT
    await send_until_taken(node, 0, [LAYOUT_ID, 70, 1, 42.5])
    other = await make_node(gateway.endpoint.port, 2)
    await other.bootstrap()
    await other.register()
    asked = gateway.tally.counts["layouts_asked_for"]
    assert (await send(other, 0, [LAYOUT_ID, 1, 2, 3])).code == codes.CHANGED
    assert gateway.tally.counts["layouts_asked_for"] == asked


async def test_a_layout_that_nobody_can_explain_is_refused(
    gateway: bootstrap.Gateway, node: FakeNode
) -> None:
    node.resources["/26241/0/5"] = LAYOUT
    while (response := await send(node, 0, [1, 70])).code == codes.SERVICE_UNAVAILABLE:
        pass
    assert response.code == codes.BAD_REQUEST
    assert b"layout 1" in response.payload
    await send_until_taken(node, 1, [LAYOUT_ID, 70, 1, 42.5])


@pytest.mark.parametrize("text", ["", "x", "/1/2", "/1/2/3  /1/2/3", "/1/2/3 " * 99])
async def test_a_layout_that_is_none_is_not_kept(
    gateway: bootstrap.Gateway, node: FakeNode, text: str
) -> None:
    node.resources["/26241/0/5"] = text
    layout_id = zlib.crc32(text.encode())
    while (response := await send(node, 0, [layout_id])).code == codes.SERVICE_UNAVAILABLE:
        pass
    assert response.code == codes.BAD_REQUEST
    assert gateway.layouts.find(layout_id) is None


@pytest.mark.parametrize(
    "encoded",
    [b"", b"\xff", b"\xf6", cbor2.dumps([]), cbor2.dumps({}), cbor2.dumps([[1], 2]),
     cbor2.dumps(["x"]), cbor2.dumps([LAYOUT_ID, 1, 2]), cbor2.dumps([LAYOUT_ID, 1, 2, 3, 4]),
     cbor2.dumps([True])],
)  # fmt: skip
def test_values_that_fit_no_layout_are_refused(encoded: bytes) -> None:
    with pytest.raises(report_mapping.PackError):
        report_mapping.to_readings(encoded, find)


@given(st.binary(max_size=64))
def test_any_bytes_are_values_or_refused(encoded: bytes) -> None:
    try:
        report_mapping.to_readings(encoded, find)
    except (report_mapping.PackError, report_mapping.UnknownLayoutError):
        return
