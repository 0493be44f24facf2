"""The fleet's API as typed calls on plain values.

It prints nothing and retries nothing; each call has a deadline.
"""

import hashlib
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from poleward.v1 import artifact_service_pb2 as artifacts
from poleward.v1 import enrollment_service_pb2 as enrollment
from poleward.v1 import inventory_service_pb2 as inventory
from poleward.v1 import provisioning_service_pb2 as provisioning
from poleward.v1 import release_service_pb2 as releases
from poleward.v1 import telemetry_service_pb2 as telemetry
from poleward.v1 import telemetry_types_pb2 as telemetry_types
from poleward.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from poleward.v1.enrollment_service_pb2_grpc import EnrollmentServiceStub
from poleward.v1.inventory_service_pb2_grpc import InventoryServiceStub
from poleward.v1.provisioning_service_pb2_grpc import ProvisioningServiceStub
from poleward.v1.release_service_pb2_grpc import ReleaseServiceStub
from poleward.v1.telemetry_service_pb2_grpc import TelemetryServiceStub
from poleward_tools.client import mapping, views
from poleward_tools.client.accounts import AccountCalls
from poleward_tools.client.alarms import AlarmCalls
from poleward_tools.client.approvals import ApprovalCalls
from poleward_tools.client.audit import AuditCalls
from poleward_tools.client.commissioning import CommissioningCalls
from poleward_tools.client.connection import discover, open_channel
from poleward_tools.client.errors import ClientError, Failure, translated
from poleward_tools.client.labels import LabelCalls
from poleward_tools.client.lighting import LightingClient
from poleward_tools.client.profile import FleetProfile
from poleward_tools.client.rollouts import RolloutCalls
from poleward_tools.client.tables import TableCalls
from poleward_tools.client.trust import TrustCalls

_TIMEOUT_S = 30.0
_TRANSFER_TIMEOUT_S = 300.0
_UPLOAD_PIECE_BYTES = 64 * 1024  # protos: at most 64 KiB in a message
_LAMP_TIMEOUT_S = 10


