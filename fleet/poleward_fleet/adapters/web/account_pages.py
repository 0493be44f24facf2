"""One's own account: password, sessions, API tokens.

Not other people's accounts (people_pages.py).
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.people_forms import form_of, gone_on, number_in
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import PASSWORD_CHARACTERS, Principal
from poleward_fleet.domain.api_tokens import MAX_TOKEN_DAYS, TOKEN_DAYS
from poleward_fleet.services.people_services import PeopleServices


def account_router(pages: Pages, guard: Guard, people: PeopleServices) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    own = people.own_account

    async def page(request: Request, principal: Principal, made: str = "") -> Response:
        return pages.render(
            request, "account.html",
            sessions=await own.sessions(principal), tokens=await own.api_tokens(principal),
            permissions=sorted(one.value for one in principal.permissions), made=made,
            password_characters=PASSWORD_CHARACTERS, days=TOKEN_DAYS, max_days=MAX_TOKEN_DAYS,
            has_password=await own.has_password(principal),
        )  # fmt: skip

    @router.get("/account")
    async def show(request: Request, principal: Annotated[Principal, Depends(guard)]) -> Response:
        return await page(request, principal)

    @router.post("/account/password")
    async def change_password(
        request: Request, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        form = await form_of(request)
        await own.change_password(principal, form.text("old"), form.text("new"))
        return gone_on(request, "/login?changed=true")

    @router.post("/account/tokens")
    async def make_token(
        request: Request, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:
        form = await form_of(request)
        made = await own.make_api_token(
            principal,
            label=form.text("label"),
            scopes=form.texts("scope"),
            valid_days=form.number("days"),
        )
        return await page(request, principal, made)

    @router.post("/account/tokens/{number}/revoke")
    async def revoke(
        request: Request, number: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        await own.revoke_api_token(principal, number_in(number))
        return gone_on(request, "/account")

    @router.post("/account/sessions/{number}/end")
    async def end_session(
        request: Request, number: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        await own.end_session(principal, number_in(number))
        return gone_on(request, "/account")

    return router
