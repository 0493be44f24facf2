"""Commands about simulated nodes: `poleward boards serve`.

Folders of nodes are made by the demo and the test rigs.
"""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from poleward_tools.exit_codes import USAGE, CommandError
from poleward_tools.virtual_board.host import DEFAULT_HEAP_BYTES, serve

app = typer.Typer(no_args_is_help=True, help="Simulated nodes.")


@app.callback()
def _boards() -> None:
    """Simulated nodes."""


@app.command("serve")
def serve_boards(
    folder: Annotated[Path, typer.Argument(help="Folder of node folders.")],
    *,
    heap_bytes: Annotated[
        int, typer.Option(min=64 * 1024, help="Heap of each MicroPython VM.")
    ] = DEFAULT_HEAP_BYTES,
) -> None:
    """Run the simulated nodes of a folder, also those that appear later, until Ctrl-C.

    Each has its console in console.log; a file `off` in its folder is its power switch.

    Example: `poleward boards serve data/nodes`
    """
    if not folder.is_dir():
        raise CommandError(f"{folder} is no folder.", USAGE)
    with _alone(folder):
        raise typer.Exit(asyncio.run(serve(folder, heap_bytes=heap_bytes)))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second host away: a node that runs twice uses sequence numbers twice.

    The lock ends with the process, however that ends.
    """
    with (folder / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(
                f"The nodes of {folder} are run by another `poleward boards serve`.", USAGE
            ) from error
        yield
