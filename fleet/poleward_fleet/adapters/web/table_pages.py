"""Whole tables: the page to import them with a rehearsal, and their download.

Not what a row means (domain/bulk.py).
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.people_forms import form_of
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.bulk import COLUMNS, ImportReport, Table
from poleward_fleet.domain.errors import InvalidError, NotFoundError
from poleward_fleet.domain.table_files import FileFormat
from poleward_fleet.services.bulk import MAPPABLE, ExportTable
from poleward_fleet.services.people_services import PeopleServices

FAULTS_SHOWN = 500


def table_router(pages: Pages, guard: Guard, people: PeopleServices) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()

    def page(
        request: Request,
        principal: Principal,
        *,
        report: ImportReport | None = None,
        table: str = "",
        file_name: str = "",
        rehearsed: bool = True,
    ) -> Response:
        exports = [
            (export.value, export in MAPPABLE)
            for export in ExportTable
            if export is not ExportTable.ACCOUNTS or principal.may(Permission.MANAGE_ACCOUNTS)
        ]
        return pages.render(
            request, "tables.html",
            columns={known.value: columns for known, columns in COLUMNS.items()},
            exports=exports, may_import=principal.may(Permission.EDIT_INVENTORY),
            report=report, table=table, file_name=file_name, rehearsed=rehearsed,
            shown=FAULTS_SHOWN,
        )  # fmt: skip

    @router.get("/tables")
    async def show(request: Request, principal: Annotated[Principal, Depends(guard)]) -> Response:
        return page(request, principal)

    @router.post("/tables")
    async def bring_in(
        request: Request, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:
        try:
            principal.require(Permission.EDIT_INVENTORY)
            form = await form_of(request)
            name, content = await form.content("file")
        finally:
            # Uploads wait in temporary files until the form is closed.
            await request.close()
        try:
            table = Table(form.text("table"))
        except ValueError as error:
            raise InvalidError.of("choose_table") from error
        geojson = name.lower().endswith((".geojson", ".json"))
        report = await people.bulk.import_table(
            principal,
            table,
            content,
            file_format=FileFormat.GEOJSON if geojson else FileFormat.CSV,
            dry_run=form.text("do") != "import",
        )
        return page(
            request, principal,
            report=report, table=table.value, file_name=name, rehearsed=form.text("do") != "import",
        )  # fmt: skip

    @router.get("/tables/{name}")
    async def download(name: str, principal: Annotated[Principal, Depends(guard)]) -> Response:
        stem, _, suffix = name.rpartition(".")
        try:
            table, file_format = ExportTable(stem), FileFormat(suffix)
        except ValueError as error:
            raise NotFoundError.of("no_table", text=name[:40]) from error
        pieces = people.bulk.export_table(principal, table, file_format=file_format)
        # Asked for before the answer begins: a refusal is an error and not a cut file.
        first = await anext(pieces)

        async def whole() -> AsyncIterator[bytes]:
            yield first
            async for piece in pieces:
                yield piece

        kind = "application/geo+json" if file_format is FileFormat.GEOJSON else "text/csv"
        return StreamingResponse(
            whole(),
            media_type=f"{kind}; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="{table.value}.{suffix}"'},
        )

    return router
