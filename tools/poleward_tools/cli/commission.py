"""The command `poleward commission`: a technician's visit with a laptop.

Who answers is the fleet, or a gateway on site by its work order; both decide, this only asks.
"""

import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Protocol

import serial
import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import print_json, progress, results
from poleward_tools.cli.workorder import mac_of, read_pass
from poleward_tools.client.commissioning import VisitState
from poleward_tools.client.site import SiteCalls
from poleward_tools.exit_codes import FAILED, UNREACHABLE, USAGE, CommandError

BAUD = 115_200
POLL_S = 1.0
BLINKS = 3
_CONSOLE_S = 60.0
_NODE_LINE = re.compile(rb"node urn:dev:mac:([0-9a-f]{12}) release (\S+)")
_SIGNS = {"passed": "✓", "waiting": "…", "failed": "✕", "absent": "–"}


class VisitCalls(Protocol):
    """Whoever answers a visit; every call raises ClientError."""

    def begin(
        self, visit_id: str, *, mac: str, claim_code: str, pole_code: str, swap: bool
    ) -> VisitState:
        """Claim a node for a pole."""

    def state(self, visit_id: str) -> VisitState:
        """Get how the checks stand."""

    def blink(self, visit_id: str) -> VisitState:
        """Let the lamp go bright and dim."""

    def sign(self, visit_id: str, note: str) -> VisitState:
        """Sign off."""


def commission(
    pole: Annotated[str, typer.Option(help="Code of the pole.")],
    code: Annotated[
        str, typer.Option(envvar="POLEWARD_CLAIM_CODE", help="Claim code on the node's label.")
    ],
    *,
    mac: Annotated[str, typer.Option(help="Address on the label; else --port.")] = "",
    port: Annotated[
        str,
        typer.Option(help="Serial console of the node, e.g. /dev/ttyUSB0: it says its address."),
    ] = "",
    swap: Annotated[
        bool, typer.Option("--swap", help="Take the node that stands there out.")
    ] = False,
    note: Annotated[
        str, typer.Option(help="Why it is in order though a check has not passed.")
    ] = "",
    site_pass: Annotated[
        Path | None,
        typer.Option("--pass", help="Ask the gateway on site; from `poleward workorder pass`."),
    ] = None,
    gateway: Annotated[
        str, typer.Option(help="Address of that gateway, when it is not the one in the pass.")
    ] = "",
    timeout_s: Annotated[int, typer.Option(min=1, help="Seconds that the checks may take.")] = 120,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Put a node into a pole, watch its checks, sign it off.

    Ends with 1 when a check has not passed in time and no --note says why that is in order; the
    same command goes on from there.

    Example: `poleward commission --pole BRS-000123 --mac 24ec4a112233 --code K7QH-2M4X-9TRD-5BWN`
    """
    if bool(mac) is bool(port):
        raise CommandError("Say --mac or --port, one of the two.", USAGE)
    if gateway and site_pass is None:
        raise CommandError("--gateway needs --pass; get one with `poleward workorder pass`.", USAGE)
    address = mac_of(mac) if mac else _mac_at(port)
    # The same visit when the command is given again.
    visit_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"poleward:{address}:{pole}"))

    def run(calls: VisitCalls) -> VisitState:
        calls.begin(visit_id, mac=address, claim_code=code, pole_code=pole, swap=swap)
        say = (lambda text: None) if json else (lambda text: results.print(text, markup=False))
        state = watch(calls, visit_id, say, timeout_s=timeout_s)
        return calls.sign(visit_id, note) if state.is_complete or note else state

    if site_pass is not None:
        known = read_pass(site_pass)
        state = run(SiteCalls(gateway or known.url, known.technician, known.secret))
    else:
        with open_client(fleet, token) as client:
            state = run(client.commissioning)
    if json:
        print_json({"visit": visit_id, "mac": address, "pole": pole, "state": state})
    elif state.signed_at_ms:
        results.print(f"{pole} is signed off.", markup=False)
    if not state.signed_at_ms:
        open_checks = [c.name for c in state.checks if c.verdict not in ("passed", "absent")]
        raise CommandError(
            f"Not signed off: {', '.join(open_checks)}. Mend it and give the command again, "
            "or say in --note why it is in order.",
            FAILED,
        )


def watch(
    calls: VisitCalls,
    visit_id: str,
    say: Callable[[str], None],
    *,
    timeout_s: float,
    now_s: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> VisitState:
    """Follow the checks until they are complete or the time is over.

    Args:
        calls: Whoever answers.
        visit_id: Of the visit.
        say: Told of each line that changed.
        timeout_s: For all checks together.
        now_s: Monotonic time.
        wait: Sleeps.
    """
    told: dict[str, str] = {}
    blinks = 0
    give_up_s = now_s() + timeout_s
    while True:
        state = calls.state(visit_id)
        verdicts = {check.name: check.verdict for check in state.checks}
        lamp_is_open = verdicts.get("lamp") in ("waiting", "failed")
        if verdicts.get("link") == "passed" and lamp_is_open and blinks < BLINKS:
            blinks += 1
            state = calls.blink(visit_id)
        for check in state.checks:
            line = f"{_SIGNS[check.verdict]} {check.name:12} {check.value or check.verdict}"
            if told.get(check.name) != line:
                told[check.name] = line
                say(line)
        if state.is_complete or state.signed_at_ms or now_s() >= give_up_s:
            return state
        wait(POLL_S)


def _mac_at(port: str) -> str:
    """Return the address that a node says on its serial console when it starts."""
    try:
        with serial.serial_for_url(port, BAUD, timeout=1) as console:
            progress.print(f"Listening at {port}: give the node power, or reset it.", markup=False)
            heard = b""
            give_up_s = time.monotonic() + _CONSOLE_S
            while time.monotonic() < give_up_s:
                heard = (heard + console.read(max(1, console.in_waiting)))[-4096:]
                if (found := _NODE_LINE.search(heard)) and heard[found.end() :]:
                    mac, release = found[1].decode(), found[2].decode(errors="replace")
                    progress.print(f"Node {mac}, release {release}.", markup=False)
                    return mac
    except (OSError, ValueError) as error:
        raise CommandError(f"Cannot listen at {port}: {error}.", USAGE) from error
    raise CommandError(
        f"No node said its address at {port} in {_CONSOLE_S:.0f} s. Check the cable, or say --mac.",
        UNREACHABLE,
    )
