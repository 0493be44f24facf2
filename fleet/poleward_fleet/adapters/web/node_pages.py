"""One node: where it stands in its life, and the steps that may be taken with it.

Not which steps are possible (domain/life_cycle.py) nor what it measures (pole_pages.py).
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from poleward_fleet.adapters.web.pages import Pages
from poleward_fleet.adapters.web.people_forms import form_of, gone_on
from poleward_fleet.adapters.web.request_guard import Guard
from poleward_fleet.domain.accounts import Principal
from poleward_fleet.domain.errors import InvalidError
from poleward_fleet.domain.life_cycle import RULES, Step, steps_from
from poleward_fleet.services.people_services import PeopleServices

# Steps that are a button with a reason; the others need a gateway or the label of another node.
BUTTONS = (Step.ROTATE, Step.RELEASE, Step.QUARANTINE, Step.LOSE, Step.DECOMMISSION)


def node_router(pages: Pages, guard: Guard, people: PeopleServices) -> APIRouter:
    """Return the routes of this module."""
    router = APIRouter()

    @router.get("/nodes/{name}")
    async def show(
        request: Request, name: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        node = await people.lives.node(principal, name)
        steps = {
            step
            for step in steps_from(node.life_state)
            if (permission := RULES[step].permission) is not None and principal.may(permission)
        }
        gateways = await pages.services.inventory.gateways(principal)
        return pages.render(
            request, "node.html",
            node=node, buttons=[step for step in BUTTONS if step in steps],
            gateways=[one.name for one in gateways if one.name != node.gateway_name]
            if Step.MOVE in steps else [],
            may_swap=Step.SWAP_OUT in steps and node.pole_code,
        )  # fmt: skip

    @router.post("/nodes/{name}/swap")
    async def swap(
        request: Request, name: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        form = await form_of(request)
        node = await people.lives.node(principal, name)
        number = await people.provisioning.claim(
            principal,
            mac="".join(form.text("mac").split()).replace(":", "").replace("-", "").lower(),
            claim_code=form.text("claim_code"),
            pole_code=node.pole_code,
            swap=True,
            sign_off=True,
        )
        return gone_on(request, f"/nodes/{number}")

    @router.post("/nodes/{name}/{step}")
    async def take_step(
        request: Request, name: str, step: str, principal: Annotated[Principal, Depends(guard)]
    ) -> Response:  # fmt: skip
        known = {one.value: one for one in (*BUTTONS, Step.MOVE)}
        if step not in known:
            raise InvalidError(f"a node can be {', '.join(known)}, not '{step[:20]}'")
        form = await form_of(request)
        (node,) = await people.lives.take_step(
            principal, known[step], [name],
            gateway_name=form.text("gateway"), reason=form.text("reason").strip(),
        )  # fmt: skip
        return gone_on(request, f"/nodes/{node.number}")

    return router
