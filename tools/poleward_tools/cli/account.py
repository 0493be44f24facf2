"""Commands about accounts: `poleward account list|put|drop|token|revoke`.

They need an administrator; what each role may do is decided by the fleet.
"""

import sys
from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, print_table, progress, results
from poleward_tools.exit_codes import USAGE, CommandError

app = typer.Typer(no_args_is_help=True, help="Accounts of people and programs.")

NameArgument = Annotated[str, typer.Argument(help="Name of the account.")]


@app.command("list")
def list_accounts(
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List the accounts that are yours to keep.

    Example: `poleward account list`
    """
    with open_client(fleet, token) as client:
        accounts = client.list_accounts()
    if json:
        print_json({"accounts": accounts})
        return
    print_table(
        ("account", "roles", "area", "API tokens #"),
        (
            (
                account.name,
                ", ".join(account.roles),
                account.area_code or "everywhere",
                account.api_token_count,
            )
            for account in accounts
        ),
    )


@app.command("put")
def put(
    name: NameArgument,
    role: Annotated[
        list[str],
        typer.Option(
            help="viewer, operator, technician, release_manager, security_officer or "
            "administrator; may be given often."
        ),
    ],
    *,
    area: Annotated[str, typer.Option(help="Only this area and those below.")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line.")
    ] = False,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Add an account, or replace password, roles and area of one; its sessions end.

    Without `--password-stdin` the fleet makes a password, which is shown once.

    Example: `poleward account put mei --role operator --area 330102000000`
    """
    password = ""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise CommandError("There is no password on standard input.", USAGE)
    with open_client(fleet, token) as client:
        made = client.put_account(name, roles=role, area_code=area, password=password)
    if json:
        print_json({"account": name, "password": made or None})
    elif made:
        results.print(f"{name} is saved. Password, shown once: {made}", markup=False)
    else:
        results.print(f"{name} is saved.", markup=False)


@app.command("drop")
def drop(
    name: NameArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Remove an account with its sessions and API tokens.

    Example: `poleward account drop mei`
    """
    with open_client(fleet, token) as client:
        client.drop_account(name)
    if json:
        print_json({"account": name, "dropped": True})
    else:
        results.print(f"{name} is removed.", markup=False)


@app.command("token")
def token_(
    name: NameArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Make an API token for an account and print it, once.

    Example: `poleward account token dashboard`
    """
    with open_client(fleet, token) as client:
        made = client.create_api_token(name)
    if json:
        print_json({"account": name, "api_token": made})
        return
    progress.print(f"API token of {name}, shown once:", markup=False)
    results.print(made, markup=False)


@app.command("revoke")
def revoke(
    name: NameArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Make all API tokens of an account worthless.

    Example: `poleward account revoke dashboard`
    """
    with open_client(fleet, token) as client:
        revoked = client.revoke_api_tokens(name)
    if json:
        print_json({"account": name, "revoked": revoked})
    else:
        results.print(f"{revoked} API tokens of {name} are worthless now.", markup=False)
