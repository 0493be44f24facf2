"""The approvals' part of the port for people and programs.

Not who calls (callers.py).
"""

from typing import Any

import grpc

from poleward.v1 import approval_service_pb2 as approval_pb
from poleward.v1 import approval_service_pb2_grpc
from poleward_fleet.adapters.grpc.callers import principal_of
from poleward_fleet.domain.accounts import Principal
from poleward_fleet.domain.approvals import Approval
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.services.accounts import AccountService
from poleward_fleet.services.approvals import ApprovalService

_Context = grpc.aio.ServicerContext[Any, Any]


class ApprovalServicer(approval_service_pb2_grpc.ApprovalServiceServicer):
    """Requests for a second person."""

    def __init__(self, accounts: AccountService, approvals: ApprovalService) -> None:
        self._accounts = accounts
        self._approvals = approvals

    async def ListApprovals(
        self, request: approval_pb.ListApprovalsRequest, context: _Context
    ) -> approval_pb.ListApprovalsResponse:
        """List the requests that concern the caller."""
        principal = await principal_of(self._accounts, context)
        found = await self._approvals.approvals(principal)
        return approval_pb.ListApprovalsResponse(
            approvals=[await self._message(principal, approval) for approval in found]
        )

    async def DecideApproval(
        self, request: approval_pb.DecideApprovalRequest, context: _Context
    ) -> approval_pb.DecideApprovalResponse:
        """Approve, reject or withdraw a request."""
        principal = await principal_of(self._accounts, context)
        if request.decision == approval_pb.DECISION_APPROVE:
            approval = await self._approvals.approve(principal, request.number, request.reason)
        elif request.decision == approval_pb.DECISION_REJECT:
            approval = await self._approvals.reject(principal, request.number, request.reason)
        elif request.decision == approval_pb.DECISION_WITHDRAW:
            approval = await self._approvals.withdraw(principal, request.number)
        else:
            raise InvalidError("a decision approves, rejects or withdraws")
        return approval_pb.DecideApprovalResponse(approval=await self._message(principal, approval))

    async def _message(self, principal: Principal, approval: Approval) -> approval_pb.Approval:
        return approval_pb.Approval(
            number=approval.number,
            action=approval.guarded.action,
            subject=approval.guarded.subject,
            detail=dict(approval.guarded.detail),
            area_code=approval.guarded.area_code,
            state=approval.state.value,
            requested_by=approval.requested_by,
            requested_at_ms=approval.requested_at_ms,
            expires_at_ms=approval.expires_at_ms,
            decided_by=approval.decided_by,
            decided_at_ms=approval.decided_at_ms,
            reason=approval.reason,
            may_decide=await self._approvals.may_decide(principal, approval),
        )
