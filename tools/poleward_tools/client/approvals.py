"""The fleet's approvals as typed calls on plain values.

It prints nothing and retries nothing; each call has a deadline.
"""

from dataclasses import dataclass

import grpc

from poleward.v1 import approval_service_pb2 as approvals
from poleward.v1.approval_service_pb2_grpc import ApprovalServiceStub
from poleward_tools.client.errors import translated

_TIMEOUT_S = 30.0
_DECISIONS = {
    "approve": approvals.DECISION_APPROVE,
    "reject": approvals.DECISION_REJECT,
    "withdraw": approvals.DECISION_WITHDRAW,
}


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for a second person; decided_at_ms is 0 before a decision."""

    number: int
    action: str
    subject: str
    detail: dict[str, str]
    area_code: str
    state: str
    requested_by: str
    requested_at_ms: int
    expires_at_ms: int
    decided_by: str
    decided_at_ms: int
    reason: str
    may_decide: bool


class ApprovalCalls:
    """Calls about approvals on an open channel; every method raises ClientError."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._address = address
        self._stub = ApprovalServiceStub(channel)

    def list_approvals(self) -> list[Approval]:
        """List the requests that the caller filed or may decide on, newest first."""
        with translated("list approvals", self._address):
            answer = self._stub.ListApprovals(approvals.ListApprovalsRequest(), timeout=_TIMEOUT_S)
        return [_view(approval) for approval in answer.approvals]

    def decide(self, number: int, decision: str, reason: str = "") -> Approval:
        """Approve, reject or withdraw a request; `decision` is one of these words."""
        request = approvals.DecideApprovalRequest(
            number=number, decision=_DECISIONS[decision], reason=reason
        )
        with translated(f"{decision} request {number}", self._address):
            return _view(self._stub.DecideApproval(request, timeout=_TIMEOUT_S).approval)


def _view(approval: approvals.Approval) -> Approval:
    return Approval(
        number=approval.number,
        action=approval.action,
        subject=approval.subject,
        detail=dict(approval.detail),
        area_code=approval.area_code,
        state=approval.state,
        requested_by=approval.requested_by,
        requested_at_ms=approval.requested_at_ms,
        expires_at_ms=approval.expires_at_ms,
        decided_by=approval.decided_by,
        decided_at_ms=approval.decided_at_ms,
        reason=approval.reason,
        may_decide=approval.may_decide,
    )
