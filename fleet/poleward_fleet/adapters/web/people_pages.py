"""Other people's accounts: the list, one account with its tokens and sessions.

Not one's own (account_pages.py) nor requests for a second person (approval_pages.py).
"""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.people_forms import form_of, gone_on, number_in
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import (
    PERMISSIONS,
    Permission,
    Principal,
    Role,
    permissions_of,
)
from poleward_fleet.domain.api_tokens import MAX_TOKEN_DAYS, TOKEN_DAYS
from poleward_fleet.services.people_services import PeopleServices


def people_router(pages: Pages, guard: Guard, people: PeopleServices) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()
    administration = people.administration

    async def areas(principal: Principal) -> list[Any]:
        return list(await pages.services.inventory.areas(principal))

    async def list_page(
        request: Request, principal: Principal, *, made_for: str = "", made: str = ""
    ) -> Response:
        accounts = await administration.accounts(principal)
        found = await areas(principal)
        return pages.render(
            request, "people.html",
            accounts=accounts, areas=found, names={area.code: area.name for area in found},
            roles=_roles(principal), made_for=made_for, made=made,
        )  # fmt: skip

    async def one_page(
        request: Request, principal: Principal, name: str, *, password: str = "", token: str = ""
    ) -> Response:
        account = await administration.account(principal, name)
        carried = permissions_of(account.roles) & principal.permissions - {Permission.APPROVE}
        return pages.render(
            request, "person.html",
            account=account, areas=await areas(principal), roles=_roles(principal),
            tokens=await administration.api_tokens(principal, name),
            sessions=await administration.sessions(principal, name),
            permissions=sorted(one.value for one in carried), password=password, token=token,
            days=TOKEN_DAYS, max_days=MAX_TOKEN_DAYS, own=name == principal.name,
        )  # fmt: skip

    @router.get("/people")
    async def show(request: Request, principal: Annotated[Principal, Depends(guard)]) -> Response:
        return await list_page(request, principal)

    @router.post("/people")
    async def add(request: Request, principal: Annotated[Principal, Depends(guard)]) -> Response:
        form = await form_of(request)
        name = form.text("name").strip()
        made = await administration.put(
            principal, name, roles=form.texts("role"), area_code=form.text("area")
        )
        return await list_page(request, principal, made_for=name, made=made)

    @router.get("/people/{name}")
    async def show_one(
        request: Request, name: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        return await one_page(request, principal, name)

    @router.post("/people/{name}")
    async def change(
        request: Request, name: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        form = await form_of(request)
        await administration.account(principal, name)
        made = await administration.put(
            principal,
            name,
            roles=form.texts("role"),
            area_code=form.text("area"),
            new_password=bool(form.text("new_password")),
        )
        return await one_page(request, principal, name, password=made)

    @router.post("/people/{name}/drop")
    async def drop(
        request: Request, name: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        await administration.drop(principal, name)
        return gone_on(request, "/people")

    @router.post("/people/{name}/tokens")
    async def make_token(
        request: Request, name: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        form = await form_of(request)
        made = await administration.make_api_token(
            principal,
            name,
            label=form.text("label"),
            scopes=form.texts("scope"),
            valid_days=form.number("days"),
            calls_per_s=form.number("calls_per_s"),
        )
        return await one_page(request, principal, name, token=made)

    @router.post("/people/{name}/tokens/{number}/revoke")
    async def revoke(
        request: Request, name: str, number: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        await administration.revoke_api_tokens(principal, number=number_in(number), name=name)
        return gone_on(request, f"/people/{quote(name)}")

    @router.post("/people/{name}/sessions/{number}/end")
    async def end_session(
        request: Request, name: str, number: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        await administration.end_session(principal, number_in(number))
        return gone_on(request, f"/people/{quote(name)}")

    return router


def _roles(principal: Principal) -> list[tuple[str, list[str]]]:
    """Return the roles that the principal can give, with what each may do."""
    return [
        (role.value, sorted(one.value for one in PERMISSIONS[role]))
        for role in Role
        if PERMISSIONS[role] <= principal.permissions
    ]
