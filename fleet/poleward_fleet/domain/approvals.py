"""Actions that two people have to want: what is asked, what became of it, who may decide.

Not the actions themselves: the service that carries one out asks for the approval first.
"""

from dataclasses import dataclass
from enum import Enum

from poleward_fleet.domain.accounts import Permission
from poleward_fleet.domain.errors import ConflictError
from poleward_fleet.domain.words import Words


class ApprovalState(Enum):
    """What became of a request."""

    PENDING = "pending"
    APPROVED = "approved"  # and not carried out yet
    USED = "used"  # carried out; it counts once
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


OPEN = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})


@dataclass(frozen=True, slots=True)
class GuardedAction:
    """An action for which one person is not enough.

    Args:
        action: What, as in the audit record, e.g. "release_key.revoke".
        subject: To what it is done.
        permission: What both people need.
        area_code: Where it is done; empty for everywhere.
        detail: Everything else that the second person agrees to; another detail is another action.
    """

    action: str
    subject: str
    permission: Permission
    area_code: str = ""
    detail: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for a guarded action."""

    number: int
    guarded: GuardedAction
    state: ApprovalState
    requested_by: str
    requested_at_ms: int
    expires_at_ms: int
    decided_by: str = ""
    decided_at_ms: int = 0
    reason: str = ""


class ApprovalNeededError(ConflictError):
    """A second person has to approve first; the request for it is filed.

    Args:
        approval: The request that waits.
    """

    def __init__(self, approval: Approval) -> None:
        guarded = approval.guarded
        self.words = Words.of(
            "second_needed",
            action=guarded.action,
            subject=guarded.subject,
            number=approval.number,
        )
        super().__init__(str(self.words))
        self.approval = approval
