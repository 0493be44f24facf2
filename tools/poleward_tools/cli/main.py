"""The `poleward` command; its sub-commands live in the modules beside this one.

It turns every error into one clear line and an exit code.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Literal, cast

import typer
from typer.core import TyperGroup

from poleward_tools import exit_codes
from poleward_tools.cli.output import progress
from poleward_tools.client import ClientError

TRACE_VARIABLE = "POLEWARD_TRACE"
_MARKUP: Literal["markdown"] = "markdown"
# Where each command is: a module beside this one, and the group or the function in it.
_PLACES = {
    "fleet": "programs:fleet_app",
    "gateway": "gateway:app",
    "node": "node:app",
    "pole": "pole:app",
    "lamp": "lamp:app",
    "program": "lighting:program_app",
    "group": "lighting:group_app",
    "scene": "lighting:scene_app",
    "rule": "lighting_rules:app",
    "sos": "sos:app",
    "release": "release:app",
    "keys": "keys:app",
    "rollout": "rollout:app",
    "audit": "audit:app",
    "import": "table:import_app",
    "export": "table:export",
    "user": "user:app",
    "role": "role:app",
    "token": "token:app",
    "area": "area:app",
    "alarm": "alarm:app",
    "approval": "approval:app",
    "workorder": "workorder:app",
    "rig": "rig:app",
    "board": "board:app",
    "image": "image:app",
    "factory": "factory:app",
    "flash": "flash:flash",
    "login": "login:login",
    "commission": "commission:commission",
    "demo": "demo:demo",
    "bench": "bench:bench",
}


class _Commands(Mapping[str, Any]):
    """Imports a command when it is looked up: all of them take a second."""

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = _PLACES[name].partition(":")
        found = getattr(importlib.import_module(f"poleward_tools.cli.{module}"), attribute)
        alone = typer.Typer(
            rich_markup_mode=_MARKUP, add_completion=False, pretty_exceptions_enable=False
        )
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=name)
        else:
            alone.command(name)(found)
        return typer.main.get_group(alone).commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


class _Poleward(TyperGroup):
    """The group of them all."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = cast(MutableMapping[str, Any], _Commands())


app = typer.Typer(
    cls=_Poleward,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=_MARKUP,
    help="Poleward: smart poles from the bench to the street.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a peer cannot be reached, "
    "4 refused.",
)


@app.callback()
def _root() -> None:
    """Poleward: smart poles from the bench to the street."""


def main() -> None:
    """Run the command line."""
    try:
        app(standalone_mode=True)
    except (ClientError, exit_codes.CommandError) as error:
        _say(str(error))
        sys.exit(exit_codes.exit_code_of(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing is left to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exit_codes.OK)
    except Exception as error:
        if os.environ.get(TRACE_VARIABLE):
            raise
        _say(
            f"Unexpected {type(error).__name__}: {str(error).strip() or 'no message'}. "
            f"Set {TRACE_VARIABLE}=1 for the whole story."
        )
        sys.exit(exit_codes.FAILED)


def _say(message: str) -> None:
    progress.print(f"poleward: {message}", markup=False, soft_wrap=True)
