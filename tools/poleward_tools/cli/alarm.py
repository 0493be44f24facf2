"""Commands about alarms: `poleward alarm list|ack|clear`.

What raises one is the fleet's business.
"""

from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import age_text, print_json, print_table, results
from poleward_tools.client.alarms import Alarm

app = typer.Typer(no_args_is_help=True, help="Alarms.")
_Number = Annotated[int, typer.Argument(min=1, help="Number of the alarm.")]


@app.command("list")
def list_alarms(
    *,
    with_ended: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")] = 200,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List alarms: those that stand, then with --all the newest that ended.

    Example: `poleward alarm list --all --json`
    """
    with open_client(fleet, token) as client:
        alarms = client.alarms.list_alarms(with_ended=with_ended, limit=limit)
    if json:
        print_json({"alarms": alarms})
        return
    print_table(
        ("alarm #", "what", "severity", "where", "since", "state"),
        (
            (alarm.number, alarm.kind, alarm.severity, _place(alarm),
             age_text(alarm.raised_at_ms), _state(alarm))
            for alarm in alarms
        ),
    )  # fmt: skip


@app.command("ack")
def acknowledge(
    number: _Number,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Acknowledge an alarm: you take care. The first who does stays.

    Example: `poleward alarm ack 12`
    """
    with open_client(fleet, token) as client:
        _show(client.alarms.acknowledge(number), json=json)


@app.command("clear")
def clear(
    number: _Number,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """End an emergency call that was acknowledged; other alarms end with their cause.

    Example: `poleward alarm clear 12`
    """
    with open_client(fleet, token) as client:
        _show(client.alarms.clear(number), json=json)


def _show(alarm: Alarm, *, json: bool) -> None:
    if json:
        print_json(alarm)
    else:
        results.print(f"Alarm {alarm.number} ({alarm.kind} at {_place(alarm)}): {_state(alarm)}.")


def _place(alarm: Alarm) -> str:
    return alarm.pole_code or alarm.gateway_name or f"node {alarm.node_number}"


def _state(alarm: Alarm) -> str:
    if alarm.cleared_at_ms:
        return "ended"
    if alarm.acknowledged_at_ms:
        return f"acknowledged by {alarm.acknowledged_by}"
    return f"unanswered ({alarm.escalation})" if alarm.escalation else "open"
