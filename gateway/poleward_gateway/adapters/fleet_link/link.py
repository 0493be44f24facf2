"""The stream to the fleet: opened, kept, opened again.

Not what is said on it: services/uplink.py.
"""

import asyncio
import datetime
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import grpc
import structlog

from poleward.v1 import artifact_service_pb2 as artifact_pb
from poleward.v1 import artifact_service_pb2_grpc as artifact_grpc
from poleward.v1 import gateway_link_service_pb2 as pb
from poleward.v1 import gateway_link_service_pb2_grpc as link_grpc
from poleward_commissioning.visit import SiteVisit
from poleward_commissioning.work_order import WorkOrder, signed_part
from poleward_gateway.adapters.fleet_link import enrollment, lighting_mapping, mapping
from poleward_gateway.adapters.fleet_link.errors import translated
from poleward_gateway.adapters.fleet_link.identity import Identity, is_signed_by
from poleward_gateway.adapters.fleet_link.network_changes import watching_network
from poleward_gateway.domain.commands import CommandResult
from poleward_gateway.domain.errors import (
    ArtifactDamagedError,
    ArtifactUnavailableError,
    GatewayError,
    PeerUnreachableError,
    RefusedError,
)
from poleward_gateway.domain.nodes import NodeState
from poleward_gateway.domain.software import GatewaySoftware
from poleward_gateway.domain.strangers import StrangersSeen
from poleward_gateway.ports.clock import Tally
from poleward_gateway.ports.releases import FoundPatch
from poleward_gateway.ports.spool import EventBatch, ReportBatch
from poleward_gateway.services.uplink import Uplink

_log = structlog.get_logger(__name__)

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 15.0
"""With full jitter a gateway tries every 7.5 s, which are some 130 handshakes a second of 1,000
gateways whose fleet comes back; a person who waits for one gateway waits at most this long."""
STEADY_AFTER_S = 30.0
"""A stream that lived so long starts the back-off anew."""
WELCOME_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 20.0
RENEW_CHECK_S = 600.0
_EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]
MESSAGE_MAX_BYTES = 16 * 1024 * 1024

