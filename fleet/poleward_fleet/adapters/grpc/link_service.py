"""The port of the gateways: the stream, artifacts, renewal. Mutual TLS.

Not for people and programs (api_services.py).
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

from poleward.v1 import artifact_service_pb2 as artifact_pb
from poleward.v1 import artifact_service_pb2_grpc, enrollment_service_pb2_grpc
from poleward.v1 import enrollment_service_pb2 as enrollment_pb
from poleward.v1 import gateway_link_service_pb2 as link_pb
from poleward.v1 import gateway_link_service_pb2_grpc as link_grpc
from poleward_fleet.adapters.grpc import lighting_mapping, mapping
from poleward_fleet.adapters.grpc.callers import gateway_of
from poleward_fleet.domain.errors import ConflictError, ForbiddenError, InvalidError
from poleward_fleet.domain.gateway_link import BatchStored, StoredBatches
from poleward_fleet.domain.identity import DesiredState
from poleward_fleet.domain.lighting import GatewayLighting
from poleward_fleet.domain.work_orders import SignedOrder, SiteVisitOutcome
from poleward_fleet.ports.releases import ArtifactStore
from poleward_fleet.services.commands import CommandService
from poleward_fleet.services.enrollment import EnrollmentService
from poleward_fleet.services.gateways import Downward, GatewayLink, GatewayLinks
from poleward_fleet.services.ingest import IngestService, ReportIngest
from poleward_fleet.services.patches import PatchService
from poleward_fleet.services.site_sync import SiteSync
from poleward_fleet.services.strangers import StrangerService

_HELLO_TIMEOUT_S = 15
_Context = grpc.aio.ServicerContext[Any, Any]


class GatewayLinkServicer(link_grpc.GatewayLinkServiceServicer):
    """Translates between the stream's messages and the services.

    Three tasks per stream, owned by Connect: one reads, one stores reports, one writes. The first
    that ends, for whatever reason, ends the stream.
    """

    def __init__(
        self,
        links: GatewayLinks,
        ingest: IngestService,
        commands: CommandService,
        visits: SiteSync,
        strangers: StrangerService,
    ) -> None:
        self._links = links
        self._visits = visits
        self._strangers = strangers
        self._ingest = ingest
        self._commands = commands

    async def Connect(  # type: ignore[override]  # it writes with context.write
        self, request_iterator: AsyncIterator[link_pb.ConnectRequest], context: _Context
    ) -> None:
        """Serve one stream until either side ends it."""
        certificate = gateway_of(context)
        await self._links.require_current(certificate)
        name = certificate.name
        requests = aiter(request_iterator)
        try:
            first = await asyncio.wait_for(anext(requests), _HELLO_TIMEOUT_S)
        except (TimeoutError, StopAsyncIteration):
            raise InvalidError("the stream must begin with a hello") from None
        if first.WhichOneof("message") != "hello":
            raise InvalidError("the stream must begin with a hello")
        link, stored = await self._links.open(name, mapping.hello(first.hello))
        try:
            await context.write(_welcome(name, stored))
            await self._serve(link, requests, context)
        finally:
            self._links.close(link)

    async def _serve(
        self, link: GatewayLink, requests: AsyncIterator[link_pb.ConnectRequest], context: _Context
    ) -> None:
        reports = self._ingest.reports(link)
        tasks = [
            asyncio.create_task(self._read(link, requests, reports)),
            asyncio.create_task(reports.run()),
            asyncio.create_task(self._write(link, context)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _read(
        self,
        link: GatewayLink,
        requests: AsyncIterator[link_pb.ConnectRequest],
        reports: ReportIngest,
    ) -> None:
        async for request in requests:
            link.heard = True
            match request.WhichOneof("message"):
                case "report_batch":
                    batch = request.report_batch
                    await reports.put(batch.batch_number, mapping.report_columns(batch.reports))
                case "event_batch":
                    events = [mapping.node_event(event) for event in request.event_batch.events]
                    await self._ingest.events(link, request.event_batch.batch_number, events)
                case "reported_state":
                    states = [mapping.node_state(node) for node in request.reported_state.nodes]
                    await self._ingest.states(link, states)
                case "gateway_software":
                    await self._ingest.software(
                        link, mapping.gateway_software(request.gateway_software)
                    )
                case "strangers_seen":
                    await self._strangers.take(
                        link.gateway_name, mapping.strangers_seen(request.strangers_seen)
                    )
                case "command_result":
                    result = request.command_result
                    await self._commands.finished(
                        link,
                        result.command_id,
                        status=mapping.command_status(result.status),
                        detail=result.detail[:1000].replace("\x00", ""),
                        finished_at_ms=max(0, result.finished_at_ms),
                    )
                case "site_visit":
                    content = request.site_visit.content
                    link.tell(await self._visits.take(link.gateway_name, content))
                case "hello":
                    raise InvalidError("hello comes once, at the beginning of the stream")
                case _:
                    pass  # a newer gateway may say what this version does not know

    async def _write(self, link: GatewayLink, context: _Context) -> None:
        async for message in self._links.messages(link):
            await context.write(_response(message))
        raise ConflictError("replaced by a newer stream, gateway revoked, or the fleet shuts down")


def _welcome(name: str, stored: StoredBatches) -> link_pb.ConnectResponse:
    return link_pb.ConnectResponse(
        welcome=link_pb.Welcome(
            gateway_name=name,
            stored_report_batch=stored.report,
            stored_event_batch=stored.event,
            time_ms=int(time.time() * 1000),
        )
    )


def _response(message: Downward) -> link_pb.ConnectResponse:
    if isinstance(message, DesiredState):
        return link_pb.ConnectResponse(desired_state=mapping.desired_state_to_message(message))
    if isinstance(message, GatewayLighting):
        return link_pb.ConnectResponse(
            desired_lighting=lighting_mapping.desired_lighting_to_message(message)
        )
    if isinstance(message, SignedOrder):
        order = link_pb.SignedWorkOrder(content=message.content, signature=message.signature)
        return link_pb.ConnectResponse(work_order=order)
    if isinstance(message, SiteVisitOutcome):
        outcome = link_pb.SiteVisitOutcome(
            visit_id=message.visit_id,
            content_digest=message.content_digest,
            conflict=message.conflict,
        )
        return link_pb.ConnectResponse(site_visit_outcome=outcome)
    if isinstance(message, BatchStored):
        ack = link_pb.BatchAck(batch_number=message.batch_number)
        if message.kind == "event":
            return link_pb.ConnectResponse(event_ack=ack)
        return link_pb.ConnectResponse(report_ack=ack)
    commands = [mapping.command_to_message(command) for command in message]
    if len(commands) == 1:
        return link_pb.ConnectResponse(command=commands[0])
    return link_pb.ConnectResponse(command_batch=link_pb.CommandBatch(commands=commands))


class LinkArtifactServicer(artifact_service_pb2_grpc.ArtifactServiceServicer):
    """Lets gateways download."""

    def __init__(
        self, links: GatewayLinks, artifacts: ArtifactStore, patches: PatchService
    ) -> None:
        self._links = links
        self._artifacts = artifacts
        self._patches = patches

    async def Download(
        self, request: artifact_pb.DownloadRequest, context: _Context
    ) -> AsyncIterator[artifact_pb.DownloadResponse]:
        """Stream an artifact from an offset."""
        await self._links.require_current(gateway_of(context))
        async for response in download(self._artifacts, request):
            yield response

    async def GetPatch(
        self, request: artifact_pb.GetPatchRequest, context: _Context
    ) -> artifact_pb.GetPatchResponse:
        """Tell whether there is a patch, and have it made."""
        gateway_of(context)
        return mapping.patch_to_message(
            await self._patches.patch(
                request.release_digest,
                request.component_digest,
                min(request.source_sequence, 2**63 - 1),
            )
        )

    async def Upload(
        self, request_iterator: AsyncIterator[artifact_pb.UploadRequest], context: _Context
    ) -> artifact_pb.UploadResponse:
        """Refuse: gateways only download."""
        raise ForbiddenError("gateways cannot upload")

    async def GetUpload(
        self, request: artifact_pb.GetUploadRequest, context: _Context
    ) -> artifact_pb.GetUploadResponse:
        """Refuse: gateways only download."""
        raise ForbiddenError("gateways cannot upload")


async def download(
    artifacts: ArtifactStore, request: artifact_pb.DownloadRequest
) -> AsyncIterator[artifact_pb.DownloadResponse]:
    """Yield the pieces of an artifact; the first message has the size even without data."""
    total = await artifacts.size(request.digest) or 0
    first = True
    async for piece in artifacts.read(request.digest, request.offset):
        yield artifact_pb.DownloadResponse(total_bytes=total if first else 0, data=piece)
        first = False
    if first:
        yield artifact_pb.DownloadResponse(total_bytes=total)


class LinkEnrollmentServicer(enrollment_service_pb2_grpc.EnrollmentServiceServicer):
    """Lets gateways renew their certificates."""

    def __init__(self, enrollment: EnrollmentService) -> None:
        self._enrollment = enrollment

    async def Renew(
        self, request: enrollment_pb.RenewRequest, context: _Context
    ) -> enrollment_pb.RenewResponse:
        """Exchange a valid certificate for a newer one."""
        certificate = await self._enrollment.renew(gateway_of(context), request.csr_pem)
        return enrollment_pb.RenewResponse(certificate_pem=certificate.pem)

    async def Enroll(
        self, request: enrollment_pb.EnrollRequest, context: _Context
    ) -> enrollment_pb.EnrollResponse:
        """Refuse: this port is for gateways that have a certificate."""
        raise ForbiddenError("enrol on the API port")

    async def CreateEnrollmentToken(
        self, request: enrollment_pb.CreateEnrollmentTokenRequest, context: _Context
    ) -> enrollment_pb.CreateEnrollmentTokenResponse:
        """Refuse: gateways cannot invite gateways."""
        raise ForbiddenError("enrolment tokens are made on the API port")

    async def RevokeGateway(
        self, request: enrollment_pb.RevokeGatewayRequest, context: _Context
    ) -> enrollment_pb.RevokeGatewayResponse:
        """Refuse: gateways cannot revoke gateways."""
        raise ForbiddenError("gateways are revoked on the API port")

    async def ReplaceGateway(
        self, request: enrollment_pb.ReplaceGatewayRequest, context: _Context
    ) -> enrollment_pb.ReplaceGatewayResponse:
        """Refuse: gateways cannot replace gateways."""
        raise ForbiddenError("gateways are replaced on the API port")
