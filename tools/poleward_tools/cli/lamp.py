"""Commands about lamps: `poleward lamp set`.

Programs of lamps are not here.
"""

from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, results
from poleward_tools.exit_codes import FAILED, OK, REFUSED, UNREACHABLE

app = typer.Typer(no_args_is_help=True, help="Lamps.")

_MAX_MINUTES = 7 * 24 * 60
_EXIT_CODES = {"done": OK, "refused": REFUSED, "unreachable": UNREACHABLE, "expired": FAILED}


@app.callback()
def _lamp() -> None:
    """Lamps."""


@app.command("set")
def set_lamp(
    pole: Annotated[str, typer.Argument(help="Code of the pole.")],
    level: Annotated[int, typer.Argument(min=0, max=100, help="Level in percent.")],
    *,
    minutes: Annotated[
        int,
        typer.Option(
            min=0, max=_MAX_MINUTES, help="Back to the program after this; 0: at the next command."
        ),
    ] = 0,
    timeout_s: Annotated[
        int, typer.Option(min=1, max=300, help="Seconds to wait; then the command expires.")
    ] = 10,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Dim the lamp of a pole and wait for the node's confirmation.

    Example: `poleward lamp set BRS-000001 30 --minutes 20`
    """
    with open_client(fleet, token) as client:
        outcome = client.set_pole_lamp(pole, level, duration_s=minutes * 60, timeout_s=timeout_s)
    if json:
        print_json({"pole": pole, "level_percent": level, "outcome": outcome})
    elif outcome.status == "done":
        results.print(f"{pole} is at {level} % ({outcome.elapsed_ms} ms).")
    else:
        results.print(f"{pole}: {outcome.status}. {outcome.detail}")
    raise typer.Exit(_EXIT_CODES.get(outcome.status, FAILED))
