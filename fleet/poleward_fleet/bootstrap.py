"""Puts the fleet manager together, runs it, takes it down.

The only place that knows concrete classes. No rules: those are in domain and services.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvicorn

from poleward_fleet.adapters.certificates import write_secret
from poleward_fleet.adapters.grpc.account_services import AccountServicer
from poleward_fleet.adapters.grpc.alarm_service import AlarmServicer
from poleward_fleet.adapters.grpc.api_services import InventoryServicer, TelemetryServicer
from poleward_fleet.adapters.grpc.approval_services import ApprovalServicer
from poleward_fleet.adapters.grpc.audit_services import AuditServicer
from poleward_fleet.adapters.grpc.bulk_services import BulkServicer
from poleward_fleet.adapters.grpc.commissioning_services import CommissioningServicer
from poleward_fleet.adapters.grpc.identity_services import EnrollmentServicer, ProvisioningServicer
from poleward_fleet.adapters.grpc.label_services import LabelServicer
from poleward_fleet.adapters.grpc.lighting_services import LightingServicer
from poleward_fleet.adapters.grpc.link_service import (
    GatewayLinkServicer,
    LinkArtifactServicer,
    LinkEnrollmentServicer,
)
from poleward_fleet.adapters.grpc.release_services import (
    ArtifactServicer,
    ReleaseServicer,
)
from poleward_fleet.adapters.grpc.rollout_services import RolloutServicer
from poleward_fleet.adapters.grpc.server import (
    add_api_services,
    listen,
    make_api_server,
    make_link_server,
)
from poleward_fleet.adapters.grpc.trust_services import TrustServicer
from poleward_fleet.adapters.interpreter import start_is_kept
from poleward_fleet.adapters.metrics.prometheus import MetricsServer
from poleward_fleet.adapters.openid import load_settings
from poleward_fleet.adapters.sql import migrate
from poleward_fleet.adapters.sql.database import asyncpg_url, check_server, make_engine
from poleward_fleet.adapters.sql.embedded import EmbeddedPostgres
from poleward_fleet.adapters.web.app import close_streams, create_app
from poleward_fleet.assembly import Fleet, SystemClock, assemble, people_services, web_services
from poleward_fleet.config import FleetConfig
from poleward_fleet.domain.errors import (
    ConfigurationError,
    FleetError,
    PeerUnreachableError,
    UnavailableError,
)
from poleward_fleet.ports.accounts import PasswordHasher
from poleward_fleet.services.gateways import GatewayLinks

_log = structlog.get_logger(__name__)

OK, FAILED, CONFIGURATION, UNREACHABLE = 0, 1, 2, 3
_HEARD_PERIOD_S = 15.0
_STOP_S = 2.0


def log_to_stderr() -> None:
    """Log one line per event; tracebacks without the values of variables, which may be secrets."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running fleet manager listens."""

    web: str
    api: str
    link: str


