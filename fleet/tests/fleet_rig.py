"""What the fleet's tests share: a clock, a fast hasher, a gateway that speaks gRPC, builders.

Not fixtures (conftest.py).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from poleward.v1 import enrollment_service_pb2 as enrollment_pb
from poleward.v1 import gateway_link_service_pb2 as link_pb
from poleward.v1 import telemetry_types_pb2 as telemetry_pb
from poleward.v1.enrollment_service_pb2_grpc import EnrollmentServiceStub
from poleward.v1.gateway_link_service_pb2_grpc import GatewayLinkServiceStub
from poleward_commissioning.claim_code import claim_code_hash
from poleward_fleet.assembly import Fleet
from poleward_fleet.bootstrap import Addresses
from poleward_fleet.domain.accounts import Principal, Role
from poleward_fleet.domain.gateway_link import Hello
from poleward_fleet.domain.identity import ManufacturedNode
from poleward_fleet.domain.inventory import Area, Pole
from poleward_fleet.domain.telemetry import ReportColumns, SeriesKey

CITY, DISTRICT, OTHER_DISTRICT = "330100000000", "330106000000", "330108000000"
ADMIN = Principal("admin", frozenset({Role.ADMINISTRATOR}))
LAYOUT = (
    SeriesKey("lamp.level_percent"),
    SeriesKey("supply.active_power_w"),
    SeriesKey("air.temperature_c"),
)
DEADLINE_S = 60.0
_EOF: Any = vars(grpc.aio)["EOF"]  # the stubs do not know it


class FakeClock:
    """Time that moves when a test says so."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self.now = now_ms

    def now_ms(self) -> int:
        return self.now

    def pass_ms(self, milliseconds: int) -> None:
        self.now += milliseconds


class PlainHasher:
    """A PasswordHasher that costs nothing."""

    async def hash(self, secret: str) -> str:
        return f"$argon2id$plain${secret}"

    async def verify(self, phc: str, secret: str) -> bool:
        return phc == f"$argon2id$plain${secret}"


def make_csr(curve: ec.EllipticCurve | None = None) -> tuple[bytes, str]:
    """Return a key and a certificate request, both PEM."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whatever")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return key_pem, request.public_bytes(serialization.Encoding.PEM).decode()


def manufactured(number: int) -> ManufacturedNode:
    return ManufacturedNode(
        mac=f"aabbcc{number:06x}",
        bootstrap_secret=number.to_bytes(16, "big"),
        bootstrap_salt=number.to_bytes(8, "big"),
        claim_code_hash=claim_code_hash(f"aabbcc{number:06x}", f"claim-{number}"),
    )


async def make_city(fleet: Fleet) -> None:
    """Add a city with two districts."""
    await fleet.inventory.create_areas(
        ADMIN,
        [
            Area(CITY, "杭州市"),
            Area(DISTRICT, "西湖区", CITY),
            Area(OTHER_DISTRICT, "滨江区", CITY),
        ],
    )


async def make_gateway(fleet: Fleet, name: str = "gw-1", area_code: str = DISTRICT) -> None:
    """Enrol a gateway without a network."""
    token, _ = await fleet.enrollment.create_token(
        ADMIN, gateway_name=name, area_code=area_code, valid_s=0
    )
    await fleet.enrollment.enroll(token, make_csr()[1])


async def make_poles(
    fleet: Fleet, count: int, *, gateway: str = "gw-1", first: int = 1, area: str = DISTRICT
) -> list[int]:
    """Add poles P-<n> with nodes behind a gateway; return the nodes' numbers."""
    wanted = range(first, first + count)
    await fleet.inventory.import_poles(
        ADMIN, [Pole(f"P-{n}", area, 30.0 + n / 1000, 120.0, ("lamp", "air"), 60) for n in wanted]
    )
    await fleet.provisioning.import_nodes(ADMIN, [manufactured(n) for n in wanted])
    return [
        await fleet.provisioning.claim(
            ADMIN,
            mac=manufactured(n).mac,
            claim_code=f"claim-{n}",
            pole_code=f"P-{n}",
            gateway_name=gateway,
            sign_off=True,
        )
        for n in wanted
    ]


def columns(
    rows: Sequence[tuple[int, int, int]], *, at_ms: int = 1_800_000_000_000, power_w: float = 40.0
) -> ReportColumns:
    """Build reports of (node, boot, sequence), a second apart."""
    return ReportColumns(
        layouts=(LAYOUT,),
        node_number=[row[0] for row in rows],
        boot=[row[1] for row in rows],
        sequence=[row[2] for row in rows],
        layout=[0] * len(rows),
        measured_at_ms=[at_ms + 1000 * i for i in range(len(rows))],
        value=[v for i in range(len(rows)) for v in (80.0, power_w, 20.0 + i)],
    )


