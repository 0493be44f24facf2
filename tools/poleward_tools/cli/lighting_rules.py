"""Commands about local rules, which gateways carry out by themselves: `poleward rule`.

Programs, groups and scenes are in lighting.py.
"""

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, print_table, results
from poleward_tools.exit_codes import USAGE, CommandError

app = typer.Typer(no_args_is_help=True, help="Local rules of gateways (docs/lighting.md).")

NameArgument = Annotated[str, typer.Argument(help="Its name.")]


@app.command("put")
def put_rule(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The rule as a JSON object.")
    ],
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Add a local rule or change the one of its name.

    Example: `poleward rule put call-lights-neighbours.json`
    """
    try:
        rule: Any = json_module.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CommandError(f"{file} is not JSON: {error}.", USAGE) from error
    if not isinstance(rule, dict):
        raise CommandError(f"{file} holds no JSON object.", USAGE)
    with open_client(fleet, token) as client:
        client.lighting.put_rule(rule)
    if json:
        print_json(rule)
    else:
        results.print(f"Rule {rule.get('name')} goes to the gateways.")


@app.command("list")
def list_rules(
    *, fleet: FleetOption = None, token: TokenOption = None, json: JsonOption = False
) -> None:
    """List local rules.

    Example: `poleward rule list --json`
    """
    with open_client(fleet, token) as client:
        rules = client.lighting.overview()["rules"]
    if json:
        print_json({"rules": rules})
        return
    print_table(
        ("rule", "when", "then"),
        (
            (
                rule["name"],
                json_module.dumps(rule.get("event") or rule.get("reading")),
                json_module.dumps(rule["actions"]),
            )
            for rule in rules
        ),
    )


@app.command("remove")
def remove_rule(
    name: NameArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Remove a local rule.

    Example: `poleward rule remove call-lights-neighbours`
    """
    with open_client(fleet, token) as client:
        client.lighting.remove("rule", name)
    if json:
        print_json({"removed": name, "kind": "rule"})
    else:
        results.print(f"There is no rule {name} any more.")