class FleetClient:
    """One connection to a fleet; a context manager that closes it.

    Every method raises ClientError: show its message, and retry only when its failure is
    UNREACHABLE. Methods may be called from several threads.

    Attributes:
        lighting: programs, groups, scenes, rules, orders to many lamps.
    """

    def __init__(self, profile: FleetProfile) -> None:
        self._address, ca_pem = discover(profile)
        self._channel = open_channel(self._address, ca_pem, profile.token)
        self.accounts = AccountCalls(self._channel, self._address)
        self.alarms = AlarmCalls(self._channel, self._address)
        self.approvals = ApprovalCalls(self._channel, self._address)
        self.audit = AuditCalls(self._channel, self._address)
        self.tables = TableCalls(self._channel, self._address)
        self.commissioning = CommissioningCalls(self._channel, self._address)
        self._artifacts = ArtifactServiceStub(self._channel)
        self._enrollment = EnrollmentServiceStub(self._channel)
        self._inventory = InventoryServiceStub(self._channel)
        self.lighting = LightingClient(self._channel, self._address)
        self._provisioning = ProvisioningServiceStub(self._channel)
        self._releases = ReleaseServiceStub(self._channel)
        self._telemetry = TelemetryServiceStub(self._channel)
        self.labels = LabelCalls(self._channel, self._address)
        self.rollouts = RolloutCalls(self._channel, self._address)
        self.trust = TrustCalls(self._channel, self._address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    # Inventory

    def create_areas(self, areas: Iterable[views.Area]) -> None:
        """Add or update areas, in any order."""
        request = inventory.CreateAreasRequest(areas=[mapping.area_message(area) for area in areas])
        with translated("create areas", self._address):
            self._inventory.CreateAreas(request, timeout=_TIMEOUT_S)

    def list_areas(self) -> list[views.Area]:
        """List the areas the caller may see, by code."""
        with translated("list areas", self._address):
            answer = self._inventory.ListAreas(inventory.ListAreasRequest(), timeout=_TIMEOUT_S)
        return [mapping.area_view(area) for area in answer.areas]

    def import_poles(self, poles: Iterable[views.Pole]) -> tuple[int, int]:
        """Add or update poles, all or none; returns how many were created and updated."""
        request = inventory.ImportPolesRequest(poles=[mapping.pole_message(pole) for pole in poles])
        with translated("import poles", self._address):
            answer = self._inventory.ImportPoles(request, timeout=_TRANSFER_TIMEOUT_S)
        return answer.created, answer.updated

    def list_poles(self, area_code: str = "") -> Iterator[views.PoleView]:
        """List poles with their nodes by code; pages are fetched as needed."""
        page_token = ""
        while True:
            request = inventory.ListPolesRequest(area_code=area_code, page_token=page_token)
            with translated("list poles", self._address):
                answer = self._inventory.ListPoles(request, timeout=_TIMEOUT_S)
            yield from (mapping.pole_view(found) for found in answer.poles)
            page_token = answer.next_page_token
            if not page_token:
                return

    def get_pole(self, code: str) -> views.PoleDetail:
        """Get a pole by its code, or by the endpoint name or number of its node."""
        with translated(f"show {code}", self._address):
            answer = self._inventory.GetPole(
                inventory.GetPoleRequest(code=code), timeout=_TIMEOUT_S
            )
        latest = tuple(mapping.latest_view(value) for value in answer.latest)
        return views.PoleDetail(mapping.pole_view(answer.pole), latest)

    def list_nodes(self, area_code: str = "") -> Iterator[views.Node]:
        """List nodes by number, those in no pole too; pages are fetched as needed."""
        page_token = ""
        while True:
            request = inventory.ListNodesRequest(area_code=area_code, page_token=page_token)
            with translated("list nodes", self._address):
                answer = self._inventory.ListNodes(request, timeout=_TIMEOUT_S)
            yield from (mapping.node_view(node) for node in answer.nodes)
            page_token = answer.next_page_token
            if not page_token:
                return

    def list_gateways(self) -> list[views.Gateway]:
        """List gateways by name."""
        with translated("list gateways", self._address):
            answer = self._inventory.ListGateways(
                inventory.ListGatewaysRequest(), timeout=_TIMEOUT_S
            )
        return [mapping.gateway_view(gateway) for gateway in answer.gateways]

    def set_pole_lamp(
        self,
        pole_code: str,
        level_percent: int,
        *,
        duration_s: int = 0,
        timeout_s: int = _LAMP_TIMEOUT_S,
    ) -> views.LampOutcome:
        """Dim the lamp of a pole and wait for the outcome, at most timeout_s."""
        request = inventory.SetPoleLampRequest(
            pole_code=pole_code,
            level_percent=level_percent,
            duration_s=duration_s,
            timeout_s=timeout_s,
        )
        with translated(f"set the lamp of {pole_code}", self._address):
            answer = self._inventory.SetPoleLamp(request, timeout=timeout_s + _TIMEOUT_S)
        return views.LampOutcome(answer.status, answer.detail, answer.elapsed_ms)

    # Provisioning and enrolment

    def import_nodes(
        self, nodes: Iterable[views.ManufacturedNode], permit: views.StationPermit | None = None
    ) -> list[int]:
        """Register nodes from the factory, all or none; returns their numbers in order.

        With the permit of a station the fleet counts them against its quota.
        """
        request = provisioning.ImportNodesRequest(
            nodes=[mapping.manufactured_message(node) for node in nodes],
            permit=mapping.permit_message(permit) if permit else None,
        )
        with translated("import nodes", self._address):
            answer = self._provisioning.ImportNodes(request, timeout=_TRANSFER_TIMEOUT_S)
        return list(answer.node_numbers)

    def commission(
        self,
        *,
        mac: bytes,
        claim_code: str,
        pole_code: str,
        gateway_name: str = "",
        report_interval_s: int = 0,
        swap: bool = False,
        claim_only: bool = False,
    ) -> int:
        """Put a node into a pole behind a gateway; returns the node's number.

        Args:
            mac: of the node.
            claim_code: from its label.
            pole_code: where it stands.
            gateway_name: that serves it; empty for the nearest.
            report_interval_s: between its reports; 0 for the fleet's default.
            swap: take the node that stands there out of the pole.
            claim_only: leave the sign-off to a later step.
        """
        request = provisioning.CommissionRequest(
            mac=mac.hex(),
            claim_code=claim_code,
            pole_code=pole_code,
            gateway_name=gateway_name,
            report_interval_s=report_interval_s,
            swap=swap,
            claim_only=claim_only,
        )
        with translated(f"commission {mac.hex()} into {pole_code}", self._address):
            return self._provisioning.Commission(request, timeout=_TIMEOUT_S).node_number

    def get_node(self, name: str) -> views.NodeLife:
        """Get where a node stands in its life, by number, MAC or endpoint name."""
        with translated(f"show node {name}", self._address):
            answer = self._provisioning.GetNode(
                provisioning.GetNodeRequest(name=name), timeout=_TIMEOUT_S
            )
        return mapping.node_life_view(answer.node)

    def take_node_step(
        self, step: str, names: Iterable[str], *, gateway_name: str = "", reason: str = ""
    ) -> list[views.NodeLife]:
        """Move nodes on in their lives; `step` is a word of `mapping.NODE_STEPS`."""
        request = provisioning.TakeNodeStepRequest(
            step=mapping.NODE_STEPS[step], names=names, gateway_name=gateway_name, reason=reason
        )
        with translated(f"{step} nodes", self._address):
            answer = self._provisioning.TakeNodeStep(request, timeout=_TIMEOUT_S)
        return [mapping.node_life_view(node) for node in answer.nodes]

    def list_strangers(self) -> list[views.Stranger]:
        """List whom gateways refused, the newest first."""
        with translated("list strangers", self._address):
            answer = self._provisioning.ListStrangers(
                provisioning.ListStrangersRequest(), timeout=_TIMEOUT_S
            )
        return [mapping.stranger_view(stranger) for stranger in answer.strangers]

    def create_enrollment_token(
        self, *, gateway_name: str, area_code: str, valid_s: int = 0
    ) -> str:
        """Make a one-time token for a gateway; 0 seconds for the default of one day."""
        request = enrollment.CreateEnrollmentTokenRequest(
            gateway_name=gateway_name, area_code=area_code, valid_s=valid_s
        )
        with translated(f"make an enrolment token for {gateway_name}", self._address):
            return self._enrollment.CreateEnrollmentToken(request, timeout=_TIMEOUT_S).token

    def revoke_gateway(self, name: str, reason: str = "") -> None:
        """Make a gateway's certificates worthless and end its stream at once."""
        request = enrollment.RevokeGatewayRequest(gateway_name=name, reason=reason)
        with translated(f"revoke gateway {name}", self._address):
            self._enrollment.RevokeGateway(request, timeout=_TIMEOUT_S)

    def replace_gateway(self, name: str, successor: str, reason: str = "") -> int:
        """Have another gateway serve the nodes of one that is gone; returns how many."""
        request = enrollment.ReplaceGatewayRequest(
            gateway_name=name, successor_name=successor, reason=reason
        )
        with translated(f"replace gateway {name}", self._address):
            return self._enrollment.ReplaceGateway(request, timeout=_TRANSFER_TIMEOUT_S).moved

    # Releases

    def upload_artifact(self, content: bytes) -> bytes:
        """Store an artifact, going on where an earlier upload ended; returns its SHA-256.

        Raises:
            ClientError: also when the fleet received something else than was sent.
        """
        digest = hashlib.sha256(content).digest()
        with translated(f"upload artifact {digest.hex()[:16]}", self._address):
            there = self._artifacts.GetUpload(
                artifacts.GetUploadRequest(digest=digest), timeout=_TIMEOUT_S
            )
            if there.complete:
                return digest
            answer = self._artifacts.Upload(
                _upload_pieces(content, digest, there.stored_bytes), timeout=_TRANSFER_TIMEOUT_S
            )
        if not answer.complete:
            raise ClientError(
                Failure.FAILED,
                f"Artifact {digest.hex()[:16]} is not complete at the fleet: "
                f"{answer.stored_bytes} of {len(content)} bytes.",
                "Try again.",
            )
        return digest

    def publish_release(self, envelope: bytes, notes: str = "", sbom: bytes = b"") -> bytes:
        """List a signed release whose components are uploaded; returns the envelope's SHA-256."""
        request = releases.PublishReleaseRequest(envelope=envelope, notes=notes, sbom=sbom)
        with translated("publish the release", self._address):
            return self._releases.PublishRelease(request, timeout=_TIMEOUT_S).digest

    def list_releases(self) -> list[views.Release]:
        """List releases, newest first."""
        with translated("list releases", self._address):
            answer = self._releases.ListReleases(releases.ListReleasesRequest(), timeout=_TIMEOUT_S)
        return [mapping.release_view(release) for release in answer.releases]

    def list_affected(self, component: str, below: str) -> tuple[int, list[views.AffectedNode]]:
        """Count the nodes that run a component below a version, and name the first of them."""
        request = releases.ListAffectedRequest(component=component, below=below)
        with translated(f"find the nodes that run {component}", self._address):
            answer = self._releases.ListAffected(request, timeout=_TIMEOUT_S)
        return answer.total, [mapping.affected_view(node) for node in answer.nodes]

    # Telemetry

    def query_readings(
        self,
        pole_code: str,
        metric: str,
        *,
        instance: int = 0,
        from_ms: int = 0,
        to_ms: int = 0,
    ) -> list[tuple[int, float]]:
        """Get (Unix milliseconds, value) of a pole's series, oldest first; to_ms 0 means now."""
        request = telemetry.QueryReadingsRequest(
            pole_code=pole_code,
            series=telemetry_types.SeriesKey(metric=metric, instance=instance),
            from_ms=from_ms,
            to_ms=to_ms,
        )
        found: list[tuple[int, float]] = []
        with translated(f"read {metric} of {pole_code}", self._address):
            for piece in self._telemetry.QueryReadings(request, timeout=_TIMEOUT_S):
                found.extend(zip(piece.measured_at_ms, piece.value, strict=True))
        return found

    def stored_counts(self, node_numbers: Iterable[int] = ()) -> list[views.StoredCount]:
        """Count what is stored by node and boot; all nodes when none are named."""
        request = telemetry.GetStoredCountsRequest(node_numbers=node_numbers)
        with translated("count what is stored", self._address):
            answer = self._telemetry.GetStoredCounts(request, timeout=_TIMEOUT_S)
        return [mapping.stored_count_view(count) for count in answer.counts]


def _upload_pieces(content: bytes, digest: bytes, offset: int) -> Iterator[artifacts.UploadRequest]:
    yield artifacts.UploadRequest(digest=digest, total_bytes=len(content), offset=offset)
    for start in range(offset, len(content), _UPLOAD_PIECE_BYTES):
        yield artifacts.UploadRequest(data=content[start : start + _UPLOAD_PIECE_BYTES])
