"""The fleet's imports and exports of whole tables as typed calls on plain values.

It reads no file: callers hand over bytes. It prints nothing and retries nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from poleward.v1 import bulk_service_pb2 as bulk
from poleward.v1.bulk_service_pb2_grpc import BulkServiceStub
from poleward_tools.client.errors import translated

_TIMEOUT_S = 300.0
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did or would do; `faults` are places of bad rows and why they are bad."""

    rows: int
    created: int
    updated: int
    unchanged: int
    stored: bool
    ignored_columns: tuple[str, ...]
    faults: tuple[tuple[str, str], ...]


class TableCalls:
    """Calls about whole tables on an open channel; every method raises ClientError."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._address = address
        self._stub = BulkServiceStub(channel)

    def import_table(
        self, table: str, content: bytes, *, geojson: bool = False, dry_run: bool = False
    ) -> ImportReport:
        """Import a CSV or GeoJSON file of areas, poles or equipment, or rehearse that."""
        faults: list[tuple[str, str]] = []
        last = bulk.ImportTableResponse()
        with translated(f"import {table}", self._address):
            pieces = _pieces(table, content, geojson=geojson, dry_run=dry_run)
            for last in self._stub.ImportTable(pieces, timeout=_TIMEOUT_S):
                faults += ((fault.place, fault.reason) for fault in last.faults)
        return ImportReport(
            rows=last.rows,
            created=last.created,
            updated=last.updated,
            unchanged=last.unchanged,
            stored=last.stored,
            ignored_columns=tuple(last.ignored_columns),
            faults=tuple(faults),
        )

    def export_table(
        self, table: str, *, geojson: bool = False, area_code: str = ""
    ) -> Iterator[bytes]:
        """Yield a table as a CSV or GeoJSON file, in pieces."""
        request = bulk.ExportTableRequest(table=table, format=_format(geojson), area_code=area_code)
        with translated(f"export {table}", self._address):
            for piece in self._stub.ExportTable(request, timeout=_TIMEOUT_S):
                yield piece.data


def _pieces(
    table: str, content: bytes, *, geojson: bool, dry_run: bool
) -> Iterator[bulk.ImportTableRequest]:
    yield bulk.ImportTableRequest(table=table, format=_format(geojson), dry_run=dry_run)
    for start in range(0, len(content), _PIECE_BYTES):
        yield bulk.ImportTableRequest(data=content[start : start + _PIECE_BYTES])


def _format(geojson: bool) -> "bulk.FileFormat.ValueType":
    return bulk.FILE_FORMAT_GEOJSON if geojson else bulk.FILE_FORMAT_CSV