def batch_message(
    number: int, rows: Sequence[tuple[int, int, int]], at_ms: int = 1_800_000_000_000
) -> link_pb.ConnectRequest:
    """Build a report batch of (node, boot, sequence)."""
    reports = columns(rows, at_ms=at_ms)
    times = reports.measured_at_ms
    deltas = [times[0], *(b - a for a, b in pairwise(times))] if rows else []
    return link_pb.ConnectRequest(
        report_batch=link_pb.ReportBatch(
            batch_number=number,
            reports=telemetry_pb.ReportColumns(
                layouts=[
                    telemetry_pb.ReportLayout(
                        series=[telemetry_pb.SeriesKey(metric=key.metric) for key in LAYOUT]
                    )
                ],
                node_number=reports.node_number,
                boot=reports.boot,
                sequence=reports.sequence,
                layout=reports.layout,
                time_delta_ms=deltas,
                value=reports.value,
            ),
        )
    )


def hello(spool_id: str = "spool", revision: int = 0) -> Hello:
    return Hello("1.0", spool_id, revision, "coap://127.0.0.1:5683")


@dataclass
class Rig:
    """A running fleet manager with real ports."""

    fleet: Fleet
    addresses: Addresses
    data_dir: Path

    @property
    def api_token(self) -> str:
        return str(json.loads((self.data_dir / "admin.json").read_text())["api_token"])

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.api_token}"),)

    @asynccontextmanager
    async def api(self) -> AsyncIterator[grpc.aio.Channel]:
        """Open a channel to the API port."""
        credentials = grpc.ssl_channel_credentials(self.fleet.authority.ca_pem.encode())
        async with grpc.aio.secure_channel(self.addresses.api, credentials) as channel:
            yield channel

    @asynccontextmanager
    async def link(
        self, key_pem: bytes | None = None, certificate_pem: str | None = None
    ) -> AsyncIterator[grpc.aio.Channel]:
        """Open a channel to the gateways' port."""
        credentials = grpc.ssl_channel_credentials(
            self.fleet.authority.ca_pem.encode(),
            key_pem,
            certificate_pem.encode() if certificate_pem else None,
        )
        async with grpc.aio.secure_channel(self.addresses.link, credentials) as channel:
            yield channel

    async def enroll(self, name: str = "gw-1", area_code: str = DISTRICT) -> tuple[bytes, str]:
        """Enrol over the network as a gateway does; return its key and certificate."""
        key_pem, csr_pem = make_csr()
        async with self.api() as channel:
            stub = EnrollmentServiceStub(channel)
            made = await stub.CreateEnrollmentToken(
                enrollment_pb.CreateEnrollmentTokenRequest(gateway_name=name, area_code=area_code),
                metadata=self.metadata,
            )
            joined = await stub.Enroll(
                enrollment_pb.EnrollRequest(token=made.token, csr_pem=csr_pem)
            )
        assert joined.gateway_name == name
        return key_pem, joined.certificate_pem


class FakeGateway:
    """The gateway's end of one stream; what comes down is kept by kind."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        stub: Any = GatewayLinkServiceStub(channel)
        self.stream: Any = stub.Connect()
        self.received: list[link_pb.ConnectResponse] = []

    async def connect(self, spool_id: str = "spool", revision: int = 0) -> link_pb.Welcome:
        await self.stream.write(
            link_pb.ConnectRequest(
                hello=link_pb.Hello(
                    software_version="1.0",
                    spool_id=spool_id,
                    desired_revision=revision,
                    coap_uri="coap://127.0.0.1:5683",
                )
            )
        )
        return (await self.next("welcome")).welcome

    async def send(self, message: link_pb.ConnectRequest) -> None:
        await self.stream.write(message)

    async def next(self, kind: str) -> link_pb.ConnectResponse:
        """Wait for the next message of a kind; others are kept in `received`."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                message: link_pb.ConnectResponse = await self.stream.read()
                if message is _EOF:
                    code, details = await self.stream.code(), await self.stream.details()
                    raise AssertionError(f"the stream ended: {code} {details}")
                self.received.append(message)
                if message.WhichOneof("message") == kind:
                    return message

    async def report_ack(self, number: int) -> None:
        """Wait until a report batch is acknowledged."""
        while (await self.next("report_ack")).report_ack.batch_number < number:
            pass

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """Wait for the end of the stream; return status and message."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                while await self.stream.read() is not _EOF:
                    pass
            except grpc.aio.AioRpcError:
                pass
            return await self.stream.code(), await self.stream.details()
