"""Commands at a gateway's own machine, with or without a fleet: `poleward gateway local …`.

They speak to the running gateway over the socket in its folder; who may is decided by the
socket's permissions.
"""

import json as json_module
import os
import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from poleward_tools.cli.options import JsonOption
from poleward_tools.cli.output import age_text, print_json, print_table, results
from poleward_tools.exit_codes import FAILED, REFUSED, UNREACHABLE, CommandError

app = typer.Typer(no_args_is_help=True, help="A gateway, asked at its own machine.")

_TIMEOUT_S = 60
DataOption = Annotated[Path, typer.Option("--data", help="Folder of the gateway.")]
LevelArgument = Annotated[int, typer.Argument(min=0, max=100, help="Level in percent.")]
MinutesOption = Annotated[
    int, typer.Option(min=0, max=7 * 24 * 60, help="Back to the program after this; 0: never.")
]


def ask(data: Path, **request: Any) -> dict[str, Any]:
    """Ask a running gateway.

    Raises:
        CommandError: it does not run, may not be asked by this user, or refused.
    """
    path = data.resolve() / "run" / "local.sock"
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(_TIMEOUT_S)
                # By the folder's descriptor: a whole path may exceed the 107 bytes it is allowed.
                stream.connect(f"/proc/self/fd/{folder}/{path.name}")
                stream.sendall(json_module.dumps(request).encode() + b"\n")
                with stream.makefile("rb") as answers:
                    answer: dict[str, Any] = json_module.loads(answers.readline() or b"{}")
        finally:
            os.close(folder)
    except OSError as error:
        raise CommandError(
            f"No gateway answers at {path}: {error.strerror or error}. Is it running, and are "
            "you its user? `poleward gateway serve --data` starts one.",
            UNREACHABLE,
        ) from error
    if "error" in answer:
        raise CommandError(answer["error"], REFUSED)
    return answer


@app.command("status")
def status(data: DataOption = Path("data/gateway"), *, json: JsonOption = False) -> None:
    """Show what the gateway serves and holds.

    Example: `poleward gateway local status --data /var/lib/poleward`
    """
    answer = ask(data, do="status")
    if json:
        print_json(answer)
        return
    groups = ", ".join(f"{name} ({count})" for name, count in answer["groups"].items())
    print_table(
        ("what", "now"),
        (
            ("nodes", f"{answer['registered']} of {answer['nodes']} registered"),
            ("reports for the fleet", answer["reports_waiting"]),
            ("programs", ", ".join(answer["programs"]) or "–"),
            ("groups", groups or "–"),
            ("scenes", ", ".join(answer["scenes"]) or "–"),
            ("rules", ", ".join(answer["rules"]) or "–"),
        ),
    )


@app.command("nodes")
def nodes(data: DataOption = Path("data/gateway"), *, json: JsonOption = False) -> None:
    """List the gateway's nodes.

    Example: `poleward gateway local nodes`
    """
    answer = ask(data, do="nodes")
    if json:
        print_json(answer)
        return
    print_table(
        ("node#", "pole", "link", "heard", "program", "follows it", "update"),
        (
            (
                node["node"], node["pole"] or "–", node["link"], age_text(node["heard_at_ms"]),
                node["program"] or "–", "yes" if node["follows"] else "no", node["update"] or "–",
            )
            for node in answer["nodes"]
        ),
    )  # fmt: skip


@app.command("rules")
def rules(data: DataOption = Path("data/gateway"), *, json: JsonOption = False) -> None:
    """List the local rules that the gateway carries out.

    Example: `poleward gateway local rules --json`
    """
    answer = ask(data, do="rules")
    if json:
        print_json(answer)
        return
    print_table(
        ("rule", "when", "then"),
        ((rule["name"], rule["when"], "; ".join(rule["then"])) for rule in answer["rules"]),
    )


@app.command("dim")
def dim(
    level: LevelArgument,
    *,
    node: Annotated[str, typer.Option(help="Code of a pole or number of a node.")] = "",
    group: Annotated[str, typer.Option(help="Name of a group.")] = "",
    minutes: MinutesOption = 0,
    data: DataOption = Path("data/gateway"),
    json: JsonOption = False,
) -> None:
    """Dim one lamp, a group, or all lamps of the gateway, and wait for their confirmations.

    Example: `poleward gateway local dim 30 --group harbour --minutes 60`
    """
    answer = ask(
        data, do="dim", level_percent=level, duration_s=minutes * 60, node=node, group=group
    )
    _show(answer, json=json)


@app.command("scene")
def scene(
    name: Annotated[str, typer.Argument(help="Name of the scene.")],
    *,
    minutes: MinutesOption = 0,
    data: DataOption = Path("data/gateway"),
    json: JsonOption = False,
) -> None:
    """Set the groups of a scene, as far as they are this gateway's.

    Example: `poleward gateway local scene match-day`
    """
    _show(ask(data, do="scene", scene=name, duration_s=minutes * 60), json=json)


def _show(answer: dict[str, Any], *, json: bool) -> None:
    outcomes = answer["outcomes"]
    failed = [outcome for outcome in outcomes if outcome["status"] != "done"]
    if json:
        print_json(answer)
    else:
        results.print(f"{len(outcomes) - len(failed)} of {len(outcomes)} lamps confirmed.")
        for outcome in failed:
            results.print(f"node {outcome['node']}: {outcome['status']}. {outcome['detail']}")
    if failed:
        raise typer.Exit(FAILED)