# A dead peer is noticed within 30 s, also when nothing is said.
_CHANNEL_OPTIONS = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
    # Our own back-off decides when to try again, not the channel's.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class FleetLink:
    """Keeps a stream to the fleet and hands its messages to the uplink.

    Args:
        identity: Key and certificate; replaced when renewed.
        save_identity: Stores a renewed identity.
        coap_uri: Returns where nodes find the gateway, for Hello.
        site_url: Returns where technicians on site find it, for Hello; empty for nowhere.
    """

    def __init__(
        self,
        identity: Identity,
        save_identity: Callable[[Identity], None],
        uplink: Uplink,
        tally: Tally,
        *,
        software_version: str,
        coap_uri: Callable[[], str],
        site_url: Callable[[], str],
    ) -> None:
        self._identity = identity
        self._save_identity = save_identity
        self._uplink = uplink
        self._tally = tally
        self._software_version = software_version
        self._coap_uri = coap_uri
        self._site_url = site_url
        self._told: str | None = None
        self._told_connected = False
        self._network_came = asyncio.Event()

    async def run(self) -> None:
        """Keep the stream until cancelled."""
        with watching_network(self._network_came.set):
            await self._keep()

    async def _keep(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                await self._session()
                why = "the fleet ended the stream"
            except GatewayError as error:
                why = str(error)
            finally:
                self._tally.gauge("fleet_connected", 0)
            if loop.time() - began_s > STEADY_AFTER_S:
                backoff_s, self._told = BACKOFF_FIRST_S, None
            if why != self._told:
                _log.warning("fleet_gone", why=why)
                self._told = why
                self._told_connected = False
            if await self._network_comes_within(random.uniform(0, backoff_s)):
                backoff_s = BACKOFF_FIRST_S
            else:
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    async def _network_comes_within(self, seconds: float) -> bool:
        """Wait until the next try; say whether an interface that came back shortened that."""
        try:
            await asyncio.wait_for(self._network_came.wait(), seconds)
        except TimeoutError:
            return False
        self._network_came.clear()
        # Interfaces come with their addresses and routes one by one, and a street's all together.
        await asyncio.sleep(random.uniform(0, BACKOFF_FIRST_S))
        return True

    async def download(self, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        """Stream release content; implements the port ArtifactSource."""
        async with self._channel() as channel:
            stub = artifact_grpc.ArtifactServiceStub(channel)
            request = artifact_pb.DownloadRequest(digest=digest, offset=offset)
            try:
                async for piece in stub.Download(request):
                    yield piece.data
            except grpc.aio.AioRpcError as error:
                what = f"fetching {digest.hex()[:16]}…"
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    raise ArtifactDamagedError(
                        f"{what}: the fleet has no copy of it; publish the release again"
                    ) from error
                raise ArtifactUnavailableError(str(translated(error, what))) from error

    async def find_patch(
        self, release_digest: bytes, component_digest: bytes, source_sequence: int
    ) -> FoundPatch:
        """Ask for a patch; implements the port ArtifactSource."""
        async with self._channel() as channel:
            stub = artifact_grpc.ArtifactServiceStub(channel)
            request = artifact_pb.GetPatchRequest(
                release_digest=release_digest,
                component_digest=component_digest,
                source_sequence=source_sequence,
            )
            try:
                return mapping.patch_from_message(
                    await stub.GetPatch(request, timeout=ANSWER_TIMEOUT_S)
                )
            except grpc.aio.AioRpcError as error:
                raise ArtifactUnavailableError(
                    str(translated(error, "asking for a patch"))
                ) from error

    def _note_connected(self, name: str) -> None:
        """Log that the stream is open, unless it only breaks again and again in the same way."""
        self._tally.gauge("fleet_connected", 1)
        self._tally.count("fleet_connections")
        if not self._told_connected:
            _log.info("fleet_connected", gateway=name)
            self._told_connected = True

    def _channel(self) -> grpc.aio.Channel:
        """Open a channel with mutual TLS."""
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self._identity.ca_pem,
            private_key=self._identity.key_pem,
            certificate_chain=self._identity.certificate_pem,
        )
        return grpc.aio.secure_channel(
            self._identity.link_address, credentials, options=_CHANNEL_OPTIONS
        )

    async def _session(self) -> None:
        """Live one stream; returns when the fleet ends it."""
        what = f"the link to {self._identity.link_address}"
        if datetime.datetime.now(datetime.UTC) > (ended_at := self._identity.expires_at()):
            what += f" with a certificate that ended on {ended_at:%Y-%m-%d}, so enrol again"
        async with self._channel() as channel:
            stub: Any = link_grpc.GatewayLinkServiceStub(channel)
            call = stub.Connect()
            try:
                await call.write(self._hello())
                async with asyncio.timeout(WELCOME_TIMEOUT_S):
                    first: Any = await call.read()
                if first is _EOF:
                    raise PeerUnreachableError(f"{what}: the fleet ended the stream at once")
                if first.WhichOneof("message") != "welcome":
                    raise RefusedError(f"{what}: the fleet does not begin with Welcome")
                welcome = first.welcome
                if not await self._uplink.welcome(
                    welcome.stored_report_batch, welcome.stored_event_batch
                ):
                    return
                self._note_connected(welcome.gateway_name)
                await self._converse(call, channel)
            except grpc.aio.AioRpcError as error:
                raise translated(error, what) from error
            except asyncio.InvalidStateError as error:
                raise PeerUnreachableError(f"{what}: the stream broke") from error
            except TimeoutError as error:
                raise PeerUnreachableError(f"{what}: no Welcome in time") from error
            finally:
                call.cancel()

    async def _converse(self, call: Any, channel: grpc.aio.Channel) -> None:
        """Read, write and renew until one of them ends."""
        tasks = [
            asyncio.create_task(self._read(call)),
            asyncio.create_task(self._uplink.pump(_Stream(call))),
            asyncio.create_task(self._renew_in_time(channel)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, call: Any) -> None:
        """Take what the fleet says."""
        while True:
            message: Any = await call.read()
            if message is _EOF:
                return
            kind = message.WhichOneof("message")
            if kind == "report_ack":
                await self._uplink.take_report_ack(message.report_ack.batch_number)
            elif kind == "event_ack":
                await self._uplink.take_event_ack(message.event_ack.batch_number)
            elif kind == "desired_state":
                await self._uplink.take_desired(mapping.desired_from_message(message.desired_state))
            elif kind == "desired_lighting":
                lighting = lighting_mapping.lighting_from_message(message.desired_lighting)
                await self._uplink.take_lighting(lighting)
            elif kind == "work_order":
                await self._take_work_order(message.work_order)
            elif kind == "site_visit_outcome":
                outcome = message.site_visit_outcome
                await self._uplink.take_visit_outcome(
                    outcome.visit_id, outcome.content_digest, outcome.conflict
                )
            elif kind == "command":
                await self._take_commands([message.command])
            elif kind == "command_batch":
                await self._take_commands(message.command_batch.commands)

    async def _take_work_order(self, message: pb.SignedWorkOrder) -> None:
        """Take an order if the fleet's CA signed it; anything else is logged and left."""
        signed = signed_part(message.content)
        if not is_signed_by(self._identity.ca_pem, message.signature, signed):
            _log.error("work_order_not_signed")
            self._tally.count("work_orders_refused")
            return
        try:
            order = WorkOrder.from_bytes(message.content)
        except ValueError as error:
            _log.error("work_order_unknown", why=str(error))
            return
        await self._uplink.take_work_order(order)

    async def _take_commands(self, messages: Iterable[pb.Command]) -> None:
        """Take the commands of one order; one of a kind that is new to us is logged."""
        commands = []
        for message in messages:
            command = mapping.command_from_message(message)
            if command is None:
                _log.warning("command_unknown", id=message.command_id.hex())
            else:
                commands.append(command)
        await self._uplink.take_commands(commands)

    async def _renew_in_time(self, channel: grpc.aio.Channel) -> None:
        """Renew the certificate when its time has come; the next stream uses it."""
        while True:
            now = datetime.datetime.now(datetime.UTC)
            if now >= self._identity.renew_after():
                try:
                    self._identity = await enrollment.renew(self._identity, channel)
                    self._save_identity(self._identity)
                    _log.info("certificate_renewed", expires=str(self._identity.expires_at()))
                except GatewayError as error:
                    _log.warning(
                        "certificate_not_renewed",
                        why=str(error),
                        expires=str(self._identity.expires_at()),
                    )
            await asyncio.sleep(RENEW_CHECK_S)

    def _hello(self) -> pb.ConnectRequest:
        return pb.ConnectRequest(
            hello=pb.Hello(
                software_version=self._software_version,
                spool_id=self._uplink.spool_id,
                desired_revision=self._uplink.desired_revision,
                coap_uri=self._coap_uri(),
                lighting_digest=self._uplink.lighting_digest,
                site_url=self._site_url(),
                work_order_revision=self._uplink.work_order_revision,
            )
        )


class _Stream:
    """Implements the port FleetStream on an open call."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def send_reports(self, batch: ReportBatch) -> None:
        await self._call.write(mapping.report_batch_to_message(batch))

    async def send_events(self, batch: EventBatch) -> None:
        await self._call.write(mapping.event_batch_to_message(batch))

    async def send_states(self, states: Sequence[NodeState]) -> None:
        await self._call.write(mapping.states_to_message(states))

    async def send_visit(self, visit: SiteVisit) -> None:
        content = visit.to_bytes()
        await self._call.write(
            pb.ConnectRequest(site_visit=pb.SiteVisit(visit_id=visit.visit_id, content=content))
        )

    async def send_result(self, result: CommandResult) -> None:
        await self._call.write(mapping.result_to_message(result))

    async def send_software(self, software: GatewaySoftware) -> None:
        await self._call.write(mapping.software_to_message(software))

    async def send_strangers(self, seen: StrangersSeen) -> None:
        await self._call.write(mapping.strangers_to_message(seen))
