"""Puts the services of a fleet manager together on a database.

Not the program around them: servers, ports and signals are in bootstrap.py.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from poleward_fleet.adapters.artifacts.file_store import FileArtifactStore
from poleward_fleet.adapters.artifacts.patch_worker import PatchWorker
from poleward_fleet.adapters.certificates import FileCertificateAuthority
from poleward_fleet.adapters.envelopes import SignedDocumentReader, SuitEnvelopeReader
from poleward_fleet.adapters.metrics.prometheus import PrometheusMeter
from poleward_fleet.adapters.openid import OpenIdProvider, OpenIdSettings
from poleward_fleet.adapters.passwords import Argon2Hasher
from poleward_fleet.adapters.sql.account_store import SqlAccountStore
from poleward_fleet.adapters.sql.alarm_store import SqlAlarmStore
from poleward_fleet.adapters.sql.approval_store import SqlApprovalStore
from poleward_fleet.adapters.sql.audit_store import SqlAuditStore
from poleward_fleet.adapters.sql.command_store import SqlCommandStore
from poleward_fleet.adapters.sql.component_store import SqlComponentStore
from poleward_fleet.adapters.sql.database import Database
from poleward_fleet.adapters.sql.gateway_store import SqlGatewayStore
from poleward_fleet.adapters.sql.history_store import SqlHistoryStore
from poleward_fleet.adapters.sql.inventory_store import SqlInventoryStore
from poleward_fleet.adapters.sql.label_store import SqlLabelStore
from poleward_fleet.adapters.sql.life_store import SqlLifeStore
from poleward_fleet.adapters.sql.lighting_store import SqlLightingStore
from poleward_fleet.adapters.sql.node_store import SqlNodeStore
from poleward_fleet.adapters.sql.patch_store import SqlPatchStore
from poleward_fleet.adapters.sql.release_store import SqlReleaseStore
from poleward_fleet.adapters.sql.report_days import SqlReportDays
from poleward_fleet.adapters.sql.rollout_steps import SqlRolloutSteps
from poleward_fleet.adapters.sql.rollout_store import SqlRolloutStore
from poleward_fleet.adapters.sql.secret_box import SecretBox, load_or_make_key
from poleward_fleet.adapters.sql.stranger_store import SqlStrangerStore
from poleward_fleet.adapters.sql.telemetry_store import SqlTelemetryStore
from poleward_fleet.adapters.sql.trust_store import SqlTrustStore
from poleward_fleet.adapters.sql.visit_store import SqlVisitStore
from poleward_fleet.adapters.sql.work_order_store import SqlWorkOrderStore
from poleward_fleet.domain.alarms import AlarmLimits
from poleward_fleet.domain.history import Retention
from poleward_fleet.ports.accounts import PasswordHasher
from poleward_fleet.ports.clock import Clock
from poleward_fleet.services.account_administration import AccountAdministration
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.alarms import AlarmJudge, AlarmService
from poleward_fleet.services.approvals import ApprovalService
from poleward_fleet.services.audit import AuditService
from poleward_fleet.services.bulk import BulkService
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.city_map import CityMap
from poleward_fleet.services.commands import CommandService
from poleward_fleet.services.commissioning import CommissioningService
from poleward_fleet.services.enrollment import EnrollmentService
from poleward_fleet.services.gateways import GatewayLinks
from poleward_fleet.services.history_upkeep import HistoryUpkeep
from poleward_fleet.services.ingest import IngestService
from poleward_fleet.services.inventory import InventoryService
from poleward_fleet.services.labels import LabelService
from poleward_fleet.services.lamp_orders import LampOrderService
from poleward_fleet.services.lighting import LightingService
from poleward_fleet.services.node_life import NodeLifeService
from poleward_fleet.services.own_account import OwnAccount
from poleward_fleet.services.patches import PatchService
from poleward_fleet.services.people_services import PeopleServices
from poleward_fleet.services.permissions import AreaTree
from poleward_fleet.services.provisioning import ProvisioningService
from poleward_fleet.services.releases import ReleaseService
from poleward_fleet.services.rollout_loop import RolloutLoop
from poleward_fleet.services.rollouts import RolloutService
from poleward_fleet.services.single_sign_on import SingleSignOn
from poleward_fleet.services.site_sync import SiteSync
from poleward_fleet.services.strangers import StrangerService
from poleward_fleet.services.telemetry import TelemetryService
from poleward_fleet.services.trust import TrustService
from poleward_fleet.services.web_services import Readiness, WebServices
from poleward_fleet.services.work_orders import WorkOrderService


class SystemClock:
    """Wall time of this machine."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Fleet:
    """Every service of one fleet manager, put together."""

    accounts: AccountService
    meter: PrometheusMeter
    readiness: Readiness
    alarms: AlarmService
    administration: AccountAdministration
    approvals: ApprovalService
    audit: AuditService
    bulk: BulkService
    changes: ChangeBroadcast
    city_map: CityMap
    commands: CommandService
    enrollment: EnrollmentService
    ingest: IngestService
    inventory: InventoryService
    lamp_orders: LampOrderService
    lighting: LightingService
    lives: NodeLifeService
    labels: LabelService
    links: GatewayLinks
    patches: PatchService
    own_account: OwnAccount
    provisioning: ProvisioningService
    releases: ReleaseService
    trust: TrustService
    rollouts: RolloutService
    rollout_loop: RolloutLoop
    single_sign_on: SingleSignOn | None
    strangers: StrangerService
    telemetry: TelemetryService
    history: HistoryUpkeep
    visits: CommissioningService
    site_sync: SiteSync
    work_orders: WorkOrderService
    authority: FileCertificateAuthority
    artifacts: FileArtifactStore
    patch_worker: PatchWorker


