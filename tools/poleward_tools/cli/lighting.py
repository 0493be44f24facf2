"""Commands about lighting programs, groups of lamps and scenes: `poleward program|group|scene`.

Local rules are in lighting_rules.py, single lamps in lamp.py.
"""

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, print_table, results
from poleward_tools.client.views import PoleOutcome
from poleward_tools.exit_codes import FAILED, USAGE, CommandError

program_app = typer.Typer(no_args_is_help=True, help="Lighting programs (docs/lighting.md).")
group_app = typer.Typer(no_args_is_help=True, help="Groups of lamps.")
scene_app = typer.Typer(no_args_is_help=True, help="Scenes: several groups at once.")

_WEEK_MIN = 7 * 24 * 60
NameArgument = Annotated[str, typer.Argument(help="Its name.")]
LevelArgument = Annotated[int, typer.Argument(min=0, max=100, help="Level in percent.")]
PolesArgument = Annotated[list[str], typer.Argument(help="Codes of poles.")]
MinutesOption = Annotated[
    int, typer.Option(min=0, max=_WEEK_MIN, help="Back to the program after this; 0: never.")
]
StartOption = Annotated[
    int, typer.Option(min=0, max=3600, help="Every lamp starts so many seconds from now.")
]
TimeoutOption = Annotated[
    int, typer.Option(min=1, max=120, help="Seconds to wait; then the commands expire.")
]


@program_app.command("put")
def put_program(
    name: NameArgument,
    rules: Annotated[
        list[str] | None, typer.Argument(help="Rules, 'dates|days|times|levels', the first wins.")
    ] = None,
    *,
    time_zone: Annotated[str, typer.Option(help="Zone of its fixed times.")] = "Asia/Shanghai",
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Rules, one a line.")
    ] = None,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Add a program or change the one of its name; poles that have it follow at once.

    Rules that begin with dates of every year look like options: put `--` before them, or a file.

    Example: `poleward program put street -- "--11-01~--02-28||S;R|100;0" "||S;22:30;R|100;50;0"`
    """
    lines = list(rules or ())
    if file:
        lines += [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise CommandError("Give rules, or a file of them.", USAGE)
    with open_client(fleet, token) as client:
        client.lighting.put_program(name, time_zone=time_zone, rules="\n".join(lines))
    if json:
        print_json({"program": name, "rules": lines})
    else:
        results.print(f"Program {name} has {len(lines)} rules.")


@program_app.command("assign")
def assign_program(
    name: Annotated[str, typer.Argument(help="Name of the program; 'none' takes it away.")],
    poles: Annotated[list[str] | None, typer.Argument(help="Codes of poles.")] = None,
    *,
    group: Annotated[str, typer.Option(help="All poles of this group.")] = "",
    area: Annotated[str, typer.Option(help="All poles of this area.")] = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Give poles, a group or an area a program.

    Example: `poleward program assign street --area 330106000000`
    """
    with open_client(fleet, token) as client:
        count = client.lighting.assign_program(
            "" if name == "none" else name, pole_codes=poles or (), group=group, area_code=area
        )
    if json:
        print_json({"program": name, "poles": count})
    else:
        results.print(f"{count} poles follow {'no program' if name == 'none' else name}.")


@program_app.command("list")
def list_programs(
    *, fleet: FleetOption = None, token: TokenOption = None, json: JsonOption = False
) -> None:
    """List programs, and how many poles have and follow them.

    Example: `poleward program list`
    """
    with open_client(fleet, token) as client:
        programs = client.lighting.overview()["programs"]
    if json:
        print_json({"programs": programs})
        return
    print_table(
        ("program", "time zone", "assigned #", "followed #", "rules"),
        (
            (
                view["program"]["name"], view["program"]["time_zone"], view["assigned"],
                view["followed"], view["program"]["rules"],
            )
            for view in programs
        ),
    )  # fmt: skip


