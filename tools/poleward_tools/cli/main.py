"""The `poleward` command; its sub-commands live in the modules beside this one.

It turns every error into one clear line and an exit code.
"""

import os
import sys

import typer

from poleward_tools import exit_codes
from poleward_tools.cli import (
    alarm,
    approval,
    area,
    audit,
    bench,
    board,
    commission,
    demo,
    factory,
    flash,
    gateway,
    gateway_local,
    gateway_software,
    image,
    keys,
    lamp,
    lighting,
    lighting_rules,
    login,
    node,
    pole,
    programs,
    release,
    rig,
    role,
    rollout,
    sos,
    table,
    token,
    user,
    workorder,
)
from poleward_tools.cli.output import progress
from poleward_tools.client import ClientError

TRACE_VARIABLE = "POLEWARD_TRACE"

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Poleward: smart poles from the bench to the street.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a peer cannot be reached, "
    "4 refused.",
)
app.add_typer(programs.fleet_app, name="fleet")
app.add_typer(gateway.app, name="gateway")
gateway.app.command("software")(gateway_software.software)
gateway.app.add_typer(gateway_local.app, name="local")
app.add_typer(node.app, name="node")
app.add_typer(pole.app, name="pole")
app.add_typer(lamp.app, name="lamp")
app.add_typer(lighting.program_app, name="program")
app.add_typer(lighting.group_app, name="group")
app.add_typer(lighting.scene_app, name="scene")
app.add_typer(lighting_rules.app, name="rule")
app.add_typer(sos.app, name="sos")
app.add_typer(release.app, name="release")
app.add_typer(keys.app, name="keys")
app.add_typer(rollout.app, name="rollout")
app.add_typer(audit.app, name="audit")
app.add_typer(table.import_app, name="import")
app.add_typer(user.app, name="user")
app.add_typer(role.app, name="role")
app.add_typer(token.app, name="token")
app.add_typer(area.app, name="area")
app.add_typer(alarm.app, name="alarm")
app.add_typer(approval.app, name="approval")
app.add_typer(workorder.app, name="workorder")
app.add_typer(rig.app, name="rig")
app.add_typer(board.app, name="board")
app.add_typer(image.app, name="image")
app.add_typer(factory.app, name="factory")
app.command("flash")(flash.flash)
app.command("export")(table.export)
app.command("login")(login.login)
app.command("commission")(commission.commission)
app.command("demo")(demo.demo)
app.command("bench")(bench.bench)


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
