"""Commands about poles: `poleward pole list|import`.

Nodes are in node.py, lamps in lamp.py.
"""

import csv
from pathlib import Path
from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, print_table, results
from poleward_tools.client.views import Pole
from poleward_tools.exit_codes import USAGE, CommandError

app = typer.Typer(no_args_is_help=True, help="Poles: the assets on the street.")

COLUMNS = ("code", "area_code", "latitude_deg", "longitude_deg", "lamp_nominal_w")


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


@app.command("import")
def import_poles(
    file: Annotated[Path, typer.Argument(help=f"CSV with the columns {', '.join(COLUMNS)}.")],
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Add or update poles from a CSV file; all rows or none.

    An optional column `equipment` lists what is mounted, separated by spaces; WGS84 coordinates.

    Example: `poleward pole import poles.csv`
    """
    poles = read_poles(file)
    with open_client(fleet, token) as client:
        created, updated = client.import_poles(poles)
    if json:
        print_json({"created": created, "updated": updated})
    else:
        results.print(f"{created} poles created, {updated} updated.")


def read_poles(file: Path) -> list[Pole]:
    """Read poles from a CSV file.

    Raises:
        CommandError: the file or a row of it cannot be used; the message names the line.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise CommandError(f"{file} has no column {', '.join(missing)}.", USAGE)
            return [_pole(row, f"{file} line {reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{file} cannot be read: {error}.", USAGE) from error


def _pole(row: dict[str, str], where: str) -> Pole:
    try:
        pole = Pole(
            code=row["code"].strip(),
            area_code=row["area_code"].strip(),
            latitude_deg=float(row["latitude_deg"]),
            longitude_deg=float(row["longitude_deg"]),
            lamp_nominal_w=int(row["lamp_nominal_w"]),
            equipment=tuple((row.get("equipment") or "lamp").split()),
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise CommandError(f"{where} is not a pole: {error}.", USAGE) from error
    if not (pole.code and -90 <= pole.latitude_deg <= 90 and -180 <= pole.longitude_deg <= 180):
        raise CommandError(f"{where} has no code or no place on Earth.", USAGE)
    return pole
