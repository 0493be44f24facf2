"""The gateway of the benchmark `group-command`, as a process of its own: the real one, no fleet.

Run by bench_process.py. Waits until every node is registered and settled, then gives its orders.
"""

import asyncio
import json
import statistics
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from poleward_gateway.adapters.fleet_link.identity import Identity
from poleward_gateway.adapters.node_link.lanes import open_lanes
from poleward_gateway.adapters.secrets.sealed_box import open_box
from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.adapters.storage.nodes import SqliteDesiredStore
from poleward_gateway.bootstrap import Gateway
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.commands import Command, CommandResult, CommandStatus, SetLamp
from poleward_gateway.domain.nodes import DesiredChange, DesiredNode, NodeNumber, OscoreKeys
from poleward_gateway.domain.trust import Signers
from poleward_tools.bench.bench_fleet import quiet_log
from poleward_tools.bench.report_keys import GATEWAY_ID, node_id, secret_and_salt

_READY_S = 120.0
_BETWEEN_S = 2.0
"""Between orders: fades end, and the nodes report what became of their lamps."""
_DEADLINE_MS = 60_000
_REPORT_INTERVAL_S = 60
_NO_KEYS = OscoreKeys(b"", b"", b"", b"")


async def run(order: dict[str, Any]) -> dict[str, Any]:
    """Serve the nodes and dim them; return the figures."""
    config = GatewayConfig(Path(order["folder"]), coap_port=order["port"])
    config.data_dir.mkdir()
    await _prepare(config, order)
    database = Database(config.database_path)
    gateway = Gateway(
        config,
        Identity("bench", b"", b"", b"", ""),
        database,
        open_box(config.key_source, config.key_file),
    )
    await gateway.start()
    gateway.endpoint.open(open_lanes(config.coap_host, config.coap_port))
    parts = (gateway.jobs.run, gateway.command_jobs.run, gateway.upkeep.run)
    tasks = [asyncio.create_task(part()) for part in parts]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    try:
        await _until_settled(gateway, order["nodes"])
        return await _measure(gateway, order)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await gateway.reports.close()
        await gateway.endpoint.close()
        await gateway.close()
        database.close()


async def _prepare(config: GatewayConfig, order: dict[str, Any]) -> None:
    """Put the nodes into the database, as the fleet would."""
    made = []
    identities = order["identities"]
    for number in range(1, order["nodes"] + 1):
        bootstrap, mac = _NO_KEYS, f"{number:012x}"
        if number <= len(identities):
            mac, secret, salt = identities[number - 1]
            bootstrap = OscoreKeys(
                bytes.fromhex(secret), bytes.fromhex(salt), bytes.fromhex(mac), GATEWAY_ID
            )
        made.append(
            DesiredNode(
                number=NodeNumber(number),
                endpoint_name=f"urn:dev:mac:{mac}",
                bootstrap=bootstrap,
                operational=OscoreKeys(*secret_and_salt(number), node_id(number), GATEWAY_ID),
                report_interval_s=_REPORT_INTERVAL_S,
                lamp_nominal_w=60,
            )
        )
    database = Database(config.database_path)
    desired = SqliteDesiredStore(database, open_box(config.key_source, config.key_file))
    database.start()
    await desired.apply(DesiredChange(1, True, tuple(made), (), Signers((), 1), ()))
    database.close()


async def _until_settled(gateway: Gateway, nodes: int) -> None:
    """Wait for every node's registration and for what the gateway writes after it."""

    def settled() -> int:
        states = (gateway.registry.state(node) for node in gateway.registry.numbers())
        return sum(state is not None and state.device is not None for state in states)

    give_up_at = time.monotonic() + _READY_S
    while settled() < nodes or gateway.jobs.is_busy:
        if time.monotonic() > give_up_at:
            raise SystemExit(f"only {settled()} of {nodes} nodes were settled in {_READY_S:.0f} s")
        await asyncio.sleep(0.2)


async def _measure(gateway: Gateway, order: dict[str, Any]) -> dict[str, Any]:
    """Give the orders; return the figures over all but the first."""
    began_cpu_s = time.process_time()
    rounds: list[dict[int, float]] = []
    confirmed = []
    for number in range(order["rounds"]):
        await asyncio.sleep(_BETWEEN_S)
        level_percent = 30 if number % 2 else 80
        began_ms = time.time() * 1000
        commands = [
            Command(
                uuid.uuid4().bytes,
                NodeNumber(node),
                int(began_ms) + _DEADLINE_MS,
                SetLamp(0, level_percent, 0),
            )
            for node in range(1, order["nodes"] + 1)
        ]
        results = await gateway.commands.carry_out(commands)
        done = {
            command.node: result.finished_at_ms - began_ms
            for command, result in zip(commands, results, strict=True)
            if result.status is CommandStatus.DONE
        }
        rounds.append({int(node): elapsed_ms for node, elapsed_ms in done.items()})
        confirmed.append(len(done))
        _tell_failures(results)
    later = [elapsed_ms for done in rounds[1:] for elapsed_ms in done.values()]
    boards = len(order["identities"])
    on_boards = [ms for done in rounds[1:] for node, ms in done.items() if node <= boards]
    return {
        "p50_ms": _quantile(later, 50),
        "p95_ms": _quantile(later, 95),
        "p99_ms": _quantile(later, 99),
        "confirmed": min(confirmed),
        "nodes": order["nodes"],
        "virtual_boards": boards,
        "virtual_board_p99_ms": _quantile(on_boards, 99),
        "first_p99_ms": _quantile(list(rounds[0].values()), 99),
        "orders": order["rounds"],
        "gateway_cpu_ms_per_command": round(
            (time.process_time() - began_cpu_s) * 1000 / (order["rounds"] * order["nodes"]), 2
        ),
    }


def _tell_failures(results: list[CommandResult]) -> None:
    for result in results:
        if result.status is not CommandStatus.DONE:
            print(result.status.value, result.detail, file=sys.stderr)


def _quantile(values: list[float], percent: int) -> float:
    if len(values) < 2:
        return round(values[0], 1) if values else 0.0
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 1)


if __name__ == "__main__":
    with quiet_log():
        print(json.dumps(asyncio.run(run(json.loads(sys.stdin.readline())))), flush=True)
