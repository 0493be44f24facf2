"""Commands about accounts: `poleward user list|put|drop|sessions|end-session`.

They need an administrator. API tokens are in token.py, what each role may do in role.py.
"""

import sys
from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import age_text, print_json, print_table, results
from poleward_tools.exit_codes import USAGE, CommandError

app = typer.Typer(no_args_is_help=True, help="Accounts of people and programs.")

NameArgument = Annotated[str, typer.Argument(help="Name of the account.")]
_SIGNS_IN = {"password": "password", "single_sign_on": "single sign-on", "never": "tokens only"}


@app.command("list")
def list_accounts(
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List the accounts that are yours to keep.

    Example: `poleward user list`
    """
    with open_client(fleet, token) as client:
        accounts = client.accounts.list_accounts()
    if json:
        print_json({"accounts": accounts})
        return
    print_table(
        ("account", "roles", "area", "signs in with", "API tokens #"),
        (
            (
                account.name,
                ", ".join(account.roles),
                account.area_code or "everywhere",
                _SIGNS_IN.get(account.signs_in, account.signs_in),
                account.api_token_count,
            )
            for account in accounts
        ),
    )


@app.command("put")
def put(
    name: NameArgument,
    role: Annotated[
        list[str], typer.Option(help="A role; may be given often. See `poleward role list`.")
    ],
    *,
    area: Annotated[str, typer.Option(help="Only this area and those below.")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line.")
    ] = False,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Make a password also for an old account.")
    ] = False,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Add an account, or replace roles and area of one; its sessions end.

    The fleet makes a password for a new person and shows it once. Accounts with the role integrator
    alone are for programs: nobody signs in with them.

    Example: `poleward user put mei --role operator --area 330102000000`
    """
    password = ""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise CommandError("There is no password on standard input.", USAGE)
    with open_client(fleet, token) as client:
        made = client.accounts.put(
            name, roles=role, area_code=area, password=password, new_password=new_password
        )
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

    Example: `poleward user drop mei`
    """
    with open_client(fleet, token) as client:
        client.accounts.drop(name)
    if json:
        print_json({"account": name, "dropped": True})
    else:
        results.print(f"{name} is removed.", markup=False)


@app.command("sessions")
def sessions(
    name: Annotated[str, typer.Argument(help="Only those of this account.")] = "",
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List who is signed in, from where and with which browser.

    Example: `poleward user sessions mei`
    """
    with open_client(fleet, token) as client:
        found = client.accounts.sessions(name)
    if json:
        print_json({"sessions": found})
        return
    print_table(
        ("no. #", "account", "since", "last seen", "from", "browser"),
        (
            (
                session.number,
                session.account_name,
                age_text(session.started_at_ms),
                age_text(session.seen_at_ms),
                session.remote or "–",
                session.agent or "–",
            )
            for session in found
        ),
    )


@app.command("end-session")
def end_session(
    number: Annotated[int, typer.Argument(min=1, help="Number of the session.")],
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Sign somebody out of one browser.

    Example: `poleward user end-session 12`
    """
    with open_client(fleet, token) as client:
        ended = client.accounts.end_session(number)
    if json:
        print_json(ended)
    else:
        results.print(f"{ended.account_name} is signed out there.", markup=False)
