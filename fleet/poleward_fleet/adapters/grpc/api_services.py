"""The port of people and programs: inventory, telemetry. TLS and a token.

Not releases and rollouts (release_services.py) nor identities (identity_services.py).
"""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from poleward.v1 import (
    inventory_service_pb2 as inventory_pb,
)
from poleward.v1 import inventory_service_pb2_grpc, telemetry_service_pb2_grpc
from poleward.v1 import (
    telemetry_service_pb2 as telemetry_pb,
)
from poleward_fleet.adapters.grpc import mapping
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.domain.telemetry import SeriesKey
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.commands import CommandService
from poleward_fleet.services.inventory import MAX_PAGE, InventoryService
from poleward_fleet.services.telemetry import TelemetryService

_Context = grpc.aio.ServicerContext[Any, Any]
_DEFAULT_PAGE = 1000


class InventoryServicer(inventory_service_pb2_grpc.InventoryServiceServicer):
    """Areas, poles, gateways and the lamp command."""

    def __init__(
        self, accounts: AccountService, inventory: InventoryService, commands: CommandService
    ) -> None:
        self._accounts = accounts
        self._inventory = inventory
        self._commands = commands

    async def CreateAreas(
        self, request: inventory_pb.CreateAreasRequest, context: _Context
    ) -> inventory_pb.CreateAreasResponse:
        """Add or update areas."""
        principal = await principal_of(self._accounts, context)
        await self._inventory.create_areas(principal, [mapping.area(a) for a in request.areas])
        return inventory_pb.CreateAreasResponse()

    async def ListAreas(
        self, request: inventory_pb.ListAreasRequest, context: _Context
    ) -> inventory_pb.ListAreasResponse:
        """List the areas the caller may see."""
        principal = await principal_of(self._accounts, context)
        areas = await self._inventory.areas(principal)
        return inventory_pb.ListAreasResponse(areas=[mapping.area_to_message(a) for a in areas])

    async def ImportPoles(
        self, request: inventory_pb.ImportPolesRequest, context: _Context
    ) -> inventory_pb.ImportPolesResponse:
        """Add or update poles, all or none."""
        principal = await principal_of(self._accounts, context)
        created, updated = await self._inventory.import_poles(
            principal, [mapping.pole(pole) for pole in request.poles]
        )
        return inventory_pb.ImportPolesResponse(created=created, updated=updated)

    async def ListPoles(
        self, request: inventory_pb.ListPolesRequest, context: _Context
    ) -> inventory_pb.ListPolesResponse:
        """List poles page by page; the token is the last code of the page before."""
        principal = await principal_of(self._accounts, context)
        size = min(request.page_size or _DEFAULT_PAGE, MAX_PAGE)
        views = await self._inventory.list_poles(
            principal, area_code=request.area_code, after=request.page_token, limit=size
        )
        return inventory_pb.ListPolesResponse(
            poles=[mapping.pole_view_to_message(view) for view in views],
            next_page_token=views[-1].pole.code if len(views) == size else "",
        )

    async def GetPole(
        self, request: inventory_pb.GetPoleRequest, context: _Context
    ) -> inventory_pb.GetPoleResponse:
        """Return one pole with the latest values of its node."""
        principal = await principal_of(self._accounts, context)
        view, latest = await self._inventory.pole_with_latest(principal, request.code)
        return inventory_pb.GetPoleResponse(
            pole=mapping.pole_view_to_message(view),
            latest=[
                inventory_pb.LatestValue(
                    metric=item.series.metric,
                    instance=item.series.instance,
                    value=item.value,
                    measured_at_ms=item.measured_at_ms,
                )
                for item in latest
            ],
        )

    async def ListNodes(
        self, request: inventory_pb.ListNodesRequest, context: _Context
    ) -> inventory_pb.ListNodesResponse:
        """List nodes page by page; the token is the last number of the page before."""
        principal = await principal_of(self._accounts, context)
        size = min(request.page_size or _DEFAULT_PAGE, MAX_PAGE)
        nodes = await self._inventory.list_nodes(
            principal,
            area_code=request.area_code,
            after=mapping.page_number(request.page_token),
            limit=size,
        )
        return inventory_pb.ListNodesResponse(
            nodes=[mapping.node_to_message(node) for node in nodes],
            next_page_token=str(nodes[-1].number) if len(nodes) == size else "",
        )

    async def ListGateways(
        self, request: inventory_pb.ListGatewaysRequest, context: _Context
    ) -> inventory_pb.ListGatewaysResponse:
        """List the gateways the caller may see."""
        principal = await principal_of(self._accounts, context)
        gateways = await self._inventory.gateways(principal)
        return inventory_pb.ListGatewaysResponse(
            gateways=[mapping.gateway_to_message(gateway) for gateway in gateways]
        )

    async def SetPoleLamp(
        self, request: inventory_pb.SetPoleLampRequest, context: _Context
    ) -> inventory_pb.SetPoleLampResponse:
        """Dim the lamp of a pole and wait for the outcome."""
        principal = await principal_of(self._accounts, context)
        outcome = await self._commands.set_lamp(
            principal,
            request.pole_code,
            level_percent=request.level_percent,
            instance=request.instance,
            duration_s=request.duration_s,
            timeout_s=request.timeout_s,
        )
        return inventory_pb.SetPoleLampResponse(
            status=outcome.status.value,
            detail=outcome.detail,
            elapsed_ms=max(0, outcome.elapsed_ms),
        )


class TelemetryServicer(telemetry_service_pb2_grpc.TelemetryServiceServicer):
    """Questions about what was measured."""

    def __init__(self, accounts: AccountService, telemetry: TelemetryService) -> None:
        self._accounts = accounts
        self._telemetry = telemetry

    async def QueryReadings(
        self, request: telemetry_pb.QueryReadingsRequest, context: _Context
    ) -> AsyncIterator[telemetry_pb.QueryReadingsResponse]:
        """Stream the readings of one series of one pole."""
        principal = await principal_of(self._accounts, context)
        pieces = self._telemetry.readings(
            principal,
            request.pole_code,
            SeriesKey(request.series.metric, request.series.instance),
            from_ms=request.from_ms,
            to_ms=request.to_ms,
            limit=request.limit,
        )
        async for piece in pieces:
            yield telemetry_pb.QueryReadingsResponse(
                measured_at_ms=piece.measured_at_ms, value=piece.value
            )

    async def GetStoredCounts(
        self, request: telemetry_pb.GetStoredCountsRequest, context: _Context
    ) -> telemetry_pb.GetStoredCountsResponse:
        """Count what is stored per node and boot."""
        principal = await principal_of(self._accounts, context)
        counts = await self._telemetry.counts(principal, list(request.node_numbers))
        return telemetry_pb.GetStoredCountsResponse(
            counts=[
                telemetry_pb.StoredCount(
                    node_number=count.node_number,
                    boot=count.boot,
                    reports=count.reports,
                    readings=count.readings,
                    first_sequence=count.first_sequence,
                    last_sequence=count.last_sequence,
                )
                for count in counts
            ]
        )
