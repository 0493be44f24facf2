"""The command `poleward login`: keeps a fleet's address and a token for later commands.

It does not make tokens; the fleet does.
"""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from poleward_tools.cli.options import JsonOption
from poleward_tools.cli.output import print_json, results
from poleward_tools.client import FleetClient, FleetProfile, save_profile
from poleward_tools.client.profile import profile_path
from poleward_tools.exit_codes import USAGE, CommandError


def login(
    fleet: Annotated[str, typer.Argument(help="Web address of the fleet.")],
    *,
    token: Annotated[
        str | None, typer.Option("--token", help="API token; without it you are asked.")
    ] = None,
    admin_file: Annotated[
        Path | None, typer.Option(help="Take the token from the fleet's DATA/admin.json.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before writing.")] = False,
    json: JsonOption = False,
) -> None:
    """Check a token and keep it, readable by you only, for the commands that follow.

    Example: `poleward login http://127.0.0.1:8080 --admin-file data/fleet/admin.json`
    """
    if admin_file is not None:
        try:
            token = str(json_module.loads(admin_file.read_text(encoding="utf-8"))["api_token"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CommandError(f"{admin_file} holds no token: {error}.", USAGE) from error
    if token is None:
        token = str(typer.prompt("API token", hide_input=True))
    profile = FleetProfile(fleet.rstrip("/"), token)
    with FleetClient(profile) as client:
        areas = client.list_areas()
    if not yes and not typer.confirm(f"Write the token to {profile_path()}?", err=True):
        raise CommandError("Nothing was written.")
    path = save_profile(profile)
    if json:
        print_json({"fleet": profile.url, "profile": str(path), "areas": len(areas)})
    else:
        results.print(f"Logged in to {profile.url}; {len(areas)} areas are yours to see.")
