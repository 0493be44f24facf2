"""Commands that answer emergency calls: `poleward sos accept|reset`.

Who called shows on the pole's page.
"""

from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, results
from poleward_tools.exit_codes import FAILED, OK, REFUSED, UNREACHABLE

app = typer.Typer(no_args_is_help=True, help="Emergency calls.")

_EXIT_CODES = {"done": OK, "refused": REFUSED, "unreachable": UNREACHABLE}
PoleArgument = Annotated[str, typer.Argument(help="Code of the pole.")]


@app.command("accept")
def accept(
    pole: PoleArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Show whoever called that somebody has seen it: the beacon stops blinking and stays on.

    Example: `poleward sos accept BRS-000001`
    """
    _answer(pole, "accepted", fleet, token, reset=False, json=json)


@app.command("reset")
def reset(
    pole: PoleArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """End an emergency call after help was given; nothing else ends it.

    Example: `poleward sos reset BRS-000001`
    """
    _answer(pole, "ended", fleet, token, reset=True, json=json)


def _answer(
    pole: str, word: str, fleet: str | None, token: str | None, *, reset: bool, json: bool
) -> None:
    with open_client(fleet, token) as client:
        outcome = client.lighting.answer_call(pole, reset=reset)
    if json:
        print_json({"pole": pole, "outcome": outcome})
    elif outcome.status == "done":
        results.print(f"The call of {pole} is {word} ({outcome.elapsed_ms} ms).")
    else:
        results.print(f"{pole}: {outcome.status}. {outcome.detail}")
    raise typer.Exit(_EXIT_CODES.get(outcome.status, FAILED))
