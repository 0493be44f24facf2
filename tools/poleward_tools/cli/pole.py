"""Commands about poles: `poleward pole list|label|labels`.

Nodes are in node.py, lamps in lamp.py, imports of poles in table.py.
"""

from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, print_table, results
from poleward_tools.exit_codes import USAGE, CommandError

app = typer.Typer(no_args_is_help=True, help="Poles: the assets on the street.")


@app.command("list")
def list_poles(
    area: Annotated[str, typer.Option(help="Only this area and those below.")] = "",
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List poles with the node in each.

    Example: `poleward pole list --area 330100000000`
    """
    with open_client(fleet, token) as client:
        found = list(client.list_poles(area))
    if json:
        print_json({"poles": found})
        return
    print_table(
        ("pole", "area", "latitude #", "longitude #", "lamp W", "node #", "link"),
        (
            (
                view.pole.code,
                view.pole.area_code,
                f"{view.pole.latitude_deg:.6f}",
                f"{view.pole.longitude_deg:.6f}",
                view.pole.lamp_nominal_w,
                view.node.number if view.node else "–",
                view.node.link_state if view.node else "no node",
            )
            for view in found
        ),
    )


@app.command("label")
def change_labels(
    poles: Annotated[list[str], typer.Argument(help="Codes of poles.")],
    *,
    add: Annotated[list[str] | None, typer.Option(help="Label to give; repeat it.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Label to take; repeat it.")] = None,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Give labels to poles and take labels away; all poles or none.

    Example: `poleward pole label BRS-000001 BRS-000002 --add pilot`
    """
    if not (add or remove):
        raise CommandError("Say what to --add or to --remove.", USAGE)
    with open_client(fleet, token) as client:
        client.labels.change(poles, add or (), remove or ())
    if json:
        print_json({"changed": len(set(poles))})
    else:
        results.print(f"{len(set(poles))} poles changed.")


@app.command("labels")
def list_labels(
    *, fleet: FleetOption = None, token: TokenOption = None, json: JsonOption = False
) -> None:
    """List the labels in use.

    Example: `poleward pole labels`
    """
    with open_client(fleet, token) as client:
        counts = client.labels.counts()
    if json:
        print_json({"labels": counts})
    else:
        print_table(("label", "poles #"), counts.items())
