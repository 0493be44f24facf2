"""Commands about actions that need two people: `poleward approval list|approve|reject|withdraw`.

Which actions those are is decided by the fleet.
"""

from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import age_text, print_json, print_table, results

app = typer.Typer(no_args_is_help=True, help="Actions that need a second person.")

NumberArgument = Annotated[int, typer.Argument(min=1, help="Number of the request.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it is kept in the audit record.")]


@app.command("list")
def list_approvals(
    *,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only what waits for you.")] = False,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List the requests that you filed or may decide on.

    Example: `poleward approval list --waiting`
    """
    with open_client(fleet, token) as client:
        found = [one for one in client.approvals.list_approvals() if one.may_decide or not waiting]
    if json:
        print_json({"approvals": found})
        return
    print_table(
        ("no. #", "state", "action", "subject", "details", "asked by", "ago", "decided by"),
        (
            (
                one.number,
                one.state,
                one.action,
                one.subject,
                " · ".join(f"{key} {value}" for key, value in one.detail.items()),
                one.requested_by,
                age_text(one.requested_at_ms),
                one.decided_by or ("you may" if one.may_decide else "–"),
            )
            for one in found
        ),
    )


@app.command("approve")
def approve(
    number: NumberArgument,
    *,
    reason: ReasonOption = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Agree to somebody else's request; they can then do what they asked for, once.

    Example: `poleward approval approve 12 --reason "key was on a lost laptop"`
    """
    _decide(number, "approve", reason, fleet, token, json)


@app.command("reject")
def reject(
    number: NumberArgument,
    *,
    reason: ReasonOption = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Refuse somebody else's request.

    Example: `poleward approval reject 12 --reason "wrong district"`
    """
    _decide(number, "reject", reason, fleet, token, json)


@app.command("withdraw")
def withdraw(
    number: NumberArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Take back a request of your own.

    Example: `poleward approval withdraw 12`
    """
    _decide(number, "withdraw", "", fleet, token, json)


def _decide(
    number: int, decision: str, reason: str, fleet: str | None, token: str | None, json: bool
) -> None:
    with open_client(fleet, token) as client:
        approval = client.approvals.decide(number, decision, reason)
    if json:
        print_json(approval)
    else:
        results.print(
            f"Request {number} ({approval.action} of {approval.subject}) is {approval.state}.",
            markup=False,
        )
