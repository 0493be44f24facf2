"""Whole tables in and out: imports with a rehearsal, all or nothing, and exports.

Not the file formats (domain/table_files.py) nor what a row means (domain/bulk.py).
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from enum import Enum

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.bulk import (
    COLUMNS,
    OPTIONAL,
    ImportReport,
    Plan,
    Table,
    equipment_rows,
    plan_areas,
    plan_equipment,
    plan_poles,
)
from poleward_fleet.domain.errors import ForbiddenError, InvalidError
from poleward_fleet.domain.inventory import Area, Pole
from poleward_fleet.domain.table_files import (
    FileFormat,
    TableFile,
    read_table,
    write_csv,
    write_features,
)
from poleward_fleet.ports.areas import AllowedAreas
from poleward_fleet.ports.inventory import InventoryStore
from poleward_fleet.services.account_administration import AccountAdministration
from poleward_fleet.services.changes import ChangeBroadcast
from poleward_fleet.services.inventory import InventoryService
from poleward_fleet.services.permissions import AreaTree

MAX_FILE_BYTES = 64 * 1024 * 1024
_PAGE = 5_000


class ExportTable(Enum):
    """What can be exported; the first three can be imported again."""

    AREAS = "areas"
    POLES = "poles"
    EQUIPMENT = "equipment"
    NODES = "nodes"
    GATEWAYS = "gateways"
    ACCOUNTS = "accounts"


_EXPORT_COLUMNS: dict[ExportTable, tuple[str, ...]] = {
    **{ExportTable(table.value): columns for table, columns in COLUMNS.items()},
    ExportTable.NODES: (
        "number", "endpoint_name", "life_state", "link_state", "pole_code", "gateway_name",
        "bundle_version", "release_sequence", "heard_at_ms",
    ),
    ExportTable.GATEWAYS: (
        "name", "area_code", "connected", "heard_at_ms", "software_version", "node_count",
    ),
    ExportTable.ACCOUNTS: ("name", "roles", "area_code", "signs_in", "api_token_count"),
}  # fmt: skip
MAPPABLE = frozenset({ExportTable.AREAS, ExportTable.POLES})


class BulkService:
    """Use cases around whole tables.

    Args:
        store: Where areas and poles are.
        inventory: Reads them within one's rights.
        administration: Reads accounts within one's rights.
        areas: Tree for rights.
        changes: Told about imported poles.
    """

    def __init__(
        self,
        store: InventoryStore,
        inventory: InventoryService,
        administration: AccountAdministration,
        areas: AreaTree,
        changes: ChangeBroadcast,
    ) -> None:
        self._store = store
        self._inventory = inventory
        self._administration = administration
        self._areas = areas
        self._changes = changes

    async def import_table(
        self,
        principal: Principal,
        table: Table,
        content: bytes,
        *,
        file_format: FileFormat,
        dry_run: bool,
    ) -> ImportReport:
        """Import a table, or say what that would do; with any bad row, nothing is stored.

        Importing the same file again changes nothing. Nothing is ever removed.

        Raises:
            InvalidError: It is no table, or lacks a column.
            ForbiddenError: The principal may not edit the inventory, or areas not at all.
        """
        allowed = await self._areas.allowed(principal, Permission.EDIT_INVENTORY)
        if table is Table.AREAS and allowed is not None:
            raise ForbiddenError.of("areas_everywhere")
        if len(content) > MAX_FILE_BYTES:
            raise InvalidError.of("file_size", most=MAX_FILE_BYTES >> 20)
        # In threads: a big table takes long enough to hold up everybody else.
        file = await asyncio.to_thread(read_table, content, file_format)
        _check_columns(table, file)
        audit = AuditEntry(
            principal.name,
            f"{table.value}.import",
            f"{len(file.rows)} rows",
            (("sha256", hashlib.sha256(content).hexdigest()),),
        )
        if table is Table.AREAS:
            areas = {area.code: area for area in await self._areas.all()}
            area_plan = await asyncio.to_thread(plan_areas, file.rows, areas)
            if stored := not dry_run and not area_plan.faults and bool(area_plan.changes):
                await self._store.put_areas(area_plan.changes, _counted(audit, area_plan))
                self._areas.forget()
            return _report(table, file, area_plan, stored=stored)
        plan = await self._plan_poles(table, file, allowed)
        if stored := not dry_run and not plan.faults and bool(plan.changes):
            await self._store.put_poles(plan.changes, _counted(audit, plan))
            self._changes.publish(pole_codes=[pole.code for pole in plan.changes])
        return _report(table, file, plan, stored=stored)

    async def _plan_poles(self, table: Table, file: TableFile, allowed: AllowedAreas) -> Plan[Pole]:
        column = COLUMNS[table][0]
        known = await self._store.poles_named({row.values.get(column, "") for row in file.rows})
        areas = {a.code for a in await self._areas.all() if allowed is None or a.code in allowed}
        plan = plan_poles if table is Table.POLES else plan_equipment
        return await asyncio.to_thread(plan, file.rows, known, areas=areas)

    async def export_table(
        self,
        principal: Principal,
        table: ExportTable,
        *,
        file_format: FileFormat = FileFormat.CSV,
        area_code: str = "",
    ) -> AsyncIterator[bytes]:
        """Yield a table as a file, within the principal's rights and, if named, an area.

        Raises:
            InvalidError: The table has no places and cannot be GeoJSON.
            ForbiddenError: No role carries the right to see it.
            NotFoundError: The area does not exist, or the principal may not know of it.
        """
        columns = _EXPORT_COLUMNS[table]
        if file_format is FileFormat.CSV:
            head = True
            async for rows in self._pages(principal, table, area_code):
                yield write_csv(columns, rows, head=head)
                head = False
            return
        if table not in MAPPABLE:
            raise InvalidError.of("no_places", table=table.value)
        between = b""
        yield b'{"type": "FeatureCollection", "features": [\n'
        async for rows in self._pages(principal, table, area_code):
            if rows:
                yield between + b",\n".join(write_features(columns, rows))
                between = b",\n"
        yield b"\n]}\n"

    async def _pages(
        self, principal: Principal, table: ExportTable, area_code: str
    ) -> AsyncIterator[Sequence[Sequence[object]]]:
        """Yield rows in pages; at least one page, which may be empty."""
        allowed = await self._areas.allowed(principal, Permission.SEE, area_code)
        if table in (ExportTable.POLES, ExportTable.EQUIPMENT):
            after = ""
            while True:
                page = await self._inventory.list_poles(
                    principal, area_code=area_code, after=after, limit=_PAGE
                )
                poles = [view.pole for view in page]
                if table is ExportTable.POLES:
                    yield [_pole_row(pole) for pole in poles]
                else:
                    yield list(equipment_rows(poles))
                if len(page) < _PAGE:
                    return
                after = poles[-1].code
        elif table is ExportTable.NODES:
            number = 0
            while True:
                nodes = await self._inventory.list_nodes(
                    principal, area_code=area_code, after=number, limit=_PAGE
                )
                yield [
                    (
                        n.number, n.endpoint_name, n.life_state.value, n.link_state.value,
                        n.pole_code, n.gateway_name, n.bundle_version, n.release_sequence,
                        n.heard_at_ms,
                    )
                    for n in nodes
                ]  # fmt: skip
                if len(nodes) < _PAGE:
                    return
                number = nodes[-1].number
        elif table is ExportTable.AREAS:
            areas = await self._inventory.areas(principal)
            yield [_area_row(a) for a in areas if allowed is None or a.code in allowed]
        elif table is ExportTable.GATEWAYS:
            yield [
                (
                    g.name, g.area_code, json.dumps(g.connected), g.heard_at_ms,
                    g.software_version, g.node_count,
                )
                for g in await self._inventory.gateways(principal)
                if allowed is None or g.area_code in allowed
            ]  # fmt: skip
        else:
            yield [
                (
                    a.name, " ".join(sorted(role.value for role in a.roles)), a.area_code,
                    a.signs_in.value, a.api_token_count,
                )
                for a in await self._administration.accounts(principal)
                if not area_code or (allowed is not None and a.area_code in allowed)
            ]  # fmt: skip


def _check_columns(table: Table, file: TableFile) -> None:
    if not file.rows:
        raise InvalidError.of("no_rows")
    needed = [name for name in COLUMNS[table] if name not in OPTIONAL]
    if table is Table.EQUIPMENT:
        needed = list(COLUMNS[table])
    if missing := [name for name in needed if name not in file.columns]:
        raise InvalidError.of(
            "no_column",
            missing=", ".join(missing),
            table=table.value,
            columns=", ".join(COLUMNS[table]),
        )


def _counted(audit: AuditEntry, plan: Plan[Area] | Plan[Pole]) -> AuditEntry:
    counts = (("created", str(len(plan.created))), ("updated", str(len(plan.updated))))
    return AuditEntry(audit.actor, audit.action, audit.subject, audit.detail + counts)


def _report(
    table: Table, file: TableFile, plan: Plan[Area] | Plan[Pole], *, stored: bool
) -> ImportReport:
    return ImportReport(
        rows=len(file.rows),
        created=len(plan.created),
        updated=len(plan.updated),
        unchanged=plan.unchanged,
        faults=plan.faults,
        ignored_columns=tuple(name for name in file.columns if name not in COLUMNS[table]),
        stored=stored,
    )


def _area_row(area: Area) -> tuple[str, str, str]:
    return area.code, area.name, area.parent_code


def _pole_row(pole: Pole) -> tuple[object, ...]:
    return (
        pole.code,
        pole.area_code,
        pole.latitude_deg,
        pole.longitude_deg,
        pole.lamp_nominal_w,
        " ".join(pole.equipment),
    )
