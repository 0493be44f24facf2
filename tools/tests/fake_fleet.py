"""A fleet that speaks the real API over real TLS but keeps everything in lists."""

import datetime
import hashlib
import http.server
import ipaddress
import json
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from poleward.v1 import artifact_service_pb2 as artifacts
from poleward.v1 import inventory_service_pb2 as inventory
from poleward.v1 import release_service_pb2 as releases
from poleward.v1 import rollout_service_pb2 as rollouts
from poleward.v1.artifact_service_pb2_grpc import (
    ArtifactServiceServicer,
    add_ArtifactServiceServicer_to_server,
)
from poleward.v1.inventory_service_pb2_grpc import (
    InventoryServiceServicer,
    add_InventoryServiceServicer_to_server,
)
from poleward.v1.release_service_pb2_grpc import (
    ReleaseServiceServicer,
    add_ReleaseServiceServicer_to_server,
)
from poleward.v1.rollout_service_pb2_grpc import (
    RolloutServiceServicer,
    add_RolloutServiceServicer_to_server,
)
from poleward_tools.client import FleetProfile


def make_certificate() -> tuple[bytes, bytes, bytes]:
    """Make a self-signed certificate for 127.0.0.1: key PEM, certificate PEM and DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake fleet")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key_pem, certificate.public_bytes(Encoding.PEM), certificate.public_bytes(Encoding.DER)


class FakeFleet(
    InventoryServiceServicer,
    ArtifactServiceServicer,
    ReleaseServiceServicer,
    RolloutServiceServicer,
):
    """Answers what the tests put into its attributes."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.poles: list[inventory.PoleView] = []
        self.page_size = 2
        self.lamp = inventory.SetPoleLampResponse(status="done", elapsed_ms=7)
        self.lamp_requests: list[inventory.SetPoleLampRequest] = []
        self.stored = bytearray()
        self.releases: list[releases.Release] = []
        self.rollout = rollouts.Rollout(number=1, state="running", release_version="1.1.0")
        self.rollout_nodes: list[rollouts.RolloutNode] = []
        self.tried = rollouts.TryRolloutRequest()
        self.failure: tuple[grpc.StatusCode, str] | None = None

    def _seen(self, context: grpc.ServicerContext) -> None:
        metadata = dict(context.invocation_metadata())
        self.tokens.append(str(metadata.get("authorization")))
        if self.failure:
            context.abort(*self.failure)

    def ListPoles(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._seen(context)
        start = int(request.page_token or 0)
        end = start + self.page_size
        token = str(end) if end < len(self.poles) else ""
        return inventory.ListPolesResponse(poles=self.poles[start:end], next_page_token=token)

    def ListNodes(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._seen(context)
        return inventory.ListNodesResponse(
            nodes=[pole.node for pole in self.poles if pole.HasField("node")]
        )

    def ListAreas(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._seen(context)
        return inventory.ListAreasResponse()

    def ImportPoles(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._seen(context)
        self.poles.extend(inventory.PoleView(pole=pole) for pole in request.poles)
        return inventory.ImportPolesResponse(created=len(request.poles))

    def SetPoleLamp(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._seen(context)
        self.lamp_requests.append(request)
        return self.lamp

    def GetUpload(self, request: Any, context: grpc.ServicerContext) -> Any:
        return artifacts.GetUploadResponse(stored_bytes=len(self.stored))

    def Upload(self, request_iterator: Iterator[Any], context: grpc.ServicerContext) -> Any:
        first = next(request_iterator)
        assert first.offset == len(self.stored)
        for piece in request_iterator:
            assert len(piece.data) <= 65536
            self.stored += piece.data
        complete = hashlib.sha256(self.stored).digest() == first.digest
        return artifacts.UploadResponse(stored_bytes=len(self.stored), complete=complete)

    def ListReleases(self, request: Any, context: grpc.ServicerContext) -> Any:
        return releases.ListReleasesResponse(releases=self.releases)

    def CreateRollout(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.rollout.release_digest = request.release_digest
        return rollouts.CreateRolloutResponse(rollout=self.rollout)

    def TryRollout(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.tried = request
        return rollouts.TryRolloutResponse(
            wave_nodes=[3, 40],
            taken=1,
            canaries=["P-1"],
            links=[rollouts.RolloutLinkLoad(gateway_name="gw", nodes=43, uplink_bytes=60_000)],
            duration_s=600,
        )

    def ApproveRollout(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.rollout.state = "running"
        return rollouts.ApproveRolloutResponse(rollout=self.rollout)

    def ListRollouts(self, request: Any, context: grpc.ServicerContext) -> Any:
        return rollouts.ListRolloutsResponse(rollouts=[self.rollout])

    def ListRolloutNodes(self, request: Any, context: grpc.ServicerContext) -> Any:
        start = int(request.page_token or 0)
        found = [n for n in self.rollout_nodes if not request.states or n.state in request.states]
        end = start + self.page_size
        return rollouts.ListRolloutNodesResponse(
            nodes=found[start:end], next_page_token=str(end) if end < len(found) else ""
        )

    def GetRollout(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._seen(context)
        return rollouts.GetRolloutResponse(rollout=self.rollout)


class RunningFleet:
    """A fake fleet with its web and API ports."""

    def __init__(self) -> None:
        # The calls that no test makes are missing.
        self.fake = FakeFleet()  # type: ignore[abstract]
        key_pem, certificate_pem, der = make_certificate()
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        add_InventoryServiceServicer_to_server(self.fake, self.server)
        add_ArtifactServiceServicer_to_server(self.fake, self.server)
        add_ReleaseServiceServicer_to_server(self.fake, self.server)
        add_RolloutServiceServicer_to_server(self.fake, self.server)
        credentials = grpc.ssl_server_credentials([(key_pem, certificate_pem)])
        port = self.server.add_secure_port("127.0.0.1:0", credentials)
        self.server.start()
        self.well_known: Any = {
            "api": f"127.0.0.1:{port}", "link": "127.0.0.1:1", "ca_pem": certificate_pem.decode()
        }  # fmt: skip
        fleet = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(fleet.well_known).encode()
                self.send_response(200 if self.path == "/.well-known/poleward.json" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.web.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.web.server_port}"
        self.token = "secret." + hashlib.sha256(der).hexdigest()[:32]

    @property
    def profile(self) -> FleetProfile:
        return FleetProfile(self.url, self.token)

    def stop_api(self) -> None:
        self.server.stop(0).wait()

    def close(self) -> None:
        self.web.shutdown()
        self.web.server_close()
        self.thread.join()
        self.stop_api()
