"""Commands about roles: `poleward role list`.

Who has which is in user.py.
"""

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, print_table

app = typer.Typer(no_args_is_help=True, help="What accounts can be trusted with.")


@app.callback()
def _role() -> None:
    """What accounts can be trusted with."""


@app.command("list")
def list_roles(
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List what each role may do; these words are the scopes of API tokens, too.

    Example: `poleward role list`
    """
    with open_client(fleet, token) as client:
        roles = client.accounts.roles()
    if json:
        print_json({"roles": roles})
        return
    print_table(("role", "may"), ((name, ", ".join(may)) for name, may in roles.items()))
