"""Options that many commands share, and the connection they lead to.

No command is here.
"""

from typing import Annotated

import typer

from poleward_tools.client import FleetClient, find_profile

FleetOption = Annotated[
    str | None,
    typer.Option("--fleet", help="Web address of the fleet; else POLEWARD_FLEET, else `login`."),
]
TokenOption = Annotated[
    str | None,
    typer.Option("--token", help="API token; else POLEWARD_TOKEN, else `login`."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on one line instead of text.")
]


def open_client(fleet: str | None, token: str | None) -> FleetClient:
    """Open a connection from the options; use it in a `with` block.

    Raises:
        ClientError: let it pass; the command line shows it and chooses the exit code.
    """
    return FleetClient(find_profile(fleet, token))
