"""Two people for what one must not do alone: filing, approving, rejecting, using a request.

Not the guarded actions: their services call `require` before they act.
"""

from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.approvals import (
    Approval,
    ApprovalNeededError,
    ApprovalState,
    GuardedAction,
)
from poleward_fleet.domain.audit import AuditEntry
from poleward_fleet.domain.errors import ConflictError, ForbiddenError, NotFoundError
from poleward_fleet.ports.approvals import ApprovalStore
from poleward_fleet.ports.clock import Clock
from poleward_fleet.services.permissions import AreaTree

VALID_MS = 24 * 3600_000
_LISTED = 200
_REASON_CHARACTERS = 500


class ApprovalService:
    """Use cases around requests for a second person.

    - Nobody decides on their own request.
    - Who decides needs the permission of the action, where it is done, and Permission.APPROVE.
    - An approval is for exactly one action of exactly one person and counts once.
    - A request expires VALID_MS after it was filed, approved or not.

    Args:
        store: Where requests are.
        areas: Tree for rights.
        clock: For expiry.
    """

    def __init__(self, store: ApprovalStore, areas: AreaTree, clock: Clock) -> None:
        self._store = store
        self._areas = areas
        self._clock = clock

    async def require(self, principal: Principal, guarded: GuardedAction) -> None:
        """Return if a second person has approved exactly this action, and use the approval up.

        It is used up before the action: two calls at once cannot both go on with it. An action
        that fails afterwards needs a new approval.

        Raises:
            ApprovalNeededError: Nobody has yet; the request is filed. Do the same again later.
            ForbiddenError: The principal may not do this, with or without a second person.
            NotFoundError: The area is not the principal's.
        """
        await self._areas.require(principal, guarded.permission, guarded.area_code)
        now_ms = self._clock.now_ms()
        approval = await self._store.file(
            guarded, principal.name, now_ms=now_ms, expires_at_ms=now_ms + VALID_MS
        )
        if approval.state is not ApprovalState.APPROVED:
            raise ApprovalNeededError(approval)
        if not await self._move(principal, approval, ApprovalState.APPROVED, ApprovalState.USED):
            raise ConflictError(f"request {approval.number} was used by another call")

    async def approvals(self, principal: Principal) -> list[Approval]:
        """Return the requests that the principal filed or may decide on, newest first."""
        found = await self._store.approvals(self._clock.now_ms(), _LISTED)
        return [one for one in found if await self._concerns(principal, one)]

    async def may_decide(self, principal: Principal, approval: Approval) -> bool:
        """Tell whether it is the principal's to approve or reject."""
        return (
            approval.state is ApprovalState.PENDING
            and approval.requested_by != principal.name
            and await self._has_rights(principal, approval)
        )

    async def approve(self, principal: Principal, number: int, reason: str = "") -> Approval:
        """Agree to a request.

        Raises:
            ForbiddenError: It is the principal's own, or not theirs to decide.
            NotFoundError: There is none that concerns the principal.
            ConflictError: It is decided or expired.
        """
        return await self._decide(principal, number, ApprovalState.APPROVED, reason)

    async def reject(self, principal: Principal, number: int, reason: str = "") -> Approval:
        """Refuse a request; raises as `approve` does."""
        return await self._decide(principal, number, ApprovalState.REJECTED, reason)

    async def withdraw(self, principal: Principal, number: int) -> Approval:
        """Take back an own request that nobody has decided on.

        Raises:
            ForbiddenError: It is somebody else's.
            NotFoundError: There is none that concerns the principal.
            ConflictError: It is decided or expired.
        """
        approval = await self._get(principal, number)
        if approval.requested_by != principal.name:
            raise ForbiddenError.of("not_own_request", number=number, person=approval.requested_by)
        return await self._settle(principal, approval, ApprovalState.WITHDRAWN, "")

    async def _decide(
        self, principal: Principal, number: int, state: ApprovalState, reason: str
    ) -> Approval:
        approval = await self._get(principal, number)
        if approval.requested_by == principal.name:
            raise ForbiddenError.of("own_request", number=number)
        principal.require(Permission.APPROVE)
        return await self._settle(principal, approval, state, reason[:_REASON_CHARACTERS])

    async def _settle(
        self, principal: Principal, approval: Approval, state: ApprovalState, reason: str
    ) -> Approval:
        if not await self._move(principal, approval, ApprovalState.PENDING, state, reason):
            now = await self._get(principal, approval.number)
            raise ConflictError.of("request_settled", number=now.number, state=now.state.value)
        return await self._get(principal, approval.number)

    async def _move(
        self,
        principal: Principal,
        approval: Approval,
        expected: ApprovalState,
        state: ApprovalState,
        reason: str = "",
    ) -> bool:
        guarded = approval.guarded
        detail = (
            ("from", expected.value),
            ("action", guarded.action),
            ("subject", guarded.subject),
            ("requested_by", approval.requested_by),
            ("reason", reason),
        )
        return await self._store.move(
            approval.number,
            expected,
            state,
            decided_by=principal.name if state is not ApprovalState.USED else approval.decided_by,
            reason=reason or approval.reason,
            now_ms=self._clock.now_ms(),
            audit=AuditEntry(
                principal.name, f"approval.{state.value}", str(approval.number), detail
            ),
        )

    async def _get(self, principal: Principal, number: int) -> Approval:
        approval = await self._store.approval(number, self._clock.now_ms())
        if approval is None or not await self._concerns(principal, approval):
            raise NotFoundError.of("no_request", number=number)
        return approval

    async def _concerns(self, principal: Principal, approval: Approval) -> bool:
        return approval.requested_by == principal.name or await self._has_rights(
            principal, approval
        )

    async def _has_rights(self, principal: Principal, approval: Approval) -> bool:
        guarded = approval.guarded
        if not principal.may(Permission.APPROVE):
            return False
        try:
            await self._areas.require(principal, guarded.permission, guarded.area_code)
        except (ForbiddenError, NotFoundError):
            return False
        return True
