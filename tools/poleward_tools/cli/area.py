"""Commands about areas: `poleward area list|put`.

Many at once are imported (table.py).
"""

from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, print_table, results
from poleward_tools.client.views import Area

app = typer.Typer(no_args_is_help=True, help="Areas: city, district, street, community.")


@app.command("list")
def list_areas(
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List the areas that you may see.

    Example: `poleward area list`
    """
    with open_client(fleet, token) as client:
        areas = client.list_areas()
    if json:
        print_json({"areas": areas})
        return
    print_table(("area", "name", "within"), ((a.code, a.name, a.parent_code or "–") for a in areas))


@app.command("put")
def put_area(
    code: Annotated[str, typer.Argument(help="Code of 12 digits.")],
    name: Annotated[str, typer.Argument(help="Name.")],
    *,
    within: Annotated[str, typer.Option(help="Code of the area above; none for a city.")] = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Add an area, or rename or move one.

    Example: `poleward area put 330106000000 西湖区 --within 330100000000`
    """
    area = Area(code, name, within)
    with open_client(fleet, token) as client:
        client.create_areas([area])
    if json:
        print_json(area)
    else:
        results.print(f"{code} {name} is saved.", markup=False)
