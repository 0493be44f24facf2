"""Commands about work orders: what technicians may do at a gateway that cannot reach the fleet.

Visits themselves are in commission.py.
"""

import json as json_module
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, print_table, results
from poleward_tools.client.commissioning import SitePass, WorkOrder
from poleward_tools.exit_codes import REFUSED, USAGE, CommandError

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


@app.command("pass")
def take_pass(
    gateway: GatewayArgument,
    out: Annotated[Path, typer.Option(help="File for it; it holds a secret.")],
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Write what you need to work at a gateway without the fleet, for `poleward commission --pass`.

    Example: `poleward workorder pass gw-harbour --out pass.json`
    """
    with open_client(fleet, token) as client:
        found = [site for site in client.commissioning.passes() if site.gateway == gateway]
    if not found:
        raise CommandError(f"No work order of {gateway} is for you; have one made.", REFUSED)
    content = asdict(found[0]) | {"secret": found[0].secret.hex()}
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(f"Cannot write {out}: {error}.", USAGE) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json_module.dump(content, file)
    if json:
        print_json({"gateway": gateway, "file": str(out), "url": found[0].url})
    else:
        results.print(f"{out}: good for {found[0].url or gateway}.", markup=False)


def read_pass(path: Path) -> SitePass:
    """Read what `poleward workorder pass` wrote.

    Raises:
        CommandError: It is none.
    """
    try:
        fields = json_module.loads(path.read_text(encoding="utf-8"))
        return SitePass(**fields | {"secret": bytes.fromhex(fields["secret"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CommandError(f"{path} is no pass ({error}).", USAGE) from error


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
