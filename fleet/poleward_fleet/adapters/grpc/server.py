"""Puts the gRPC services on their two ports.

Not the services themselves.
"""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from poleward.v1 import (
    account_service_pb2_grpc,
    alarm_service_pb2_grpc,
    approval_service_pb2_grpc,
    artifact_service_pb2_grpc,
    audit_service_pb2_grpc,
    bulk_service_pb2_grpc,
    commissioning_service_pb2_grpc,
    enrollment_service_pb2_grpc,
    gateway_link_service_pb2_grpc,
    inventory_service_pb2_grpc,
    label_service_pb2_grpc,
    lighting_service_pb2_grpc,
    provisioning_service_pb2_grpc,
    release_service_pb2_grpc,
    rollout_service_pb2_grpc,
    telemetry_service_pb2_grpc,
    trust_service_pb2_grpc,
)
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
from poleward_fleet.adapters.grpc.status import ErrorInterceptor
from poleward_fleet.adapters.grpc.trust_services import TrustServicer
from poleward_fleet.domain.errors import ConfigurationError

_MAX_MESSAGE_BYTES = 8 * 1024 * 1024
_OPTIONS = (
    # A second fleet manager on the same port must fail, not share it.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    # Notice a gateway that vanished, and allow its own pings.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
)
_API_SERVICES = (
    "AccountService",
    "AlarmService",
    "ApprovalService",
    "ArtifactService",
    "AuditService",
    "BulkService",
    "EnrollmentService",
    "InventoryService",
    "LightingService",
    "CommissioningService",
    "LabelService",
    "ProvisioningService",
    "ReleaseService",
    "RolloutService",
    "TelemetryService",
    "TrustService",
)


def make_link_server(
    link: GatewayLinkServicer,
    artifacts: LinkArtifactServicer,
    enrollment: LinkEnrollmentServicer,
) -> grpc.aio.Server:
    """Return the server of the gateways' port."""
    server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=_OPTIONS)
    gateway_link_service_pb2_grpc.add_GatewayLinkServiceServicer_to_server(link, server)
    artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server(artifacts, server)
    enrollment_service_pb2_grpc.add_EnrollmentServiceServicer_to_server(enrollment, server)
    return server


def make_api_server() -> grpc.aio.Server:
    """Return the server of the port for people and programs, still without services."""
    return grpc.aio.server(interceptors=[ErrorInterceptor()], options=_OPTIONS)


async def add_api_services(
    server: grpc.aio.Server,
    accounts: AccountServicer,
    alarms: AlarmServicer,
    approvals: ApprovalServicer,
    audit: AuditServicer,
    bulk: BulkServicer,
    inventory: InventoryServicer,
    provisioning: ProvisioningServicer,
    enrollment: EnrollmentServicer,
    telemetry: TelemetryServicer,
    artifacts: ArtifactServicer,
    releases: ReleaseServicer,
    rollouts: RolloutServicer,
    lighting: LightingServicer,
    labels: LabelServicer,
    trust: TrustServicer,
    commissioning: CommissioningServicer,
) -> None:
    """Add the services, health and reflection."""
    account_service_pb2_grpc.add_AccountServiceServicer_to_server(accounts, server)
    alarm_service_pb2_grpc.add_AlarmServiceServicer_to_server(alarms, server)
    approval_service_pb2_grpc.add_ApprovalServiceServicer_to_server(approvals, server)
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(audit, server)
    bulk_service_pb2_grpc.add_BulkServiceServicer_to_server(bulk, server)
    inventory_service_pb2_grpc.add_InventoryServiceServicer_to_server(inventory, server)
    provisioning_service_pb2_grpc.add_ProvisioningServiceServicer_to_server(provisioning, server)
    enrollment_service_pb2_grpc.add_EnrollmentServiceServicer_to_server(enrollment, server)
    telemetry_service_pb2_grpc.add_TelemetryServiceServicer_to_server(telemetry, server)
    artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server(artifacts, server)
    release_service_pb2_grpc.add_ReleaseServiceServicer_to_server(releases, server)
    rollout_service_pb2_grpc.add_RolloutServiceServicer_to_server(rollouts, server)
    lighting_service_pb2_grpc.add_LightingServiceServicer_to_server(lighting, server)
    label_service_pb2_grpc.add_LabelServiceServicer_to_server(labels, server)
    trust_service_pb2_grpc.add_TrustServiceServicer_to_server(trust, server)
    commissioning_service_pb2_grpc.add_CommissioningServiceServicer_to_server(commissioning, server)
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = [f"poleward.v1.{name}" for name in _API_SERVICES]
    for name in ("", *names):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection(
        (*names, "grpc.health.v1.Health", reflection.SERVICE_NAME), server
    )


def listen(
    server: grpc.aio.Server,
    host: str,
    port: int,
    *,
    key_pem: bytes,
    chain_pem: bytes,
    client_ca_pem: bytes | None,
    purpose: str,
) -> int:
    """Open the port; return its number.

    Args:
        server: The server.
        host: Address to listen on.
        port: 0 chooses a free one.
        key_pem: Our key.
        chain_pem: Our certificate chain.
        client_ca_pem: CA of the client certificates that are then required; None for plain TLS.
        purpose: What the port is for, in the error message.

    Raises:
        ConfigurationError: The port is in use or may not be opened.
    """
    credentials = grpc.ssl_server_credentials(
        [(key_pem, chain_pem)],
        root_certificates=client_ca_pem,
        require_client_auth=client_ca_pem is not None,
    )
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return int(server.add_secure_port(address, credentials))
    except RuntimeError as error:
        raise ConfigurationError(
            f"port {port} on {host} for the {purpose} cannot be opened, most likely because "
            "another program uses it; stop that one or choose another port"
        ) from error
