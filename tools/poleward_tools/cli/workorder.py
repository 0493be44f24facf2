"""Commands about work orders: what technicians may do at a gateway that cannot reach the fleet.

Visits themselves are in commission.py.
"""

import time
from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, print_table, results
from poleward_tools.client.commissioning import WorkOrder
from poleward_tools.exit_codes import USAGE, CommandError

app = typer.Typer(
    no_args_is_help=True, help="Work orders: commissioning at a gateway without an uplink."
)

GatewayArgument = Annotated[str, typer.Argument(help="Name of the gateway.")]


@app.command("make")
def make(
    gateway: GatewayArgument,
    node: Annotated[list[str], typer.Option(help="MAC of a node in stock; once for each.")],
    *,
    technician: Annotated[
        list[str] | None, typer.Option(help="Account that may use it; else you.")
    ] = None,
    valid_h: Annotated[int, typer.Option(min=1, max=168, help="Hours until it is over.")] = 24,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Let technicians commission these nodes at a gateway; replaces the order before.

    Example: `poleward workorder make gw-harbour --node 24ec4a112233 --technician field`
    """
    macs = [mac_of(text) for text in node]
    with open_client(fleet, token) as client:
        order = client.commissioning.make_order(
            gateway, macs, technician or (), valid_s=valid_h * 3600
        )
    if json:
        print_json({"order": order})
    else:
        _print([order])


@app.command("list")
def list_orders(
    *, fleet: FleetOption = None, token: TokenOption = None, json: JsonOption = False
) -> None:
    """List the work orders that are not over.

    Example: `poleward workorder list`
    """
    with open_client(fleet, token) as client:
        orders = client.commissioning.orders()
    if json:
        print_json({"orders": orders})
    else:
        _print(orders)


@app.command("revoke")
def revoke(
    gateway: GatewayArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """End the work order of a gateway; it learns of it when it has its uplink.

    Example: `poleward workorder revoke gw-harbour`
    """
    with open_client(fleet, token) as client:
        client.commissioning.revoke_order(gateway)
    if json:
        print_json({"gateway": gateway, "revoked": True})
    else:
        results.print(f"The work order of {gateway} is over.", markup=False)


def mac_of(text: str) -> str:
    """Return a MAC as the fleet writes it.

    Raises:
        CommandError: It is none.
    """
    digits = text.replace(":", "").replace("-", "").lower()
    if len(digits) != 12 or set(digits) - set("0123456789abcdef"):
        raise CommandError(f"'{text}' is not a MAC of 12 hexadecimal digits.", USAGE)
    return digits


def _hours_left(expires_at_ms: int) -> int:
    return max(0, round((expires_at_ms / 1000 - time.time()) / 3600))


def _print(orders: list[WorkOrder]) -> None:
    print_table(
        ("gateway", "order #", "hours left #", "nodes #", "poles #", "technicians"),
        (
            (order.gateway, order.revision, _hours_left(order.expires_at_ms), len(order.macs),
             order.poles, " ".join(order.technicians))
            for order in orders
        ),
    )  # fmt: skip
