"""Whole tables on the port for people and programs.

Not who calls (callers.py).
"""

from collections.abc import AsyncIterator
from enum import Enum
from typing import Any, TypeVar

import grpc

from poleward.v1 import bulk_service_pb2 as bulk_pb
from poleward.v1 import bulk_service_pb2_grpc
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.domain.bulk import Table
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.table_files import FileFormat
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.bulk import MAX_FILE_BYTES, BulkService, ExportTable

_Context = grpc.aio.ServicerContext[Any, Any]
_PIECE_BYTES = 64 * 1024
_FAULTS_IN_A_MESSAGE = 1000
_FORMATS: dict[int, FileFormat] = {
    bulk_pb.FILE_FORMAT_UNSPECIFIED: FileFormat.CSV,
    bulk_pb.FILE_FORMAT_CSV: FileFormat.CSV,
    bulk_pb.FILE_FORMAT_GEOJSON: FileFormat.GEOJSON,
}
_E = TypeVar("_E", bound=Enum)


class BulkServicer(bulk_service_pb2_grpc.BulkServiceServicer):
    """Imports and exports."""

    def __init__(self, accounts: AccountService, bulk: BulkService) -> None:
        self._accounts = accounts
        self._bulk = bulk

    async def ImportTable(  # type: ignore[override]  # it writes with context.write
        self, requests: AsyncIterator[bulk_pb.ImportTableRequest], context: _Context
    ) -> None:
        """Receive a file, import it, answer with every bad row and the counts."""
        principal = await principal_of(self._accounts, context)
        first: bulk_pb.ImportTableRequest | None = None
        content = bytearray()
        async for request in requests:
            first = first or request
            content += request.data
            if len(content) > MAX_FILE_BYTES:
                raise InvalidError(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB; split it")
        if first is None:
            raise InvalidError("no file came")
        report = await self._bulk.import_table(
            principal,
            _chosen(Table, first.table),
            bytes(content),
            file_format=_format(first.format),
            dry_run=first.dry_run,
        )
        faults = [
            bulk_pb.Fault(place=str(one.place), reason=str(one.reason)) for one in report.faults
        ]
        for start in range(0, len(faults), _FAULTS_IN_A_MESSAGE):
            part = faults[start : start + _FAULTS_IN_A_MESSAGE]
            await context.write(bulk_pb.ImportTableResponse(faults=part))
        await context.write(
            bulk_pb.ImportTableResponse(
                rows=report.rows,
                created=report.created,
                updated=report.updated,
                unchanged=report.unchanged,
                ignored_columns=report.ignored_columns,
                stored=report.stored,
            )
        )

    async def ExportTable(
        self, request: bulk_pb.ExportTableRequest, context: _Context
    ) -> AsyncIterator[bulk_pb.ExportTableResponse]:
        """Send a table in pieces."""
        principal = await principal_of(self._accounts, context)
        async for part in self._bulk.export_table(
            principal,
            _chosen(ExportTable, request.table),
            file_format=_format(request.format),
            area_code=request.area_code,
        ):
            for start in range(0, len(part), _PIECE_BYTES):
                yield bulk_pb.ExportTableResponse(data=part[start : start + _PIECE_BYTES])


def _chosen(kind: type[_E], name: str) -> _E:
    try:
        return kind(name)
    except ValueError as error:
        known = ", ".join(one.value for one in kind)
        raise InvalidError(f"there is no table '{name[:40]}' for this; there is {known}") from error


def _format(number: int) -> FileFormat:
    if number not in _FORMATS:
        raise InvalidError("a table is written as CSV or GeoJSON")
    return _FORMATS[number]
