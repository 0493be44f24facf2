"""A durable fleet with gateways and nodes in service, for the time of one benchmark.

It measures nothing. The fleet runs in this process, its database in processes of its own.
"""

import contextlib
import logging
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from poleward_fleet import assembly as fleet_assembly
from poleward_fleet import bootstrap as fleet_bootstrap
from poleward_fleet.adapters.interpreter import start_is_kept
from poleward_fleet.adapters.sql.database import make_engine
from poleward_fleet.adapters.sql.embedded import EmbeddedPostgres
from poleward_fleet.adapters.sql.secret_box import SecretBox, load_or_make_key
from poleward_fleet.config import FleetConfig
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.identity import ManufacturedNode
from poleward_fleet.domain.inventory import Area, Pole
from poleward_gateway import bootstrap as gateway_bootstrap

AREA_CODE = "330106000000"
BENCHMARKER = Principal("benchmark", frozenset({Role.ADMINISTRATOR}))
STREET_POLES = 40
_SLICE = 20_000  # nodes in one statement
_ASSIGN = text(
    "UPDATE node SET life_state = 'in_service', link_state = 'online', "
    "pole_code = r.pole, gateway_name = r.gateway "
    "FROM unnest(CAST(:numbers AS integer[]), CAST(:poles AS text[]), CAST(:gateways AS text[])) "
    "AS r (number, pole, gateway) WHERE node.number = r.number"
)
_DESIRE = text(
    "INSERT INTO desired_node (gateway_name, node_number, revision, operational_secret_sealed, "
    "operational_salt) SELECT gateway, number, 1, secret, salt FROM unnest("
    "CAST(:gateways AS text[]), CAST(:numbers AS integer[]), CAST(:secrets AS bytea[]), "
    "CAST(:salts AS bytea[])) AS r (gateway, number, secret, salt)"
)
_ADD_GATEWAYS = text(
    "INSERT INTO gateway (name, area_code, certificate_serial, certificate_expires_at_ms) "
    "SELECT name, :area_code, '', 0 FROM unnest(CAST(:names AS text[])) AS r (name)"
)
_CLAIM_CODE_HASH = "0" * 64  # nobody claims these nodes


@dataclass(frozen=True, slots=True)
class BenchFleet:
    """A running fleet.

    Args:
        fleet: its services, in this process.
        addresses: where it listens.
        folder: for what a benchmark keeps.
        engine: a way of its own to the database, to see what is stored.
    """

    fleet: fleet_assembly.Fleet
    addresses: fleet_bootstrap.Addresses
    folder: Path
    engine: AsyncEngine

    async def scalar(self, query: str) -> Any:
        """Return the one value of a query."""
        async with self.engine.connect() as connection:
            return (await connection.execute(text(query))).scalar_one()

    async def enroll_gateway(self, name: str) -> Path:
        """Enrol a gateway as its program does; return its data folder."""
        token, _ = await self.fleet.enrollment.create_token(
            BENCHMARKER, gateway_name=name, area_code=AREA_CODE, valid_s=0
        )
        folder = self.folder / name
        await gateway_bootstrap.enroll(folder, self.addresses.web, token)
        return folder

    async def add_gateways(self, names: Sequence[str]) -> None:
        """Add gateways that never connect over the network."""
        async with self.engine.begin() as connection:
            await connection.execute(_ADD_GATEWAYS, {"names": names, "area_code": AREA_CODE})

    async def add_nodes(
        self,
        gateways: Sequence[str],
        nodes_per_gateway: int,
        keys: Callable[[int], tuple[bytes, bytes]] | None = None,
    ) -> list[int]:
        """Put poles with nodes in service behind gateways; return the nodes' numbers in order.

        Args:
            gateways: names.
            nodes_per_gateway: how many.
            keys: makes secret and salt of a node from its number; by chance without it.
        """
        keys = keys or _chance_keys
        box = SecretBox(load_or_make_key(self.folder / "fleet" / "secrets" / "database.key"))
        behind = [name for name in gateways for _ in range(nodes_per_gateway)]
        numbers: list[int] = []
        for start in range(0, len(behind), _SLICE):
            part = behind[start : start + _SLICE]
            poles = [_pole(start + i) for i in range(len(part))]
            await self.fleet.inventory.import_poles(BENCHMARKER, poles)
            made = await self.fleet.provisioning.import_nodes(
                BENCHMARKER, [_node(start + i) for i in range(len(part))]
            )
            made_keys = [keys(number) for number in made]
            sealed = [
                box.seal(secret, f"operational:{number}")
                for number, (secret, _) in zip(made, made_keys, strict=True)
            ]
            salts = [salt for _, salt in made_keys]
            async with self.engine.begin() as connection:
                await connection.execute(
                    _ASSIGN, {"numbers": made, "poles": [p.code for p in poles], "gateways": part}
                )
                await connection.execute(
                    _DESIRE,
                    {"gateways": part, "numbers": made, "secrets": sealed, "salts": salts},
                )
            numbers += made
        return numbers


@contextlib.asynccontextmanager
async def bench_database() -> AsyncIterator[tuple[Path, EmbeddedPostgres]]:
    """Run a durable database inside a block, in a folder that goes with it."""
    # Not below a folder that only its owner may pass: the database has another account.
    with tempfile.TemporaryDirectory(prefix="poleward-bench-") as name:
        postgres = EmbeddedPostgres(Path(name) / "postgres")
        await postgres.start()
        try:
            yield Path(name), postgres
        finally:
            await postgres.stop()


@contextlib.asynccontextmanager
async def bench_fleet() -> AsyncIterator[BenchFleet]:
    """Run a fleet with one area inside a block; nothing of it stays."""
    async with bench_database() as (folder, postgres), fleet_on(folder, postgres) as bench:
        yield bench


@contextlib.asynccontextmanager
async def fleet_on(folder: Path, postgres: EmbeddedPostgres) -> AsyncIterator[BenchFleet]:
    """Run a fleet with one area on a fresh database, in this process, inside a block."""
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(quiet_log())
        config = FleetConfig(
            folder / "fleet", database_url=postgres.url, web_port=0, api_port=0, link_port=0
        )
        fleet, addresses, _ = await stack.enter_async_context(fleet_bootstrap.running(config))
        engine = make_engine(postgres.url)
        stack.push_async_callback(engine.dispose)
        await fleet.inventory.create_areas(BENCHMARKER, [Area(AREA_CODE, "Benchmark")])
        stack.enter_context(start_is_kept())
        yield BenchFleet(fleet, addresses, folder, engine)


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """Let only warnings of fleet and gateway through, to standard error."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _pole(index: int) -> Pole:
    """Place a pole in a grid of streets; codes sort like indexes."""
    street, position = divmod(index, STREET_POLES)
    return Pole(
        f"B-{index:06d}",
        AREA_CODE,
        51.40 + 0.0006 * (street // 50) + 0.00002 * (position % 3),
        -2.70 + 0.012 * (street % 50) + 0.00028 * position,
        ("lamp", "air"),
        100,
    )


def _chance_keys(number: int) -> tuple[bytes, bytes]:
    return secrets.token_bytes(16), secrets.token_bytes(8)


def _node(index: int) -> ManufacturedNode:
    return ManufacturedNode(
        mac=f"02b0{index:08x}",
        bootstrap_secret=secrets.token_bytes(16),
        bootstrap_salt=secrets.token_bytes(8),
        claim_code_hash=_CLAIM_CODE_HASH,
    )
