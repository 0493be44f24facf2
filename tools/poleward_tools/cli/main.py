"""The `poleward` command; its sub-commands live in the modules beside this one."""

import typer

app = typer.Typer(no_args_is_help=True, help="Poleward: smart poles from the bench to the street.")


@app.callback()
def _root() -> None:
    """Poleward: smart poles from the bench to the street."""


def main() -> None:
    """Run the command line."""
    app()
