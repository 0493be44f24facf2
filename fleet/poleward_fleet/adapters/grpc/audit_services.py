"""The audit record on the port for people and programs.

Not who calls (callers.py).
"""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from poleward.v1 import audit_service_pb2 as audit_pb
from poleward.v1 import audit_service_pb2_grpc
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.domain.audit import AuditFilter
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.audit import AuditService

_Context = grpc.aio.ServicerContext[Any, Any]


class AuditServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """Verifying and exporting."""

    def __init__(self, accounts: AccountService, audit: AuditService) -> None:
        self._accounts = accounts
        self._audit = audit

    async def VerifyAudit(
        self, request: audit_pb.VerifyAuditRequest, context: _Context
    ) -> audit_pb.VerifyAuditResponse:
        """Walk the chain."""
        principal = await principal_of(self._accounts, context)
        check = await self._audit.check(principal)
        holds = not request.noted_number or await self._audit.holds(
            principal, request.noted_number, request.noted_digest
        )
        return audit_pb.VerifyAuditResponse(
            records=check.records,
            newest_digest=check.newest,
            broken_number=check.broken or 0,
            noted_holds=holds,
        )

    async def ExportAudit(
        self, request: audit_pb.ExportAuditRequest, context: _Context
    ) -> AsyncIterator[audit_pb.ExportAuditResponse]:
        """Send records page by page."""
        principal = await principal_of(self._accounts, context)
        wanted = AuditFilter(
            actor=request.actor,
            action=request.action,
            subject=request.subject,
            from_ms=request.from_ms or None,
            to_ms=request.to_ms or None,
        )
        async for records in self._audit.export(principal, wanted=wanted):
            yield audit_pb.ExportAuditResponse(
                records=[
                    audit_pb.AuditRecord(
                        number=record.number,
                        at_ms=record.at_ms,
                        actor=record.entry.actor,
                        action=record.entry.action,
                        subject=record.entry.subject,
                        detail=dict(record.entry.detail),
                        digest=record.digest,
                    )
                    for record in records
                ]
            )
