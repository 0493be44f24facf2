"""Commands about whole tables: `poleward import areas|poles|equipment` and `poleward export`.

What a row means and which rows are bad is decided by the fleet.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, print_table, progress, results
from poleward_tools.client import ClientError, FleetClient
from poleward_tools.client.tables import ImportReport
from poleward_tools.exit_codes import FAILED, USAGE, CommandError

import_app = typer.Typer(no_args_is_help=True, help="Areas, poles and equipment from files.")

_GEOJSON_SUFFIXES = (".geojson", ".json")
_TABLES = ("areas", "poles", "equipment", "nodes", "gateways", "accounts")
_MAPPABLE = ("areas", "poles")

FileArgument = Annotated[
    Path, typer.Argument(help="CSV, or GeoJSON when it ends in .geojson or .json.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only list the bad rows and what would be done.")
]


class Format(StrEnum):
    """How a table is written down."""

    CSV = "csv"
    GEOJSON = "geojson"


@import_app.command("areas")
def import_areas(
    file: FileArgument,
    *,
    dry_run: DryRunOption = False,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Add or update areas, all rows or none. Columns: code, name, parent_code.

    Example: `poleward import areas areas.csv --dry-run`
    """
    _import("areas", file, dry_run, fleet, token, json)


@import_app.command("poles")
def import_poles(
    file: FileArgument,
    *,
    dry_run: DryRunOption = False,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Add or update poles, all rows or none.

    Columns: code, area_code, latitude_deg, longitude_deg, lamp_nominal_w and, if you like,
    equipment (words with spaces between). Coordinates are WGS84; a GeoJSON point needs no columns
    for them.

    Example: `poleward import poles poles.geojson --dry-run`
    """
    _import("poles", file, dry_run, fleet, token, json)


@import_app.command("equipment")
def import_equipment(
    file: FileArgument,
    *,
    dry_run: DryRunOption = False,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Replace what poles carry, all rows or none. Columns: pole_code, equipment; a row a piece.

    Example: `poleward import equipment equipment.csv`
    """
    _import("equipment", file, dry_run, fleet, token, json)


def export(
    target: Annotated[
        Path, typer.Argument(help="Folder for all tables, or file for one with --table.")
    ],
    *,
    table: Annotated[
        str | None, typer.Option(help=f"Only one of {', '.join(_TABLES)}, into a file.")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="GeoJSON is for areas and poles only.")
    ] = Format.CSV,
    area: Annotated[str, typer.Option(help="Only this area and those below.")] = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Write everything that you may see into files; what can be imported comes back unchanged.

    Example: `poleward export backup/2026-11-22`
    """
    if table is not None and table not in _TABLES:
        raise CommandError(f"There is no table {table}; there is {', '.join(_TABLES)}.", USAGE)
    written: dict[str, int] = {}
    try:
        with open_client(fleet, token) as client:
            if table is not None:
                written[str(target)] = _write(client, table, target, form, area)
            else:
                written = _write_all(client, target, form, area)
    except OSError as error:
        raise CommandError(f"{target} cannot be written: {error}.", USAGE) from error
    if json:
        print_json({"files": written})
    else:
        print_table(("file", "bytes"), written.items())


def _write_all(client: FleetClient, folder: Path, form: Format, area: str) -> dict[str, int]:
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name in _TABLES:
        chosen = form if name in _MAPPABLE else Format.CSV
        file = folder / f"{name}.{chosen.value}"
        try:
            written[str(file)] = _write(client, name, file, chosen, area)
        except ClientError as error:
            # Most people may not see the accounts; the rest is theirs all the same.
            if name != "accounts":
                raise
            progress.print(f"{name}: {error}", markup=False)
    return written


def _write(client: FleetClient, table: str, file: Path, form: Format, area: str) -> int:
    """Write a table beside the file and move it there when it is whole; return its size."""
    part = file.with_name(file.name + ".part")
    try:
        with part.open("wb") as content:
            for piece in client.tables.export_table(
                table, geojson=form is Format.GEOJSON, area_code=area
            ):
                content.write(piece)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return file.stat().st_size


def _import(
    table: str, file: Path, dry_run: bool, fleet: str | None, token: str | None, json: bool
) -> None:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error}.", USAGE) from error
    geojson = file.suffix.lower() in _GEOJSON_SUFFIXES
    with open_client(fleet, token) as client:
        report = client.tables.import_table(table, content, geojson=geojson, dry_run=dry_run)
    if json:
        print_json(report)
    else:
        _show(table, report, dry_run=dry_run)
    raise typer.Exit(FAILED if report.faults else 0)


def _show(table: str, report: ImportReport, *, dry_run: bool) -> None:
    if report.faults:
        print_table(("bad row", "why"), report.faults)
    if report.ignored_columns:
        progress.print(f"Ignored columns: {', '.join(report.ignored_columns)}.", markup=False)
    counts = (
        f"{report.created} new, {report.updated} changed, {report.unchanged} as they were, "
        f"{len(report.faults)} bad of {report.rows} rows"
    )
    if report.faults:
        results.print(f"Nothing of {table} is imported: {counts}.", markup=False)
    elif dry_run:
        results.print(f"The import of {table} would go through: {counts}.", markup=False)
    else:
        results.print(f"Imported {table}: {counts}.", markup=False)
