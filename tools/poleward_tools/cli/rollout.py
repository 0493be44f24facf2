"""Commands about rollouts: `poleward rollout create|list|show|watch|report|approve|pause|…`.

Not how waves and windows are written (rollout_options.py) and not releases (release.py).
"""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import age_text, print_json, print_table, progress, results
from poleward_tools.cli.rollout_options import (
    NODES_MAX,
    parse_duration_s,
    parse_waves,
    parse_window,
)
from poleward_tools.cli.rollout_report import RolloutReport, sum_up
from poleward_tools.client import FleetClient
from poleward_tools.client.rollout_views import (
    DryRun,
    Rollout,
    RolloutNode,
    RolloutPolicy,
    RolloutTarget,
)
from poleward_tools.client.views import Release
from poleward_tools.exit_codes import FAILED, REFUSED, USAGE, CommandError

app = typer.Typer(no_args_is_help=True, help="Rollouts: releases on their way to nodes.")

NumberArgument = Annotated[int, typer.Argument(min=1, max=2**31 - 1, help="Number of the rollout.")]

_POLL_S = 1.0
_NODES_SHOWN = 30
_NOT_DONE = ("failed", "rejected", "returned", "timed_out")


class OnFailure(StrEnum):
    """What a rollout does when it stops by itself."""

    PAUSE = "pause"
    CANCEL = "cancel"
    RETURN = "return"


@app.command("create")
def create(
    release: Annotated[str, typer.Argument(help="Version, or first digits of the digest.")],
    *,
    area: Annotated[str, typer.Option(help="Only this area and those below.")] = "",
    label: Annotated[list[str] | None, typer.Option(help="Only poles with this label.")] = None,
    pole: Annotated[list[str] | None, typer.Option(help="Only this pole; repeat it.")] = None,
    gateway: Annotated[
        list[str] | None,
        typer.Option(help="Only this gateway, of a release for gateways; repeat it."),
    ] = None,
    also_later: Annotated[
        bool, typer.Option("--also-later", help="Also those that match later; it stays open.")
    ] = False,
    wave: Annotated[
        list[str] | None,
        typer.Option(help="3, 10%,success=95,wait=1h,approve or rest; repeat it in order."),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=0, max=NODES_MAX, help="Nodes under way at once; 0: 50.")
    ] = 0,
    gateway_concurrency: Annotated[
        int, typer.Option(min=0, max=NODES_MAX, help="The same behind one gateway; 0: 20.")
    ] = 0,
    jitter: Annotated[str, typer.Option(help="Spread a wave's offers over this time.")] = "0",
    max_failures: Annotated[
        int, typer.Option(min=0, max=NODES_MAX, help="Stop at this many; 0: 3.")
    ] = 0,
    max_failure_percent: Annotated[
        int, typer.Option(min=0, max=100, help="Stop at this share of a wave; 0: 100.")
    ] = 0,
    attempts: Annotated[
        int, typer.Option(min=0, max=10, help="Of a node whose link failed; 0: 2.")
    ] = 0,
    silence: Annotated[
        str, typer.Option(help="A node that says nothing for so long in a stage failed; 0: 10-30m.")
    ] = "0",
    on_failure: Annotated[OnFailure, typer.Option(help="When it stops by itself.")] = (
        OnFailure.CANCEL
    ),
    return_to: Annotated[
        str, typer.Option(help="Release to return to then: a newer one, or permitted to --name.")
    ] = "",
    window: Annotated[
        list[str] | None,
        typer.Option(help='Offer and install only then: "mon-fri 01:00-05:00"; repeat it.'),
    ] = None,
    time_zone: Annotated[str, typer.Option(help="Of the windows, e.g. Asia/Shanghai.")] = "",
    needs_approval: Annotated[
        bool, typer.Option("--needs-approval", help="A second person lets it begin.")
    ] = False,
    name: Annotated[
        str, typer.Option(help="Unique name, for a downgrade permission; else its number.")
    ] = "",
    supersede: Annotated[
        bool, typer.Option("--supersede", help="Take nodes out of rollouts of older releases.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell who, how much and how long.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until it ends.")] = False,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Bring a published release to nodes, or to gateways if it is for those, wave by wave.

    Example: `poleward rollout create 1.1.0 --wave 3,wait=1h --wave 20%,success=95 --dry-run`
    """
    if pole and gateway:
        raise CommandError("A release is for nodes or for gateways: name poles or gateways.", USAGE)
    target = RolloutTarget(area, tuple(label or ()), tuple(pole or gateway or ()), also_later)
    silence_s, jitter_s = parse_duration_s(silence), parse_duration_s(jitter)
    waves, windows = parse_waves(wave or []), tuple(parse_window(text) for text in window or ())
    with open_client(fleet, token) as client:
        policy = RolloutPolicy(
            waves=waves,
            concurrency=concurrency,
            gateway_concurrency=gateway_concurrency,
            jitter_s=jitter_s,
            max_failures=max_failures,
            max_failure_percent=max_failure_percent,
            max_attempts=attempts,
            on_failure=(OnFailure.RETURN if return_to else on_failure).value,
            return_digest=find_release(client, return_to).digest if return_to else b"",
            windows=windows,
            time_zone=time_zone,
            needs_approval=needs_approval,
            offered_s=silence_s,
            downloading_s=silence_s,
            downloaded_s=silence_s,
            trial_s=silence_s,
        )
        digest = find_release(client, release).digest
        if dry_run:
            _show_dry_run(client.rollouts.dry_run(digest, target, policy, name=name), json)
            return
        rollout = client.rollouts.create(digest, target, policy, name=name, supersede=supersede)
        if wait:
            rollout = follow(client, rollout.number)
    _end(rollout, json, must_finish=wait)


@app.command("list")
def list_all(
    *, fleet: FleetOption = None, token: TokenOption = None, json: JsonOption = False
) -> None:
    """List the rollouts that concern your area, newest first.

    Example: `poleward rollout list`
    """
    with open_client(fleet, token) as client:
        rollouts = client.rollouts.list_all()
    if json:
        print_json({"rollouts": rollouts})
        return
    print_table(
        ("rollout #", "name", "release", "state", "waits for", "created", "by", "nodes"),
        (
            (rollout.number, rollout.name, rollout.release_version, rollout.state,
             _waits_for(rollout), age_text(rollout.created_at_ms) + " ago", rollout.created_by,
             counts_text(rollout))
            for rollout in rollouts
        ),
    )  # fmt: skip


@app.command("show")
def show(
    number: NumberArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Show one rollout: waves, counts, and the nodes that tell most.

    Example: `poleward rollout show 1 --json`
    """
    with open_client(fleet, token) as client:
        _show(client.rollouts.get(number), json)


