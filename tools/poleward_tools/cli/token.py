"""Commands about API tokens: `poleward token list|create|revoke`.

They need an administrator. Everybody makes their own on the page "My account".
"""

import time
from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import age_text, print_json, print_table, progress, results
from poleward_tools.exit_codes import USAGE, CommandError

app = typer.Typer(no_args_is_help=True, help="API tokens of people and programs.")

_DAY_MS = 86_400_000


@app.command("list")
def list_tokens(
    name: Annotated[str, typer.Argument(help="Only those of this account.")] = "",
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List API tokens: what each is for and when it ends, not the tokens themselves.

    Example: `poleward token list dashboard`
    """
    with open_client(fleet, token) as client:
        found = client.accounts.tokens(name)
    if json:
        print_json({"tokens": found})
        return
    now_ms = time.time() * 1000
    print_table(
        ("no. #", "account", "label", "scopes", "calls/s #", "ends in", "last used", "made by"),
        (
            (
                one.number,
                one.account_name,
                one.label or "–",
                ", ".join(one.scopes),
                one.calls_per_s or "any",
                f"{max(0, int((one.expires_at_ms - now_ms) / _DAY_MS))} d",
                age_text(one.used_at_ms),
                one.created_by,
            )
            for one in found
        ),
    )


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Account in whose name the token acts.")],
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do, e.g. see; may be given often. Else all you can give."),
    ] = None,
    label: Annotated[str, typer.Option(help="What it is for, in words.")] = "",
    days: Annotated[int, typer.Option(min=1, max=366, help="Days until it expires.")] = 90,
    calls_per_s: Annotated[
        int, typer.Option(min=0, help="Calls that it may make in a second; 0 for any number.")
    ] = 100,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Make an API token for an account and print it, once.

    Example: `poleward token create dashboard --scope see --label "wall screen" --days 30`
    """
    with open_client(fleet, token) as client:
        made = client.accounts.create_token(
            name, label=label, scopes=scope or (), valid_days=days, calls_per_s=calls_per_s
        )
    if json:
        print_json({"account": name, "api_token": made})
        return
    progress.print(f"API token of {name}, good for {days} days, shown once:", markup=False)
    results.print(made, markup=False)


@app.command("revoke")
def revoke(
    number: Annotated[int, typer.Argument(min=0, help="Number of the token.")] = 0,
    *,
    account: Annotated[str, typer.Option(help="All of this account instead of one.")] = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Make one API token, or all of an account, worthless at once.

    Example: `poleward token revoke 7`
    """
    if bool(number) == bool(account):
        raise CommandError("Name one token by its number, or an account with --account.", USAGE)
    with open_client(fleet, token) as client:
        gone = client.accounts.revoke_tokens(name=account, number=number)
    if json:
        print_json({"revoked": gone})
    else:
        results.print(f"{len(gone)} API tokens are worthless now.", markup=False)
