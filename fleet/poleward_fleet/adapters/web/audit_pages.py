"""The audit record: the page with its filters, and the filtered record as a file.

Not what is written to it; the services do that.
"""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.adapters.web.texts import TEXTS
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.audit import AuditFilter

RECORDS_SHOWN = 100
ACTIONS = sorted(key.removeprefix("action.") for key in TEXTS if key.startswith("action."))
_COLUMNS = ("number", "at", "actor", "action", "subject", "detail", "digest")


def audit_filter(
    actor: str = "",
    action: str = "",
    subject: str = "",
    from_ms: str = "",
    to_ms: str = "",
) -> AuditFilter:
    """Read the filter from a request; the form sends empty texts for what is not filled in."""
    return AuditFilter(actor.strip(), action.strip(), subject.strip(), _ms(from_ms), _ms(to_ms))


def audit_router(pages: Pages, guard: Guard) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    services = pages.services

    @router.get("/audit")
    async def show_audit(
        request: Request,
        wanted: Annotated[AuditFilter, Depends(audit_filter)],
        principal: Annotated[Principal, Depends(guard)],
        before: int | None = None,
    ) -> Response:
        principal.require(Permission.AUDIT)
        records = await services.audit.records(
            principal, wanted=wanted, before=before, limit=RECORDS_SHOWN
        )
        query = _query(wanted)
        full = len(records) == RECORDS_SHOWN
        return pages.render(
            request, "audit.html",
            records=records, wanted=wanted, actions=ACTIONS, query=query,
            older=f"/audit?{query}&before={records[-1].number}" if full else "",
        )  # fmt: skip

    @router.get("/audit/export.csv")
    async def export(
        wanted: Annotated[AuditFilter, Depends(audit_filter)],
        principal: Annotated[Principal, Depends(guard)],
    ) -> Response:
        principal.require(Permission.AUDIT)
        pieces = _csv(pages, principal, wanted)
        # Asked for before the answer begins: a refusal is an error and not an empty file.
        first = await anext(pieces)

        async def whole() -> AsyncIterator[str]:
            yield first
            async for piece in pieces:
                yield piece

        disposition = {"content-disposition": 'attachment; filename="audit.csv"'}
        return StreamingResponse(whole(), media_type="text/csv; charset=utf-8", headers=disposition)

    return router


async def _csv(pages: Pages, principal: Principal, wanted: AuditFilter) -> AsyncIterator[str]:
    head = ",".join(_COLUMNS) + "\n"
    async for records in pages.services.audit.export(principal, wanted=wanted):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for record in records:
            entry = record.entry
            at = datetime.fromtimestamp(record.at_ms / 1000, UTC).isoformat("T", "milliseconds")
            detail = json.dumps(dict(entry.detail), ensure_ascii=False)
            digest = record.digest.hex()
            writer.writerow(
                (record.number, at, entry.actor, entry.action, entry.subject, detail, digest)
            )
        yield head + text.getvalue()
        head = ""
    if head:
        yield head


def _query(wanted: AuditFilter) -> str:
    return urlencode(
        {
            "actor": wanted.actor,
            "action": wanted.action,
            "subject": wanted.subject,
            "from_ms": "" if wanted.from_ms is None else wanted.from_ms,
            "to_ms": "" if wanted.to_ms is None else wanted.to_ms,
        }
    )


def _ms(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