@app.command("watch")
def watch(
    number: NumberArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Follow a rollout until it and its last node came to an end; exits 1 unless it finished.

    Example: `poleward rollout watch 1`
    """
    with open_client(fleet, token) as client:
        rollout = follow(client, number)
    _end(rollout, json, must_finish=True)


@app.command("report")
def report(
    number: NumberArgument,
    *,
    state: Annotated[
        list[str] | None, typer.Option(help="Only nodes in this state; repeat it.")
    ] = None,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Sum a rollout up and tell how every node fared; --json gives all of that.

    Example: `poleward rollout report 1 --state failed --state timed_out`
    """
    with open_client(fleet, token) as client:
        rollout = client.rollouts.get(number)
        nodes = list(client.rollouts.nodes(number, state or ()))
    summary = sum_up(rollout, nodes)
    if json:
        print_json({"rollout": rollout, "summary": summary, "nodes": nodes})
        return
    _summarize(rollout)
    _print_summary(rollout, summary)
    _print_nodes(nodes)


@app.command("approve")
def approve(
    number: NumberArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Let a proposed rollout begin, or the next wave of one that waits for a person.

    Example: `poleward rollout approve 1`
    """
    _act(number, fleet, token, json, lambda client: client.rollouts.approve(number))


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
    _act(number, fleet, token, json, lambda client: client.rollouts.pause(number))


@app.command("resume")
def resume(
    number: NumberArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with a paused rollout; its failures so far do not stop it again.

    Example: `poleward rollout resume 1`
    """
    _act(number, fleet, token, json, lambda client: client.rollouts.resume(number))


@app.command("abort")
def abort(
    number: NumberArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """End a rollout; nodes that run or try the release keep it, the others drop it.

    Example: `poleward rollout abort 1`
    """
    _act(number, fleet, token, json, lambda client: client.rollouts.abort(number))


def _act(
    number: int,
    fleet: str | None,
    token: str | None,
    json: bool,
    change: Callable[[FleetClient], Rollout],
) -> None:
    with open_client(fleet, token) as client:
        change(client)
        _show(client.rollouts.get(number), json)


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
    """Wait until a rollout and its last node came to an end, showing counts; return it."""
    shown = ""
    while True:
        rollout = client.rollouts.get(number)
        text = counts_text(rollout)
        if waits_for := _waits_for(rollout):
            text += f"; waits for {waits_for}"
        if text != shown:
            progress.print(f"rollout {number}: {text}")
            shown = text
        if rollout.is_settled:
            return rollout
        time.sleep(_POLL_S)


def counts_text(rollout: Rollout) -> str:
    """Name the counts that are not zero, e.g. "3 queued, 7 confirmed"."""
    return ", ".join(f"{count} {state}" for state, count in rollout.counts.items() if count)


def _waits_for(rollout: Rollout) -> str:
    return "" if rollout.waits_for == "nothing" else rollout.waits_for.replace("_", " ")


def _end(rollout: Rollout, json: bool, *, must_finish: bool) -> None:
    _show(rollout, json)
    if must_finish and rollout.state != "finished":
        raise typer.Exit(FAILED)


def _show(rollout: Rollout, json: bool) -> None:
    if json:
        print_json(rollout)
        return
    _summarize(rollout)
    _print_nodes(rollout.nodes[:_NODES_SHOWN])
    if len(rollout.nodes) > _NODES_SHOWN:
        results.print(f"More nodes: poleward rollout report {rollout.number}")


def _summarize(rollout: Rollout) -> None:
    text = f"Rollout {rollout.number} of {rollout.release_version} is {rollout.state}"
    if rollout.returns_rollout:
        text += f", it returns what rollout {rollout.returns_rollout} updated"
    results.print(f"{text}: {counts_text(rollout)}. {rollout.reason}".rstrip(". ") + ".")
    if waits_for := _waits_for(rollout):
        results.print(f"It waits for {waits_for}.")
    if len(rollout.waves) > 1:
        print_table(
            ("wave #", "began", "nodes #", "confirmed #", "not successful #"),
            (
                (number, age_text(wave.opened_at_ms) + (" ago" if wave.opened_at_ms else ""),
                 sum(wave.counts.values()), wave.counts.get("confirmed", 0),
                 sum(wave.counts.get(state, 0) for state in _NOT_DONE))
                for number, wave in enumerate(rollout.waves, 1)
            ),
        )  # fmt: skip


def _print_summary(rollout: Rollout, summary: RolloutReport) -> None:
    people = f"Created by {rollout.created_by}"
    if rollout.approved_by:
        people += f", approved by {rollout.approved_by}"
    minutes, seconds = divmod(summary.duration_s, 60)
    results.print(
        f"{people}. From its creation to the last node: {minutes} min {seconds} s; "
        f"{summary.asked_again} nodes were asked more than once."
    )
    if summary.reasons:
        print_table(
            ("nodes #", "state", "reason"),
            ((found.nodes, found.state, found.reason) for found in summary.reasons),
        )


def _print_nodes(nodes: tuple[RolloutNode, ...] | list[RolloutNode]) -> None:
    if nodes:
        print_table(
            ("node #", "pole or gateway", "wave #", "state", "since", "reason"),
            (
                (node.node_number, node.pole_code, node.wave, node.state,
                 age_text(node.since_ms), node.reason)
                for node in nodes
            ),
        )  # fmt: skip


def _show_dry_run(would: DryRun, json: bool) -> None:
    if json:
        print_json(would)
        return
    results.print(
        f"{sum(would.wave_nodes)} nodes in {len(would.wave_nodes)} waves "
        f"({', '.join(map(str, would.wave_nodes))}); {would.run_already} run it already, "
        f"{would.run_newer} run a newer release, {would.taken} are in another rollout."
    )
    results.print(f"About {would.duration_s // 60} min without waiting for windows or people.")
    if would.canaries:
        results.print(f"First wave: {', '.join(would.canaries)}")
    print_table(
        ("gateway", "nodes #", "from fleet bytes", "to nodes bytes"),
        ((load.gateway_name, load.nodes, load.uplink_bytes, load.downlink_bytes)
         for load in would.links),
    )  # fmt: skip
