"""Fixtures: one embedded PostgreSQL per worker, a fresh database per test from a template."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from fleet_rig import FakeClock, PlainHasher, Rig, hello, make_city, make_gateway
from poleward_fleet.adapters.sql import migrate
from poleward_fleet.adapters.sql.database import make_engine
from poleward_fleet.adapters.sql.embedded import EmbeddedPostgres
from poleward_fleet.assembly import Fleet, assemble
from poleward_fleet.bootstrap import log_to_stderr, running
from poleward_fleet.config import FleetConfig
from poleward_fleet.services.gateways import GatewayLink

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _plain_log() -> None:
    log_to_stderr()


@contextmanager
def _open_folder() -> Iterator[Path]:
    """Make a folder in which another account can run a database.

    Not below pytest's: when tests run as root, the next pytest session takes away the right to pass
    through that, and with it the running database's files.
    """
    with tempfile.TemporaryDirectory(prefix="poleward-tests-") as name:
        yield Path(name)


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder for a whole program."""
    with _open_folder() as folder:
        yield folder / "data"


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    with _open_folder() as folder, asyncio.Runner() as runner:
        server = EmbeddedPostgres(folder / "postgres", durable=False)
        runner.run(server.start())
        try:
            runner.run(_make_template(server))
            yield server
        finally:
            runner.run(server.stop())


async def _make_template(server: EmbeddedPostgres) -> None:
    await _administer(server, "CREATE DATABASE template_fleet")
    engine = create_async_engine(server.url_of("template_fleet"), poolclass=NullPool)
    await migrate.upgrade(engine)
    await engine.dispose()


async def _administer(server: EmbeddedPostgres, statement: str) -> None:
    engine = create_async_engine(server.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@pytest.fixture
async def database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    # The default writes every page to the log first: seven times the work.
    await _administer(
        postgres, f"CREATE DATABASE {name} TEMPLATE template_fleet STRATEGY FILE_COPY"
    )
    yield postgres.url_of(name)
    await _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def fleet(engine: AsyncEngine, tmp_path: Path, clock: FakeClock) -> Fleet:
    """All services on a fresh database with one city, a fake clock and a fast hasher."""
    fleet = assemble(engine, tmp_path, clock=clock, hasher=PlainHasher())
    await make_city(fleet)
    return fleet


@pytest.fixture
async def rig(database_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """A running fleet manager with real ports, TLS and one city."""
    config = FleetConfig(
        data_dir=tmp_path, database_url=database_url, web_port=0, api_port=0, link_port=0
    )
    async with running(config, hasher=PlainHasher()) as (fleet, addresses, _):
        await make_city(fleet)
        yield Rig(fleet, addresses, tmp_path)


@pytest.fixture
async def link(fleet: Fleet) -> GatewayLink:
    """The stream of gateway gw-1, opened without a network."""
    await make_gateway(fleet)
    return (await fleet.links.open("gw-1", hello()))[0]
