"""Commands about rollouts: `poleward rollout create|status|pause|resume|abort`.

Releases are made and published in release.py.
"""

import time
from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import age_text, print_json, print_table, progress, results
from poleward_tools.client import FleetClient
from poleward_tools.client.views import Release, Rollout
from poleward_tools.exit_codes import FAILED, REFUSED, USAGE, CommandError

app = typer.Typer(no_args_is_help=True, help="Rollouts: releases on their way to nodes.")

NumberArgument = Annotated[int, typer.Argument(min=1, help="Number of the rollout.")]

_POLL_S = 1.0


@app.command("create")
def create(
    release: Annotated[str, typer.Argument(help="Version, or first digits of the digest.")],
    *,
    area: Annotated[str, typer.Option(help="Only this area and those below.")] = "",
    concurrency: Annotated[int, typer.Option(min=0, help="Nodes under way at once; 0: 50.")] = 0,
    max_failures: Annotated[int, typer.Option(min=0, help="Stop at this many; 0: 3.")] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until it ends.")] = False,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Bring a published release to the nodes of an area.

    Example: `poleward rollout create 1.1.0 --area 330102000000 --wait`
    """
    with open_client(fleet, token) as client:
        digest = find_release(client, release).digest
        rollout = client.create_rollout(
            digest, area_code=area, concurrency=concurrency, max_failures=max_failures
        )
        if wait:
            rollout = follow(client, rollout.number)
    _show(rollout, json)
    if wait and rollout.state != "finished":
        raise typer.Exit(FAILED)


@app.command("status")
def status(
    number: Annotated[int | None, typer.Argument(help="Number; without it, all.")] = None,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Show one rollout with its nodes, or list all.

    Example: `poleward rollout status 1 --json`
    """
    with open_client(fleet, token) as client:
        if number is not None:
            _show(client.get_rollout(number), json)
            return
        rollouts = client.list_rollouts()
    if json:
        print_json({"rollouts": rollouts})
        return
    print_table(
        ("rollout #", "release", "state", "created", "nodes"),
        (
            (rollout.number, rollout.release_version, rollout.state,
             age_text(rollout.created_at_ms) + " ago", counts_text(rollout))
            for rollout in rollouts
        ),
    )  # fmt: skip


@app.command("pause")
def pause(
    number: NumberArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Offer the release to no further nodes; those under way finish.

    Example: `poleward rollout pause 1`
    """
    with open_client(fleet, token) as client:
        _show(client.pause_rollout(number), json)


@app.command("resume")
def resume(
    number: NumberArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with a paused rollout.

    Example: `poleward rollout resume 1`
    """
    with open_client(fleet, token) as client:
        _show(client.resume_rollout(number), json)


@app.command("abort")
def abort(
    number: NumberArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """End a rollout; nodes that already run the release keep it.

    Example: `poleward rollout abort 1`
    """
    with open_client(fleet, token) as client:
        _show(client.abort_rollout(number), json)


def find_release(client: FleetClient, wanted: str) -> Release:
    """Find a published release by version or by the first digits of its digest.

    Raises:
        CommandError: none or several match; the message lists what there is.
    """
    releases = client.list_releases()
    found = [release for release in releases if release.version == wanted]
    if not found and len(wanted) >= 6:
        found = [release for release in releases if release.digest.hex().startswith(wanted.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        digests = ", ".join(release.digest.hex()[:12] for release in found)
        raise CommandError(f"Several releases are called {wanted}; name one of {digests}.", USAGE)
    known = ", ".join(release.version for release in releases) or "none"
    raise CommandError(f"There is no release {wanted}; published: {known}.", REFUSED)


def follow(client: FleetClient, number: int) -> Rollout:
    """Wait until a rollout ends, showing its counts; returns it with its nodes."""
    shown = ""
    while True:
        rollout = client.get_rollout(number)
        text = counts_text(rollout)
        if text != shown:
            progress.print(f"rollout {number}: {text}")
            shown = text
        if rollout.state not in ("running", "paused"):
            return rollout
        time.sleep(_POLL_S)


def counts_text(rollout: Rollout) -> str:
    """Name the counts that are not zero, e.g. "3 queued, 7 confirmed"."""
    return ", ".join(f"{count} {state}" for state, count in rollout.counts.items() if count)


def _show(rollout: Rollout, json: bool) -> None:
    if json:
        print_json(rollout)
        return
    results.print(
        f"Rollout {rollout.number} of {rollout.release_version} is {rollout.state}: "
        f"{counts_text(rollout)}. {rollout.reason}".rstrip(". ")
        + "."
    )
    if rollout.nodes:
        print_table(
            ("node #", "pole", "state", "since", "reason"),
            (
                (node.node_number, node.pole_code, node.state, age_text(node.since_ms), node.reason)
                for node in rollout.nodes
            ),
        )