def assemble(
    engine: AsyncEngine,
    data_dir: Path,
    *,
    clock: Clock | None = None,
    hasher: PasswordHasher | None = None,
    retention: Retention | None = None,
    openid: OpenIdSettings | None = None,
    page_origin: str = "",
) -> Fleet:
    """Put the services together on a migrated database.

    Args:
        engine: Of the database.
        data_dir: Folder for keys and artifacts.
        clock: Time; None for the machine's.
        hasher: Of passwords; None for Argon2id.
        retention: How long each kind of record is kept.
        openid: Provider at which people sign in.
        page_origin: Web origin of the pages, for gateways that technicians' devices ask.
    """
    clock = clock or SystemClock()
    hasher = hasher or Argon2Hasher()
    retention = retention or Retention()
    authority = FileCertificateAuthority.load_or_make(data_dir / "ca", clock.now_ms())
    box = SecretBox(load_or_make_key(data_dir / "secrets" / "database.key"))
    database = Database(engine, box, clock)
    inventory_store = SqlInventoryStore(database)
    node_store = SqlNodeStore(database)
    life_store = SqlLifeStore(database)
    gateway_store = SqlGatewayStore(database)
    days = SqlReportDays(database, retention)
    telemetry_store = SqlTelemetryStore(database, days)
    history_store = SqlHistoryStore(database, days)
    command_store = SqlCommandStore(database)
    release_store = SqlReleaseStore(database)
    trust_store = SqlTrustStore(database)
    audit_store = SqlAuditStore(database)
    artifacts = FileArtifactStore(data_dir / "artifacts")
    patch_worker = PatchWorker()
    changes = ChangeBroadcast()
    areas = AreaTree(inventory_store)
    alarm_store = SqlAlarmStore(database)
    alarms = AlarmService(alarm_store, areas, changes, clock)
    meter = PrometheusMeter()
    lighting_store = SqlLightingStore(database)
    order_store = SqlWorkOrderStore(database)
    links = GatewayLinks(
        gateway_store, node_store, command_store, lighting_store, order_store, changes, clock
    )
    city_map = CityMap(inventory_store, changes, clock)
    inventory = InventoryService(
        inventory_store, telemetry_store, areas, changes, links.connected, city_map
    )
    rollout_loop = RolloutLoop(SqlRolloutSteps(database), links, changes, clock)
    commands = CommandService(command_store, links, inventory, clock)
    account_store = SqlAccountStore(database)
    accounts = AccountService(account_store, audit_store, hasher, clock, authority.fingerprint)
    approvals = ApprovalService(SqlApprovalStore(database), areas, clock)
    lives = NodeLifeService(life_store, node_store, areas, links, changes, approvals, clock)
    administration = AccountAdministration(account_store, accounts, hasher, areas, clock)
    provisioning = ProvisioningService(
        node_store, life_store, inventory, areas, audit_store, links, changes, clock
    )
    visit_store = SqlVisitStore(database)
    patches = PatchService(SqlPatchStore(database), release_store, artifacts, patch_worker, clock)
    meter.watch_gateways(lambda: len(links.connected()))
    return Fleet(
        accounts=accounts,
        meter=meter,
        readiness=database,
        alarms=alarms,
        administration=administration,
        approvals=approvals,
        audit=AuditService(audit_store),
        bulk=BulkService(inventory_store, inventory, administration, areas, changes),
        changes=changes,
        city_map=city_map,
        commands=commands,
        enrollment=EnrollmentService(gateway_store, authority, areas, links, lives, clock),
        ingest=IngestService(
            telemetry_store,
            node_store,
            inventory_store,
            links,
            rollout_loop,
            lives,
            changes,
            AlarmJudge(alarm_store, AlarmLimits(), clock),
            alarms,
            meter,
        ),
        inventory=inventory,
        labels=LabelService(SqlLabelStore(database), areas),
        lamp_orders=LampOrderService(lighting_store, commands, inventory, areas),
        lighting=LightingService(lighting_store, inventory, areas, links, clock),
        lives=lives,
        links=links,
        patches=patches,
        own_account=OwnAccount(account_store, accounts, hasher, clock),
        provisioning=provisioning,
        releases=ReleaseService(
            release_store,
            SqlComponentStore(database),
            trust_store,
            artifacts,
            SuitEnvelopeReader(),
            audit_store,
            areas,
            clock,
        ),
        trust=TrustService(trust_store, artifacts, SignedDocumentReader(), approvals, links, clock),
        rollouts=RolloutService(
            SqlRolloutStore(database),
            release_store,
            trust_store,
            areas,
            patches,
            rollout_loop,
            links,
            changes,
            clock,
        ),
        rollout_loop=rollout_loop,
        strangers=StrangerService(SqlStrangerStore(database), alarms, areas),
        telemetry=TelemetryService(
            telemetry_store, history_store, inventory, areas, retention, clock
        ),
        history=HistoryUpkeep(history_store, retention, clock),
        visits=CommissioningService(
            visit_store,
            provisioning,
            lives,
            inventory,
            commands,
            telemetry_store,
            changes,
            clock,
        ),
        site_sync=SiteSync(order_store, visit_store, accounts, provisioning, lives, clock),
        work_orders=WorkOrderService(
            order_store,
            gateway_store,
            inventory,
            accounts,
            areas,
            authority,
            links,
            clock,
            page_origin,
        ),
        single_sign_on=SingleSignOn(
            OpenIdProvider(openid, clock), openid.grants, accounts, account_store, areas, clock
        )
        if openid
        else None,
        authority=authority,
        artifacts=artifacts,
        patch_worker=patch_worker,
    )


def web_services(fleet: Fleet, discovery: dict[str, str]) -> WebServices:
    """Return what the pages need; `discovery` is served as /.well-known/poleward.json."""
    return WebServices(
        inventory=fleet.inventory,
        history=fleet.telemetry,
        alarms=fleet.alarms,
        lamps=fleet.commands,
        lighting=fleet.lighting,
        lamp_orders=fleet.lamp_orders,
        releases=fleet.releases,
        trust=fleet.trust,
        rollouts=fleet.rollouts,
        sessions=fleet.accounts,
        changes=fleet.changes,
        audit=fleet.audit,
        readiness=fleet.readiness,
        visits=fleet.visits,
        work_orders=fleet.work_orders,
        discovery=discovery,
        single_sign_on=fleet.single_sign_on,
    )


def people_services(fleet: Fleet) -> PeopleServices:
    """Return what the pages about people, tables and the lives of nodes need."""
    return PeopleServices(
        fleet.administration,
        fleet.own_account,
        fleet.approvals,
        fleet.bulk,
        fleet.lives,
        fleet.provisioning,
        fleet.releases,
        fleet.strangers,
        fleet.trust,
    )
