"""Puts a gateway together; the only place that knows concrete classes.

No behaviour of its own: each part is in services and adapters.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import metadata
from pathlib import Path

import structlog

from poleward_gateway.adapters import local_console, log
from poleward_gateway.adapters.clock import SystemClock
from poleward_gateway.adapters.fleet_link import enrollment, identity
from poleward_gateway.adapters.fleet_link.link import FleetLink
from poleward_gateway.adapters.interpreter import serving_at_ease
from poleward_gateway.adapters.local_console import LocalConsole
from poleward_gateway.adapters.metrics.prometheus import MemoryTally, MetricsServer
from poleward_gateway.adapters.node_link.clone_watch import CloneWatch
from poleward_gateway.adapters.node_link.endpoint import NodeEndpoint
from poleward_gateway.adapters.node_link.lanes import open_lanes
from poleward_gateway.adapters.node_link.lwm2m_client import Lwm2mClient
from poleward_gateway.adapters.node_link.report_layouts import ReportLayouts
from poleward_gateway.adapters.node_link.report_path import ReportPath
from poleward_gateway.adapters.node_link.resources import NodeResources
from poleward_gateway.adapters.node_link.security import SecurityTable
from poleward_gateway.adapters.releases.verifier import (
    ChainVerifier,
    DirectiveVerifier,
    ManifestVerifier,
)
from poleward_gateway.adapters.secrets.sealed_box import SealedBox, open_box
from poleward_gateway.adapters.site_server import SiteServer
from poleward_gateway.adapters.software.shelf import SoftwareShelf
from poleward_gateway.adapters.storage.artifacts import DiskArtifactStore
from poleward_gateway.adapters.storage.commands import SqliteCommandStore
from poleward_gateway.adapters.storage.database import Database
from poleward_gateway.adapters.storage.layouts import SqliteLayouts
from poleward_gateway.adapters.storage.lighting import SqliteLightingStore
from poleward_gateway.adapters.storage.nodes import (
    SqliteDesiredStore,
    SqliteRegistrationStore,
    SqliteUpdateStore,
)
from poleward_gateway.adapters.storage.schema import READABLE_FROM, SCHEMA_VERSION
from poleward_gateway.adapters.storage.sequence_numbers import SqliteSequenceNumbers
from poleward_gateway.adapters.storage.site_visits import SqliteSiteStore
from poleward_gateway.adapters.storage.spool import SqliteSpool
from poleward_gateway.adapters.storage.trust import FolderTrustStore
from poleward_gateway.adapters.systemd import ServiceManager
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.errors import ConfigurationError, StorageError
from poleward_gateway.domain.nodes import NodeNumber, NodeTask
from poleward_gateway.domain.software import START_OTHER_EXIT, Schema
from poleward_gateway.domain.telemetry import CLONED_EVENT, WIPED_EVENT, Event, Report, Severity
from poleward_gateway.ports.releases import FoundPatch
from poleward_gateway.services.artifacts import Artifacts
from poleward_gateway.services.commands import Commands
from poleward_gateway.services.directives import Directives
from poleward_gateway.services.jobs import JobPool
from poleward_gateway.services.local_rules import LocalRules
from poleward_gateway.services.orders import Orders
from poleward_gateway.services.own_software import OwnSoftware
from poleward_gateway.services.pace import Pace
from poleward_gateway.services.programs import Programs
from poleward_gateway.services.registrations import Registrations
from poleward_gateway.services.registry import Registry
from poleward_gateway.services.site_visits import SiteVisits
from poleward_gateway.services.strangers import Strangers
from poleward_gateway.services.telemetry import Telemetry
from poleward_gateway.services.trust import TrustChain
from poleward_gateway.services.updates import Updates
from poleward_gateway.services.upkeep import Upkeep
from poleward_gateway.services.uplink import Uplink

_log = structlog.get_logger(__name__)

DEAD_AFTER_S = 10.0
"""Health says "not live" when the scheduler has not ticked for so long."""

JOB_WORKERS = 64
"""Nodes that the gateway talks to at the same time, besides answering them."""


async def enroll(data_dir: Path, fleet_url: str, token: str, key_source: str = "") -> str:
    """Redeem a one-time token for a certificate and store it.

    Args:
        data_dir: Folder of the gateway.
        fleet_url: Address of the fleet's web server, e.g. "http://127.0.0.1:8080".
        token: Token from the fleet; its second half pins the fleet's CA.
        key_source: Of the key that seals what is stored, as in GatewayConfig.

    Returns:
        The name that the fleet gave the gateway.

    Raises:
        ConfigurationError: The token or address is malformed; correct it.
        PeerUnreachableError: The fleet does not answer; try again.
        RefusedError: The fleet or its certificate is not what the token says; get a new token.
    """
    _make_private(data_dir)
    config = GatewayConfig(data_dir, key_source=key_source)
    box = open_box(config.key_source, config.key_file)
    enrolled = await enrollment.enroll(fleet_url, token)
    identity.save(config.identity_dir, enrolled, box)
    return enrolled.name


async def serve(config: GatewayConfig) -> int:
    """Serve nodes until SIGINT or SIGTERM.

    Returns:
        Exit code: 0 after an orderly stop, 1 when a part of the gateway ended by itself,
        START_OTHER_EXIT when the launcher has to start another release.

    Raises:
        ConfigurationError: The gateway cannot start as configured; the message says why.
    """
    log.configure(config.log_format)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        async with running(config) as gateway:
            stopped = asyncio.create_task(stop.wait())
            replaced = asyncio.create_task(gateway.replaced.wait())
            ends = [stopped, replaced, *gateway.tasks]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            replaced.cancel()
            if stop.is_set():
                return 0
            if gateway.replaced.is_set():
                return START_OTHER_EXIT
            for task in gateway.tasks:
                if task.done():
                    _log.error("part_ended", part=task.get_name(), exc_info=task.exception())
            return 1
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def running(config: GatewayConfig) -> AsyncIterator["Gateway"]:
    """Run a gateway inside a block.

    Raises:
        ConfigurationError: The gateway cannot start as configured; the message says why.
    """
    _make_private(config.data_dir)
    box = open_box(config.key_source, config.key_file)
    known = identity.load(config.identity_dir, box)
    if config.insecure_nosec:
        _log.warning("insecure_nosec", meaning="nodes are answered that prove nothing")
    async with contextlib.AsyncExitStack() as stack:
        lanes = open_lanes(config.coap_host, config.coap_port)
        stack.callback(lanes.close)
        database = Database(config.database_path)
        stack.callback(database.close)
        if database.salvage is not None:
            _log.error(
                "database_damaged", kept_as=str(database.salvage.kept_as),
                saved=database.salvage.rows,
            )  # fmt: skip
        gateway = Gateway(config, known, database, box)
        if config.metrics_port is not None:
            metrics = MetricsServer(gateway.tally, config.metrics_port, gateway.health)
            stack.callback(metrics.close)
            _log.info("metrics", port=metrics.port)
        if config.site_port is not None:
            site = SiteServer(
                gateway.visits, config.site_host, config.site_port, asyncio.get_running_loop()
            )
            stack.callback(site.close)
            gateway.site_url = config.site_url or _url(config.site_host, site.port)
        await gateway.start()
        stack.push_async_callback(gateway.close)
        gateway.endpoint.open(lanes)
        stack.push_async_callback(gateway.endpoint.close)
        stack.push_async_callback(gateway.reports.close)
        stack.enter_context(serving_at_ease())
        gateway.run()
        stack.push_async_callback(gateway.stop)
        await stack.enter_async_context(local_console.serving(gateway.console, config.local_socket))
        metrics_port = None if config.metrics_port is None else metrics.port
        _write_run_file(config, gateway, known.name, metrics_port)
        stack.callback(lambda: config.run_file.unlink(missing_ok=True))
        gateway.manager.ready(f"{known.name} serves UDP port {gateway.endpoint.port}")
        stack.callback(gateway.manager.stopping)
        _log.info("serving", name=known.name, port=gateway.endpoint.port)
        yield gateway


class Gateway:
    """The parts of one gateway, wired."""

    def __init__(
        self,
        config: GatewayConfig,
        known: identity.Identity,
        database: Database,
        box: SealedBox,
    ) -> None:
        clock = SystemClock()
        self.tasks: list[asyncio.Task[None]] = []
        self.replaced = asyncio.Event()
        self.manager = ServiceManager()
        self.tally = MemoryTally()
        self._clock = clock
        self._alive_at_s = clock.monotonic_s()
        self.database = database
        self.spool = SqliteSpool(database, reports_max=config.reports_max)
        desired = SqliteDesiredStore(database, box)
        command_store = SqliteCommandStore(database)
        self.table = SecurityTable(SqliteSequenceNumbers(database, clock), self.tally)
        self.table.load_now(desired.nodes())
        self.registry = Registry(clock, self.tally)
        self.registry.replace_nodes(
            [node for node in desired.nodes() if node.task is not NodeTask.WIPE]
        )
        self.jobs = JobPool(JOB_WORKERS)
        # Nodes that cannot be reached may hold every worker of the other; a command must not wait.
        self.command_jobs = JobPool(JOB_WORKERS)
        self.telemetry = Telemetry(
            self.spool, self.registry, clock, self.tally,
            on_spooled=lambda: self.uplink.wake(),
            on_event=self._on_event,
            on_reports=self._on_reports,
        )  # fmt: skip
        releases = ManifestVerifier()
        self.artifacts = Artifacts(
            DiskArtifactStore(config.artifacts_dir),
            _LateSource(lambda: self.fleet_link),
            releases,
            lambda: self.trust.signers(),
            self.tally,
        )
        self.layouts = ReportLayouts(
            SqliteLayouts(database), lambda node: link.read_layout(node), self.jobs
        )
        self.reports = ReportPath(
            self.table, self.telemetry, self.layouts, clock, self.tally,
            on_heard=lambda nodes: self.resources.heard(nodes),
        )  # fmt: skip
        strangers = Strangers(clock, self.tally)
        self.endpoint = NodeEndpoint(
            self.table,
            handler=lambda caller, request: self.resources.handle(caller, request),
            on_heard=lambda nodes: self.resources.heard(nodes),
            on_leaving=lambda node: self.resources.heard_leaving(node),
            on_refused=strangers.note,
            tally=self.tally,
            clones=CloneWatch(clock.monotonic_s, self._cloned),
            reports=self.reports,
            public_uri=config.public_uri,
            insecure_nosec=config.insecure_nosec,
        )
        link = Lwm2mClient(self.endpoint, self.table, self.registry)
        self.trust = TrustChain(
            FolderTrustStore(config.trust_dir), desired, ChainVerifier(), self.artifacts.fetch,
            self.registry, link, self.jobs, clock,
        )  # fmt: skip
        directives = Directives(DirectiveVerifier(), releases, self.trust, clock)
        self.updates = Updates(
            SqliteUpdateStore(database), self.registry, self.artifacts, directives, link,
            self.jobs, clock,
            on_change=lambda: self.uplink.wake(),
        )  # fmt: skip
        self.commands = Commands(
            command_store, self.registry, link, self.command_jobs, clock,
            on_result=lambda: self.uplink.wake(),
        )  # fmt: skip
        self.programs = Programs(
            SqliteLightingStore(database), self.registry, link, self.jobs, clock
        )
        orders = Orders(self.programs, self.commands, clock)
        self.rules = LocalRules(self.programs, orders, self.spool, self.jobs, clock)
        self.console = LocalConsole(self.registry, self.programs, orders, self.spool, clock)
        self.registrations = Registrations(
            SqliteRegistrationStore(database), self.registry, self.table, self.jobs, clock
        )
        version = metadata.version("poleward")
        self.own_software = OwnSoftware(
            known.name, SoftwareShelf(config.software_dir), desired, self.artifacts, directives,
            self.registry, self.jobs, clock,
            trial_s=config.trial_s,
            schema=Schema(SCHEMA_VERSION, READABLE_FROM),
            version=version,
            is_fleet_connected=lambda: bool(self.tally.gauges.get("fleet_connected")),
            does_disk_work=lambda: not self.telemetry.disk_failed,
            restart=self.replaced.set,
            on_change=lambda: self.uplink.wake(),
        )  # fmt: skip
        self.upkeep = Upkeep(
            self.registry, desired, self.table, link, self.jobs, clock,
            on_settled=self._settled,
            on_desired=self._desired_changed,
            on_wiped=lambda node: self.telemetry.note_seen(node, WIPED_EVENT, Severity.INFO),
            tick_listeners=(
                self.trust.tick, self.updates.tick, self.commands.tick, self.programs.tick,
                self.registrations.tick, self.own_software.tick, lambda: self.uplink.wake(),
                database.hold_ballast, self._note_alive,
            ),
        )  # fmt: skip
        self.visits = SiteVisits(
            known.name, SqliteSiteStore(database, box), self.upkeep, self.registry, self.commands,
            clock, on_change=lambda: self.uplink.wake(),
        )  # fmt: skip
        self.uplink = Uplink(
            self.spool, desired, command_store, self.commands, self.registry, self.upkeep,
            self.programs, self.own_software, self.visits, strangers, self.tally,
        )  # fmt: skip
        self.resources = NodeResources(
            self.registry, self.telemetry, self.layouts, self.upkeep, self.artifacts, self.trust,
            self.endpoint, self.jobs, clock, self.tally, Pace(clock),
        )  # fmt: skip
        self.fleet_link = FleetLink(
            known,
            lambda renewed: identity.save(config.identity_dir, renewed, box),
            self.uplink,
            self.tally,
            software_version=version,
            coap_uri=lambda: self.endpoint.uri_as_seen_from(known.link_address),
            site_url=lambda: self.site_url,
        )
        self.site_url = ""

    async def start(self) -> None:
        """Begin to write, and settle what a crash left open."""
        self.database.start()
        await self.commands.recover()
        self.updates.reconcile()

    def health(self) -> dict[str, object]:
        """Say whether the gateway lives and serves; callable from any thread."""
        disk_works = not self.telemetry.disk_failed
        return {
            "live": self._clock.monotonic_s() - self._alive_at_s < DEAD_AFTER_S,
            "ready": bool(self.tasks) and self.database.is_running and disk_works,
            "disk_works": disk_works,
            "reports_waiting": self.spool.waiting_reports(),
            "reports_dropped": self.spool.dropped_reports(),
            "fleet_connected": bool(self.tally.gauges.get("fleet_connected")),
            "nodes": int(self.tally.gauges.get("nodes", 0)),
            "nodes_online": int(self.tally.gauges.get("nodes_online", 0)),
        }

    def _note_alive(self) -> None:
        """Note that the event loop and the database's thread run.

        Raises:
            StorageError: The database is damaged; this ends the gateway, and the next start saves
                what can be read.
        """
        if self.database.is_damaged:
            raise StorageError(f"{self.database.path} is damaged; start the gateway again")
        if self.database.is_running:
            self._alive_at_s = self._clock.monotonic_s()
            self.manager.alive()

    def run(self) -> None:
        """Start what runs until the gateway stops."""
        registered = self.registrations.restore()
        for node in registered:
            self.upkeep.registered(node)
        self.own_software.expect([node for node in registered if not self.registry.sleeps(node)])
        for part in (self.jobs.run, self.command_jobs.run, self.upkeep.run, self.fleet_link.run):
            self.tasks.append(asyncio.create_task(part(), name=part.__qualname__))

    async def stop(self) -> None:
        """Stop what `run` started."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def close(self) -> None:
        """Keep registrations, sequence numbers and replay windows for the next start."""
        await self.registrations.save()
        await self.table.close()

    def _on_event(self, event: Event) -> None:
        """Have everybody look at an event that is on disk."""
        self.rules.on_event(event)
        self.visits.on_event(event)

    def _on_reports(self, reports: Sequence[Report]) -> None:
        """Have everybody look at reports that are on disk."""
        self.rules.on_reports(reports)
        self.visits.on_reports(reports)

    def _cloned(self, node: NodeNumber) -> None:
        """Have the fleet told that two devices are one node."""
        self.tally.count("clones_seen")
        _log.error("node_cloned", node=node)
        self.jobs.add(
            ("cloned", node),
            lambda: self.telemetry.note_seen(node, CLONED_EVENT, Severity.CRITICAL),
        )

    def _desired_changed(self) -> None:
        """Go on with what desired state says about releases."""
        self.updates.reconcile()
        self.own_software.reconcile()

    def _settled(self, node: NodeNumber) -> None:
        """Go on with what waited for a node."""
        self.commands.node_settled(node)
        self.programs.node_settled(node)
        self.updates.node_settled(node)


class _LateSource:
    """Implements the port ArtifactSource for the fleet link, which is made after its user."""

    def __init__(self, link: Callable[[], FleetLink]) -> None:
        self._link = link

    def download(self, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        return self._link().download(digest, offset)

    async def find_patch(
        self, release_digest: bytes, component_digest: bytes, source_sequence: int
    ) -> FoundPatch:
        return await self._link().find_patch(release_digest, component_digest, source_sequence)


def _make_private(folder: Path) -> None:
    """Make the gateway's folder, for its owner only."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(f"cannot use the folder {folder}: {error}") from error


def _url(host: str, port: int, *, scheme: str = "http") -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _write_run_file(
    config: GatewayConfig, gateway: Gateway, name: str, metrics_port: int | None
) -> None:
    """Say how the running gateway can be reached."""
    path = config.run_file
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "coap": _url(config.coap_host, gateway.endpoint.port, scheme="coap"),
        "name": name,
        "pid": os.getpid(),
        "metrics_port": metrics_port,
        "site": gateway.site_url,
    }
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(content) + "\n", encoding="utf-8")
    unfinished.replace(path)
