"""The loss experiment at a small size, and that its comparison would see a loss."""

import asyncio

import pytest
from typer.testing import CliRunner

from poleward_tools.bench import loss
from poleward_tools.bench.loss_node import LossNode, MadeReport
from poleward_tools.bench.loss_profiles import PROFILES
from poleward_tools.bench.registry import BENCHMARKS
from poleward_tools.bench.tcp_relay import TcpRelay
from poleward_tools.cli.main import app
from poleward_tools.exit_codes import USAGE


@pytest.mark.system
def test_killed_gateway_loses_and_repeats_nothing() -> None:
    figures = loss.run(seconds=6, profile="gateway-kill", nodes=3)
    (found,) = figures["profiles"]
    assert set(found) == {
        "name", "sent", "stored", "lost", "duplicates", "misordered", "declared_gaps",
        "max_spool_mb",
    }  # fmt: skip
    assert found["sent"] == found["stored"] > 0
    assert (found["lost"], found["duplicates"]) == (0, 0)
    assert figures["passed"]


@pytest.mark.system
def test_report_that_nobody_delivered_is_found_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def make_one_more(node: LossNode) -> None:
        node.made.append(MadeReport(node.number, 99, 0, 0))

    monkeypatch.setattr(LossNode, "stop_making", make_one_more)
    monkeypatch.setattr(loss, "_SETTLE_S", 0.0)
    figures = loss.run(seconds=0.1, profile="online", nodes=2)
    assert figures["profiles"][0]["lost"] >= 2
    assert not figures["passed"]


def test_registry_names_every_profile() -> None:
    assert BENCHMARKS["loss"].profiles == tuple(PROFILES)


def test_unknown_profile_is_refused_with_the_names() -> None:
    refused = CliRunner().invoke(app, ["bench", "loss", "--profile", "moon"])
    assert getattr(refused.exception, "exit_code", None) == USAGE
    assert "satellite" in str(refused.exception)


async def test_cut_relay_ends_connections_and_refuses_new_ones() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(100):
            writer.write(piece)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with asyncio.timeout(60), TcpRelay(f"{host}:{port}").running() as relay:
        relay_host, _, relay_port = relay.address.rpartition(":")
        reader, writer = await asyncio.open_connection(relay_host, int(relay_port))
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        assert relay.up_bytes == 4
        relay.cut()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        reader, writer = await asyncio.open_connection(relay_host, int(relay_port))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        relay.restore()
        reader, writer = await asyncio.open_connection(relay_host, int(relay_port))
        writer.write(b"pong")
        assert await reader.readexactly(4) == b"pong"
        writer.close()
    server.close()