@program_app.command("preview")
def preview_program(
    name: NameArgument,
    pole: Annotated[str, typer.Argument(help="Code of a pole, for its place.")],
    *,
    date: Annotated[
        datetime.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Of the evening.")
    ] = None,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Show one night of a program at a pole: tonight, or of another evening.

    Example: `poleward program preview street BRS-000001 --date 2026-12-24`
    """
    at_s = int(date.timestamp()) + 20 * 3600 if date else 0
    with open_client(fleet, token) as client:
        night = client.lighting.preview_program(name, pole, at_s)
    if json:
        print_json(night)
        return
    moments = [(at_s, f"{level} %") for at_s, level in night.points]
    moments += [(night.sunset_s, "sunset"), (night.sunrise_s, "sunrise")]
    print_table(
        ("from", "level"),
        (
            (datetime.datetime.fromtimestamp(at_s).strftime("%Y-%m-%d %H:%M"), what)
            for at_s, what in sorted(moments)
        ),
    )


@group_app.command("create")
def create_group(
    name: NameArgument,
    poles: PolesArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Make a group of these poles, also of one that was there under its name.

    Example: `poleward group create harbour BRS-000001 BRS-000002`
    """
    _put_group(name, poles, add=False, fleet=fleet, token=token, json=json)


@group_app.command("add")
def add_to_group(
    name: NameArgument,
    poles: PolesArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Add poles to a group.

    Example: `poleward group add harbour BRS-000003`
    """
    _put_group(name, poles, add=True, fleet=fleet, token=token, json=json)


def _put_group(
    name: str,
    poles: Sequence[str],
    *,
    add: bool,
    fleet: str | None,
    token: str | None,
    json: bool,
) -> None:
    with open_client(fleet, token) as client:
        client.lighting.put_group(name, poles, add=add)
    if json:
        print_json({"group": name, "poles": list(poles), "added": add})
    else:
        results.print(f"{len(poles)} poles {'are also' if add else 'are'} in group {name}.")


@group_app.command("list")
def list_groups(
    *, fleet: FleetOption = None, token: TokenOption = None, json: JsonOption = False
) -> None:
    """List groups with the poles you may see.

    Example: `poleward group list --json`
    """
    with open_client(fleet, token) as client:
        groups = client.lighting.overview()["groups"]
    if json:
        print_json({"groups": groups})
        return
    print_table(
        ("group", "poles #", "codes"),
        ((g["name"], len(g["pole_codes"]), " ".join(g["pole_codes"][:8])) for g in groups),
    )


@group_app.command("dim")
def dim_group(
    name: NameArgument,
    level: LevelArgument,
    *,
    minutes: MinutesOption = 0,
    fade_s: Annotated[float, typer.Option(min=0, max=3600, help="Duration of the fade.")] = 0,
    start_in_s: StartOption = 0,
    timeout_s: TimeoutOption = 10,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Dim every lamp of a group and wait for each node's confirmation.

    Example: `poleward group dim harbour 30 --minutes 60 --fade-s 5 --start-in-s 10`
    """
    with open_client(fleet, token) as client:
        outcomes = client.lighting.dim_group(
            name,
            level,
            duration_s=minutes * 60,
            fade_ms=round(fade_s * 1000),
            starts_at_s=int(time.time()) + start_in_s if start_in_s else 0,
            timeout_s=timeout_s,
        )
    show_outcomes(outcomes, json=json)


@scene_app.command("put")
def put_scene(
    name: NameArgument,
    parts: Annotated[list[str], typer.Argument(help="GROUP=LEVEL or GROUP=LEVEL/FADE_S.")],
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Add a scene or change the one of its name.

    Example: `poleward scene put match-day stadium=100/3 harbour=60`
    """
    made = [_part(part) for part in parts]
    with open_client(fleet, token) as client:
        client.lighting.put_scene(name, made)
    if json:
        print_json({"scene": name, "parts": made})
    else:
        results.print(f"Scene {name} sets {len(made)} groups.")


def _part(text: str) -> tuple[str, int, int]:
    group, _, wish = text.rpartition("=")
    level, _, fade_s = wish.partition("/")
    try:
        return group, int(level), round(float(fade_s or 0) * 1000)
    except ValueError as error:
        raise CommandError(f"'{text}' is not GROUP=LEVEL or GROUP=LEVEL/FADE_S.", USAGE) from error


@scene_app.command("list")
def list_scenes(
    *, fleet: FleetOption = None, token: TokenOption = None, json: JsonOption = False
) -> None:
    """List scenes.

    Example: `poleward scene list`
    """
    with open_client(fleet, token) as client:
        scenes = client.lighting.overview()["scenes"]
    if json:
        print_json({"scenes": scenes})
        return
    print_table(
        ("scene", "groups"),
        (
            (s["name"], ", ".join(f"{p['group']} {p['level_percent']} %" for p in s["parts"]))
            for s in scenes
        ),
    )


@scene_app.command("run")
def run_scene(
    name: NameArgument,
    *,
    minutes: MinutesOption = 0,
    start_in_s: StartOption = 0,
    timeout_s: TimeoutOption = 10,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Set the groups of a scene and wait for each node's confirmation.

    Example: `poleward scene run match-day --minutes 120 --start-in-s 5`
    """
    with open_client(fleet, token) as client:
        outcomes = client.lighting.run_scene(
            name,
            duration_s=minutes * 60,
            starts_at_s=int(time.time()) + start_in_s if start_in_s else 0,
            timeout_s=timeout_s,
        )
    show_outcomes(outcomes, json=json)


def _remove(kind: str, name: str, fleet: str | None, token: str | None, *, json: bool) -> None:
    with open_client(fleet, token) as client:
        client.lighting.remove(kind, name)
    if json:
        print_json({"removed": name, "kind": kind})
    else:
        results.print(f"There is no {kind} {name} any more.")


@program_app.command("remove")
def remove_program(
    name: NameArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Remove a program that no pole follows.

    Example: `poleward program remove street`
    """
    _remove("program", name, fleet, token, json=json)


@group_app.command("remove")
def remove_group(
    name: NameArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Remove a group; its poles stay.

    Example: `poleward group remove harbour`
    """
    _remove("group", name, fleet, token, json=json)


@scene_app.command("remove")
def remove_scene(
    name: NameArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Remove a scene.

    Example: `poleward scene remove match-day`
    """
    _remove("scene", name, fleet, token, json=json)


def show_outcomes(outcomes: Sequence[PoleOutcome], *, json: bool) -> None:
    """Print what became of an order; exit code 1 when a lamp did not confirm."""
    failed = [outcome for outcome in outcomes if outcome.status != "done"]
    if json:
        print_json({"confirmed": len(outcomes) - len(failed), "outcomes": outcomes})
    else:
        slowest_ms = max((o.elapsed_ms for o in outcomes if o.status == "done"), default=0)
        results.print(
            f"{len(outcomes) - len(failed)} of {len(outcomes)} lamps confirmed, the last after "
            f"{slowest_ms} ms."
        )
        for outcome in failed:
            results.print(f"{outcome.pole_code}: {outcome.status}. {outcome.detail}")
    if failed:
        raise typer.Exit(FAILED)
