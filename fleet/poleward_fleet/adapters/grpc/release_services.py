"""Releases, their content and rollouts, for people and programs. TLS and a token.

Not gateways' downloads (link_service.py).
"""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from poleward.v1 import artifact_service_pb2 as artifact_pb
from poleward.v1 import (
    artifact_service_pb2_grpc,
    release_service_pb2_grpc,
)
from poleward.v1 import release_service_pb2 as release_pb
from poleward_fleet.adapters.grpc import mapping
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.adapters.grpc.link_service import download
from poleward_fleet.domain.accounts import Permission
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.ports.releases import ArtifactStore
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.patches import PatchService
from poleward_fleet.services.releases import ReleaseService

_Context = grpc.aio.ServicerContext[Any, Any]


class ArtifactServicer(artifact_service_pb2_grpc.ArtifactServiceServicer):
    """Release content by digest."""

    def __init__(
        self, accounts: AccountService, artifacts: ArtifactStore, patches: PatchService
    ) -> None:
        self._accounts = accounts
        self._artifacts = artifacts
        self._patches = patches

    async def Download(
        self, request: artifact_pb.DownloadRequest, context: _Context
    ) -> AsyncIterator[artifact_pb.DownloadResponse]:
        """Stream an artifact from an offset."""
        (await principal_of(self._accounts, context)).require(Permission.SEE)
        async for response in download(self._artifacts, request):
            yield response

    async def GetPatch(
        self, request: artifact_pb.GetPatchRequest, context: _Context
    ) -> artifact_pb.GetPatchResponse:
        """Tell whether there is a patch, and have it made."""
        (await principal_of(self._accounts, context)).require(Permission.SEE)
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
        """Store an artifact; goes on where an earlier upload broke off."""
        (await principal_of(self._accounts, context)).require(Permission.PUBLISH)
        requests = aiter(request_iterator)
        try:
            first = await anext(requests)
        except StopAsyncIteration:
            raise InvalidError("the upload has no first message with the digest") from None

        async def pieces() -> AsyncIterator[bytes]:
            yield first.data
            async for request in requests:
                yield request.data

        stored, complete = await self._artifacts.write(
            first.digest, first.total_bytes, first.offset, pieces()
        )
        return artifact_pb.UploadResponse(stored_bytes=stored, complete=complete)

    async def GetUpload(
        self, request: artifact_pb.GetUploadRequest, context: _Context
    ) -> artifact_pb.GetUploadResponse:
        """Tell how much of an artifact is there."""
        (await principal_of(self._accounts, context)).require(Permission.SEE)
        stored, complete = await self._artifacts.stored_bytes(request.digest)
        return artifact_pb.GetUploadResponse(stored_bytes=stored, complete=complete)


class ReleaseServicer(release_service_pb2_grpc.ReleaseServiceServicer):
    """Signed releases."""

    def __init__(self, accounts: AccountService, releases: ReleaseService) -> None:
        self._accounts = accounts
        self._releases = releases

    async def PublishRelease(
        self, request: release_pb.PublishReleaseRequest, context: _Context
    ) -> release_pb.PublishReleaseResponse:
        """Verify an envelope and list it."""
        principal = await principal_of(self._accounts, context)
        release = await self._releases.publish(
            principal, request.envelope, request.notes, request.sbom
        )
        return release_pb.PublishReleaseResponse(digest=release.digest)

    async def ListReleases(
        self, request: release_pb.ListReleasesRequest, context: _Context
    ) -> release_pb.ListReleasesResponse:
        """List releases, newest first."""
        principal = await principal_of(self._accounts, context)
        releases = await self._releases.releases(principal)
        return release_pb.ListReleasesResponse(
            releases=[mapping.release_to_message(release) for release in releases]
        )

    async def ListAffected(
        self, request: release_pb.ListAffectedRequest, context: _Context
    ) -> release_pb.ListAffectedResponse:
        """List the nodes that run a component below a version."""
        principal = await principal_of(self._accounts, context)
        found = await self._releases.affected(principal, request.component, request.below)
        return release_pb.ListAffectedResponse(
            total=found.total,
            nodes=[
                release_pb.AffectedNode(
                    node_number=node.number,
                    endpoint_name=node.endpoint_name,
                    pole_code=node.pole_code,
                    release_version=node.release_version,
                    component_version=node.component_version,
                )
                for node in found.nodes
            ],
        )
