"""Commands about poles: `poleward pole list`.

Nodes are in node.py, lamps in lamp.py, imports of poles in table.py.
"""

from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Poles: the assets on the street.")


@app.callback()
def _pole() -> None:
    """Poles: the assets on the street."""


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