def _make_private(folder: Path) -> None:
    """Make the data folder, for its owner only."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(f"cannot use the data folder {folder}: {error}") from error


async def serve(config: FleetConfig) -> int:
    """Run the fleet manager until SIGINT or SIGTERM; return the exit code.

    Writes `<data_dir>/run/fleet.json` when it is ready and removes it at the end.
    """
    log_to_stderr()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    run_file = config.data_dir / "run" / "fleet.json"
    try:
        async with running(config) as (fleet, addresses, database_gone):
            run_file.parent.mkdir(parents=True, exist_ok=True)
            content = {
                "web": addresses.web,
                "api": addresses.api,
                "link": addresses.link,
                "ca_fingerprint": fleet.authority.fingerprint,
                "pid": os.getpid(),
            }
            write_secret(run_file, json.dumps(content).encode())
            _log.info("ready", web=addresses.web, api=addresses.api, link=addresses.link)
            stop = asyncio.create_task(stopping.wait())
            try:
                with start_is_kept():
                    await asyncio.wait((stop, database_gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                stop.cancel()
                run_file.unlink(missing_ok=True)
            if not stopping.is_set():
                _log.error("database_ended", advice="see server.log in the data folder")
                return FAILED
    except ConfigurationError as error:
        _log.error("cannot_start", reason=str(error))
        return CONFIGURATION
    except PeerUnreachableError as error:
        _log.error("cannot_start", reason=str(error))
        return UNREACHABLE
    except UnavailableError as error:
        _log.error("cannot_start", reason=str(error))
        return UNREACHABLE
    except FleetError as error:
        _log.error("failed", reason=str(error))
        return FAILED
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return OK


@asynccontextmanager
async def running(
    config: FleetConfig, *, hasher: PasswordHasher | None = None
) -> AsyncIterator[tuple[Fleet, Addresses, "asyncio.Future[None]"]]:
    """Start everything; take it down in the opposite order at the end of the block.

    Yields the services, the addresses and a future that is done when the embedded database ended.

    Raises:
        ConfigurationError: A port is in use, a file is damaged.
        PeerUnreachableError: The database cannot be reached.
    """
    async with AsyncExitStack() as stack:
        _make_private(config.data_dir)
        web_socket = _bind(config.host, config.web_port)
        stack.callback(web_socket.close)
        url, database_gone = await _database_url(config, stack)
        engine = make_engine(url)
        stack.push_async_callback(engine.dispose)
        await check_server(engine)
        await migrate.upgrade(engine)
        openid = load_settings(config.openid_file) if config.openid_file else None
        host = _advertised_host(config)
        web = f"http://{_host_port(host, web_socket.getsockname()[1])}"
        fleet = assemble(
            engine,
            config.data_dir,
            hasher=hasher,
            retention=config.retention,
            openid=openid,
            page_origin=config.page_origin or web,
        )
        await _make_administrator(fleet, config.data_dir)
        await fleet.trust.make_first_directive_key()
        api_port, link_port = await _serve_grpc(config, fleet, stack)
        addresses = Addresses(
            web=web,
            api=_host_port(host, api_port),
            link=_host_port(host, link_port),
        )
        if config.metrics_port is not None:
            metrics = MetricsServer(fleet.meter, config.metrics_port)
            stack.callback(metrics.close)
            _log.info("metrics", port=metrics.port)
        await _serve_web(fleet, addresses, web_socket, stack)
        stack.callback(fleet.patch_worker.close)
        for work in (
            fleet.city_map.run(),
            fleet.history.run(),
            fleet.alarms.run(),
            fleet.patches.run(),
            fleet.rollout_loop.run(),
            _note_heard(fleet.links),
        ):
            stack.push_async_callback(_cancel, asyncio.create_task(work))
        stack.callback(fleet.changes.close)
        yield fleet, addresses, database_gone


async def _database_url(
    config: FleetConfig, stack: AsyncExitStack
) -> tuple[str, "asyncio.Future[None]"]:
    if config.database_url is not None:
        return asyncpg_url(config.database_url), asyncio.get_running_loop().create_future()
    postgres = EmbeddedPostgres(config.data_dir / "postgres")
    await postgres.start()
    stack.push_async_callback(postgres.stop)
    gone = asyncio.create_task(postgres.ended())
    stack.push_async_callback(_cancel, gone)
    return postgres.url, gone


async def _make_administrator(fleet: Fleet, data_dir: Path) -> None:
    made = await fleet.accounts.make_first_administrator()
    if made is not None:
        user, password, token = made
        content = {"user": user, "password": password, "api_token": token}
        write_secret(data_dir / "admin.json", json.dumps(content).encode())


async def _serve_grpc(config: FleetConfig, fleet: Fleet, stack: AsyncExitStack) -> tuple[int, int]:
    host = _advertised_host(config)
    names = [host, config.host, "localhost", "127.0.0.1", "::1", socket.gethostname()]
    key_pem, chain_pem = fleet.authority.make_server(names, SystemClock().now_ms())
    ca_pem = fleet.authority.ca_pem
    link_server = make_link_server(
        GatewayLinkServicer(
            fleet.links, fleet.ingest, fleet.commands, fleet.site_sync, fleet.strangers
        ),
        LinkArtifactServicer(fleet.links, fleet.artifacts, fleet.patches),
        LinkEnrollmentServicer(fleet.enrollment),
    )
    link_port = listen(
        link_server,
        config.host,
        config.link_port,
        key_pem=key_pem,
        chain_pem=chain_pem,
        client_ca_pem=ca_pem.encode(),
        purpose="gateways",
    )
    api_server = make_api_server()
    api_port = listen(
        api_server,
        config.host,
        config.api_port,
        key_pem=key_pem,
        chain_pem=chain_pem,
        client_ca_pem=None,
        purpose="API",
    )
    accounts = fleet.accounts
    await add_api_services(
        api_server,
        AccountServicer(accounts, fleet.administration),
        AlarmServicer(accounts, fleet.alarms),
        ApprovalServicer(accounts, fleet.approvals),
        AuditServicer(accounts, fleet.audit),
        BulkServicer(accounts, fleet.bulk),
        InventoryServicer(accounts, fleet.inventory, fleet.commands),
        ProvisioningServicer(accounts, fleet.provisioning, fleet.lives, fleet.strangers),
        EnrollmentServicer(accounts, fleet.enrollment, ca_pem, _host_port(host, link_port)),
        TelemetryServicer(accounts, fleet.telemetry),
        ArtifactServicer(accounts, fleet.artifacts, fleet.patches),
        ReleaseServicer(accounts, fleet.releases),
        RolloutServicer(accounts, fleet.rollouts, SystemClock()),
        LightingServicer(accounts, fleet.lighting, fleet.lamp_orders),
        LabelServicer(accounts, fleet.labels),
        TrustServicer(accounts, fleet.trust),
        CommissioningServicer(accounts, fleet.visits, fleet.work_orders),
    )
    for server in (link_server, api_server):
        await server.start()
        stack.push_async_callback(server.stop, _STOP_S)
    stack.callback(fleet.links.close_all)
    return api_port, link_port


async def _serve_web(
    fleet: Fleet, addresses: Addresses, listening: socket.socket, stack: AsyncExitStack
) -> None:
    discovery = {
        "api": addresses.api,
        "link": addresses.link,
        "ca_pem": fleet.authority.ca_pem,
    }
    app = create_app(web_services(fleet, discovery), people=people_services(fleet))
    server = _WebServer(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=int(_STOP_S),
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listening]))

    async def stop() -> None:
        close_streams(app)
        server.should_exit = True
        await task

    stack.push_async_callback(stop)
    while not server.started:
        if task.done():
            task.result()
            raise ConfigurationError("the web server ended while it started")
        await asyncio.sleep(0.01)


class _WebServer(uvicorn.Server):
    """uvicorn without its signal handlers: the program has its own."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Capture nothing."""
        yield


async def _note_heard(links: GatewayLinks) -> None:
    while True:
        await asyncio.sleep(_HEARD_PERIOD_S)
        try:
            await links.note_heard()
        except FleetError as error:
            _log.warning("heard_not_stored", reason=str(error))


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _bind(host: str, port: int) -> socket.socket:
    """Open the web port first: it is the one people get wrong."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"port {port} on {host} for the web pages cannot be opened ({error.strerror}); "
            "stop the program that uses it or choose another port"
        ) from error
    listening.setblocking(False)
    return listening


def _advertised_host(config: FleetConfig) -> str:
    if config.public_host is not None:
        return config.public_host
    return socket.gethostname() if config.host in ("0.0.0.0", "::", "") else config.host  # noqa: S104


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
