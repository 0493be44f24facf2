"""Commands that ask the fleet about gateways: `poleward gateway list|updates|token|revoke|replace`.

Running and enrolling one is in programs.py.
"""

from typing import Annotated

import typer

from poleward_tools.cli import gateway_local, gateway_software
from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import age_text, print_json, print_table, progress, results
from poleward_tools.cli.programs import gateway_app
from poleward_tools.exit_codes import REFUSED, CommandError

app = gateway_app
app.command("software")(gateway_software.software)
app.add_typer(gateway_local.app, name="local")


@app.command("list")
def list_gateways(
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List gateways.

    Example: `poleward gateway list`
    """
    with open_client(fleet, token) as client:
        gateways = client.list_gateways()
    if json:
        print_json({"gateways": gateways})
        return
    print_table(
        ("gateway", "link", "heard", "nodes #", "area", "version"),
        (
            (
                gateway.name,
                "connected" if gateway.connected else "away",
                age_text(gateway.heard_at_ms),
                gateway.node_count,
                gateway.area_code,
                gateway.software_version or "–",
            )
            for gateway in gateways
        ),
    )


@app.command("updates")
def updates(
    name: Annotated[str, typer.Argument(help="Name of the gateway.")],
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List the rollouts that brought releases to a gateway itself, newest first.

    Example: `poleward gateway updates gw-harbour`
    """
    with open_client(fleet, token) as client:
        known = [gateway.name for gateway in client.list_gateways()]
        if name not in known:
            raise CommandError(f"There is no gateway {name}; known: {', '.join(known)}.", REFUSED)
        found = client.rollouts.updates(name)
    if json:
        print_json({"updates": found})
        return
    print_table(
        ("rollout #", "release", "rollout is", "wave #", "state", "since", "reason"),
        (
            (
                update.rollout_number,
                update.release_version,
                update.rollout_state,
                update.node.wave,
                update.node.state,
                age_text(update.node.since_ms),
                update.node.reason or "–",
            )
            for update in found
        ),
    )


@app.command("token")
def token_(
    name: Annotated[str, typer.Argument(help="Name of the new gateway, e.g. gw-harbour.")],
    area: Annotated[str, typer.Option(help="Code of the area that it serves.")],
    *,
    valid_h: Annotated[int, typer.Option(min=1, max=168, help="Hours until it expires.")] = 24,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Make a one-time token with which a gateway enrols, and print it, once.

    Example: `poleward gateway token gw-harbour --area 330102000000`
    """
    with open_client(fleet, token) as client:
        made = client.create_enrollment_token(
            gateway_name=name, area_code=area, valid_s=valid_h * 3600
        )
    if json:
        print_json({"gateway": name, "token": made})
        return
    progress.print(
        f"Enrolment token of {name}, good for {valid_h} h and once; on its machine: "
        "poleward gateway enroll --fleet URL --token TOKEN",
        markup=False,
        soft_wrap=True,
    )
    results.print(made, markup=False)


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="Name of the gateway.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; stands in the audit record.")] = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Make a gateway's certificates worthless; its stream ends at once.

    Example: `poleward gateway revoke gw-harbour --reason stolen`
    """
    with open_client(fleet, token) as client:
        client.revoke_gateway(name, reason)
    if json:
        print_json({"gateway": name, "revoked": True})
    else:
        results.print(
            f"{name} is revoked. Its nodes run alone; next: poleward gateway replace {name} NEW",
            markup=False,
        )


@app.command("replace")
def replace(
    name: Annotated[str, typer.Argument(help="Name of the gateway that is gone.")],
    successor: Annotated[str, typer.Argument(help="Name of an enrolled gateway.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; stands in the audit record.")] = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Revoke a gateway and have another one serve its nodes, with fresh keys.

    The nodes find it by themselves when it has the address or the name of the old one, or is one
    of the addresses that the factory gave them.

    Example: `poleward gateway replace gw-harbour gw-harbour-2`
    """
    with open_client(fleet, token) as client:
        moved = client.replace_gateway(name, successor, reason)
    if json:
        print_json({"gateway": name, "successor": successor, "moved": moved})
    else:
        results.print(f"{successor} serves {moved} nodes of {name}.", markup=False)
