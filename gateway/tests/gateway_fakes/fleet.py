"""A fleet for tests: CA, enrolment, the link with mutual TLS, artifacts; all in this process.

Not the fleet's behaviour beyond the protocol: tests say what it stores and sends.
"""

import asyncio
import datetime
import hashlib
import ipaddress
import json
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from poleward.v1 import artifact_service_pb2 as artifact_pb
from poleward.v1 import artifact_service_pb2_grpc as artifact_grpc
from poleward.v1 import enrollment_service_pb2 as enrollment_pb
from poleward.v1 import enrollment_service_pb2_grpc as enrollment_grpc
from poleward.v1 import gateway_link_service_pb2 as pb
from poleward.v1 import gateway_link_service_pb2_grpc as link_grpc
from poleward_gateway.adapters.fleet_link import mapping
from poleward_gateway.domain.telemetry import Report

GATEWAY_NAME = "gw-test"


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


class FakeAuthority:
    """A certificate authority."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(_name("ca"), self.key.public_key(), is_ca=True)
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        self.pin = hashlib.sha256(der).hexdigest()[:32]

    def _sign(
        self, subject: x509.Name, public_key: Any, *, is_ca: bool = False, age_days: int = 0
    ) -> Any:
        now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=age_days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_name("ca"))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        )
        if not is_ca:
            names = [
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, SHA256())

    def issue(self, name: str, public_key: Any, *, age_days: int = 0) -> bytes:
        certificate = self._sign(_name(name), public_key, age_days=age_days)
        return bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server_credentials(self, *, mutual: bool) -> grpc.ServerCredentials:
        key = ec.generate_private_key(ec.SECP256R1())
        pair = (_pem(key), self.issue("fleet", key.public_key()))
        if not mutual:
            return grpc.ssl_server_credentials([pair])
        return grpc.ssl_server_credentials([pair], self.pem, require_client_auth=True)


class FakeFleet(
    link_grpc.GatewayLinkServiceServicer,
    enrollment_grpc.EnrollmentServiceServicer,
    artifact_grpc.ArtifactServiceServicer,
):
    """Stores what comes, sends what the test says.

    Attributes:
        reports: Reports by idempotency key.
        acknowledging: Acknowledge batches as they come.
    """

    def __init__(self) -> None:
        self.authority = FakeAuthority()
        self.tokens = {"secret"}
        self.reports: dict[tuple[int, int, int], Report] = {}
        self.batches: dict[int, bytes] = {}
        self.events: list[Any] = []
        self.states: dict[int, Any] = {}
        self.gateway_software: Any = None
        self.strangers: list[Any] = []
        self.results: list[Any] = []
        self.visits: list[Any] = []
        self.hellos: list[Any] = []
        self.artifacts: dict[bytes, bytes] = {}
        self.downloads: list[tuple[bytes, int]] = []
        self.patches: dict[tuple[bytes, int], Any] = {}
        self.patches_asked_for: list[tuple[bytes, int]] = []
        self.cut_download_after: int | None = None
        self.acknowledging = True
        self.stored_report_batch = 0
        self.stored_event_batch = 0
        self.connected = asyncio.Event()
        self.refuse_renewal = False
        self.renewals = 0
        self._outbox: asyncio.Queue[Any] | None = None
        self._desired: Any = None
        self._servers: list[grpc.aio.Server] = []
        self.link_port = 0

    async def start(self, link_port: int = 0) -> "FakeFleet":
        self.link_port, link = await self._serve(mutual=True, port=link_port)
        link_grpc.add_GatewayLinkServiceServicer_to_server(self, link)
        artifact_grpc.add_ArtifactServiceServicer_to_server(self, link)
        enrollment_grpc.add_EnrollmentServiceServicer_to_server(self, link)
        self.api_port, api = await self._serve(mutual=False, port=0)
        enrollment_grpc.add_EnrollmentServiceServicer_to_server(self, api)
        for server in (link, api):
            await server.start()
        return self

    async def _serve(self, *, mutual: bool, port: int) -> tuple[int, grpc.aio.Server]:
        server = grpc.aio.server()
        bound = server.add_secure_port(
            f"127.0.0.1:{port}", self.authority.server_credentials(mutual=mutual)
        )
        self._servers.append(server)
        return bound, server

    async def stop(self) -> None:
        for server in self._servers:
            await server.stop(0)
        self._servers.clear()
        self.connected.clear()

    @property
    def token(self) -> str:
        return f"secret.{self.authority.pin}"

    def send(self, **message: Any) -> None:
        assert self._outbox is not None
        self._outbox.put_nowait(pb.ConnectResponse(**message))

    def desire(
        self, nodes: list[Any], *, revision: int, release_keys: tuple[bytes, ...] = (),
        release_threshold: int = 1, trust_documents: tuple[bytes, ...] = (),
        gateway_release: Any = None,
    ) -> None:  # fmt: skip
        """Set desired state, now and for whoever connects."""
        self._desired = pb.DesiredState(
            revision=revision, complete=True, nodes=nodes, release_keys=release_keys,
            release_threshold=release_threshold, trust_documents=trust_documents,
            gateway_release=gateway_release,
        )  # fmt: skip
        if self._outbox is not None:
            self.send(desired_state=self._desired)

    def settle(self, visit: Any, conflict: str = "") -> None:
        """Say what became of a technician's visit."""
        digest = hashlib.sha256(visit.content).digest()
        self.send(
            site_visit_outcome=pb.SiteVisitOutcome(
                visit_id=visit.visit_id, content_digest=digest, conflict=conflict
            )
        )

    # Services

    async def Connect(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        hello = (await anext(aiter(request_iterator))).hello
        if self.hellos and hello.spool_id != self.hellos[-1].spool_id:
            self.stored_report_batch = self.stored_event_batch = 0
        self.hellos.append(hello)
        outbox: asyncio.Queue[Any] = asyncio.Queue()
        self._outbox = outbox
        self.send(
            welcome=pb.Welcome(
                gateway_name=GATEWAY_NAME,
                stored_report_batch=self.stored_report_batch,
                stored_event_batch=self.stored_event_batch,
            )
        )
        if self._desired is not None and self._desired.revision != hello.desired_revision:
            self.send(desired_state=self._desired)
        reader = asyncio.create_task(self._read(request_iterator))
        self.connected.set()
        try:
            while True:
                yield await outbox.get()
        finally:
            reader.cancel()

    async def _read(self, requests: Any) -> None:
        async for message in requests:
            kind = message.WhichOneof("message")
            if kind == "report_batch":
                self._take_reports(message.report_batch)
            elif kind == "event_batch":
                self._take_events(message.event_batch)
            elif kind == "reported_state":
                for state in message.reported_state.nodes:
                    self.states[state.node_number] = state
            elif kind == "gateway_software":
                self.gateway_software = message.gateway_software
            elif kind == "strangers_seen":
                self.strangers.append(message.strangers_seen)
            elif kind == "command_result":
                self.results.append(message.command_result)
            elif kind == "site_visit":
                self.visits.append(message.site_visit)

    def _take_reports(self, batch: Any) -> None:
        again = self.batches.setdefault(batch.batch_number, batch.SerializeToString())
        assert again == batch.SerializeToString(), "a batch that is sent again is the same"
        for report in mapping.reports_from_message(batch):
            self.reports[(report.node, report.boot, report.sequence)] = report
        if self.acknowledging:
            self.stored_report_batch = max(self.stored_report_batch, batch.batch_number)
            self.send(report_ack=pb.BatchAck(batch_number=batch.batch_number))

    def _take_events(self, batch: Any) -> None:
        self.events += batch.events
        if self.acknowledging:
            self.stored_event_batch = max(self.stored_event_batch, batch.batch_number)
            self.send(event_ack=pb.BatchAck(batch_number=batch.batch_number))

    async def Enroll(self, request: Any, context: Any) -> Any:
        secret = request.token.partition(".")[0]
        if secret not in self.tokens:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "the token was used before")
        self.tokens.remove(secret)
        csr = x509.load_pem_x509_csr(request.csr_pem.encode())
        return enrollment_pb.EnrollResponse(
            gateway_name=GATEWAY_NAME,
            certificate_pem=self.authority.issue(GATEWAY_NAME, csr.public_key()).decode(),
            ca_pem=self.authority.pem.decode(),
            link_address=f"127.0.0.1:{self.link_port}",
        )

    async def CreateEnrollmentToken(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def ReplaceGateway(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def RevokeGateway(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def Upload(self, request_iterator: Any, context: Any) -> Any:
        raise NotImplementedError

    async def GetPatch(self, request: Any, context: Any) -> Any:
        pair = (request.release_digest, request.source_sequence)
        self.patches_asked_for.append(pair)
        assert request.component_digest in self.artifacts
        none = artifact_pb.GetPatchResponse(state=artifact_pb.PATCH_STATE_NONE)
        return self.patches.get(pair, none)

    async def GetUpload(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    async def Renew(self, request: Any, context: Any) -> Any:
        self.renewals += 1
        csr = x509.load_pem_x509_csr(request.csr_pem.encode())
        return enrollment_pb.RenewResponse(
            certificate_pem=self.authority.issue(GATEWAY_NAME, csr.public_key()).decode()
        )

    async def Download(self, request: Any, context: Any) -> AsyncIterator[Any]:
        content = self.artifacts.get(request.digest)
        if content is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such artifact")
        assert content is not None
        self.downloads.append((request.digest, request.offset))
        piece = 1000
        for start in range(request.offset, len(content), piece):
            if self.cut_download_after is not None and start >= self.cut_download_after:
                self.cut_download_after = None
                await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")
            yield artifact_pb.DownloadResponse(
                total_bytes=len(content) if start == request.offset else 0,
                data=content[start : start + piece],
            )


class FakeWeb:
    """Serves the fleet's discovery document."""

    def __init__(self, fleet: FakeFleet) -> None:
        document = json.dumps(
            {
                "api": f"127.0.0.1:{fleet.api_port}",
                "link": f"127.0.0.1:{fleet.link_port}",
                "ca_pem": fleet.authority.pem.decode(),
            }
        ).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = self.path == "/.well-known/poleward.json"
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write(document if found else b"")

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
