"""Keys and the trust document, a key's revocation, and which nodes run a component.

Not the list of releases (rollout_pages.py).
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.people_forms import form_of, gone_on
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Permission, Principal
from poleward_fleet.domain.approvals import ApprovalNeededError
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.services.people_services import PeopleServices


def key_router(pages: Pages, guard: Guard, people: PeopleServices) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()

    @router.get("/keys")
    async def show_keys(
        request: Request, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:
        trust = await people.trust.trust(principal)
        releases = await people.releases.releases(principal)
        return pages.render(
            request, "keys.html", trust=trust,
            signed={
                key.key_id: [one for one in releases if key.key_id in one.signers]
                for key in trust.keys
            },
            may_revoke=principal.may(Permission.TRUST_KEYS),
        )  # fmt: skip

    @router.post("/keys/{key_id}/revoke")
    async def revoke(
        request: Request, key_id: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:
        reason = (await form_of(request)).text("reason").strip()
        if not reason:
            raise InvalidError.of("revoked_why")
        try:
            encoded = bytes.fromhex(key_id)
        except ValueError:
            raise InvalidError.of("key_id", text=key_id[:20]) from None
        try:
            await people.trust.revoke_key(principal, encoded, reason)
        except ApprovalNeededError:
            return gone_on(request, "/approvals")
        return gone_on(request, "/keys")

    @router.get("/components")
    async def show_affected(
        request: Request,
        principal: Annotated[Principal, Depends(guard)],
        component: str = "",
        below: str = "",
    ) -> Response:
        found = None
        if component and below:
            found = await people.releases.affected(principal, component, below)
        return pages.render(
            request, "components.html", found=found, component=component, below=below
        )

    return router
