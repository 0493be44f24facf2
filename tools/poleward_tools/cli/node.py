"""Commands about nodes: listing, showing, and the steps of their lives.

Which step is possible when is the fleet's decision. Poles are in pole.py.
"""

from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import age_text, print_json, print_table, results
from poleward_tools.client import ClientError, FleetClient
from poleward_tools.client.errors import Failure
from poleward_tools.client.views import NodeLife
from poleward_tools.exit_codes import USAGE, CommandError

app = typer.Typer(no_args_is_help=True, help="Nodes: the devices in the poles.")

NodesArgument = Annotated[
    list[str], typer.Argument(help="Numbers, MACs or endpoint names.", metavar="NODE...")
]
ReasonOption = Annotated[str, typer.Option(help="Why; stands in the audit record.")]


@app.command("list")
def list_nodes(
    area: Annotated[str, typer.Option(help="Only this area and those below.")] = "",
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List nodes, also those that stand in no pole.

    With an area: the nodes in its poles.

    Example: `poleward node list --area 330100000000 --json`
    """
    with open_client(fleet, token) as client:
        nodes = list(client.list_nodes(area))
    if json:
        print_json({"nodes": nodes})
        return
    print_table(
        ("node #", "pole", "link", "life", "heard", "version", "gateway", "endpoint"),
        (
            (node.number, node.pole_code or "–", node.link_state, node.life_state,
             age_text(node.heard_at_ms), node.bundle_version or "–", node.gateway_name or "–",
             node.endpoint_name)
            for node in nodes
        ),
    )  # fmt: skip


@app.command("show")
def show_node(
    node: Annotated[str, typer.Argument(help="Number, endpoint name or pole code.")],
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Show one node, where it stands in its life, its pole and its latest values.

    Example: `poleward node show 17`
    """
    with open_client(fleet, token) as client:
        life = _life_of(client, node)
        # A node in no pole has no values to show.
        place = life.pole_code if life else node
        detail = client.get_pole(place) if place else None
    if json:
        print_json({"life": life, "pole": detail})
        return
    if life is not None:
        _print_lives([life])
    if detail is None:
        return
    pole, found = detail.view.pole, detail.view.node
    results.print(
        f"[bold]{pole.code}[/bold]  {pole.latitude_deg:.6f}, {pole.longitude_deg:.6f}  "
        f"lamp {pole.lamp_nominal_w} W  area {pole.area_code}"
    )
    if found is None:
        results.print("No node stands in this pole.")
        return
    results.print(
        f"node {found.number}  {found.link_state}, heard {age_text(found.heard_at_ms)} ago  "
        f"runs {found.bundle_version or 'an unknown version'} ({found.release_sequence})  "
        f"behind {found.gateway_name or 'no gateway'}\n{found.endpoint_name}"
    )
    print_table(
        ("metric", "instance #", "value #", "age"),
        (
            (value.metric, value.instance, f"{value.value:g}", age_text(value.measured_at_ms))
            for value in detail.latest
        ),
    )


@app.command("move")
def move_nodes(
    nodes: NodesArgument,
    gateway: Annotated[str, typer.Option(help="Name of the gateway that takes them over.")],
    *,
    reason: ReasonOption = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Have another gateway serve nodes; the one before hands them over.

    Example: `poleward node move 17 18 --gateway gw-harbour`
    """
    _take_step("move", nodes, fleet, token, json=json, reason=reason, gateway=gateway)


@app.command("swap")
def swap_node(
    pole: Annotated[str, typer.Argument(help="Code of the pole.")],
    mac: Annotated[str, typer.Option(help="MAC of the new node, from its label.")],
    claim_code: Annotated[
        str, typer.Option(envvar="POLEWARD_CLAIM_CODE", help="Claim code of the new node.")
    ],
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Put a new node into a pole that has one; the pole keeps its code, history and programs.

    Example: `poleward node swap BRS-000123 --mac 24ec4a112233 --claim-code K7QH-2M4X-9TRD-5BWN`
    """
    address = _mac(mac)
    with open_client(fleet, token) as client:
        number = client.commission(mac=address, claim_code=claim_code, pole_code=pole, swap=True)
        life = client.get_node(str(number))
    if json:
        print_json({"nodes": [life]})
    else:
        _print_lives([life])


@app.command("quarantine")
def quarantine_nodes(
    nodes: NodesArgument,
    *,
    reason: ReasonOption = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Keep nodes from everything until somebody has looked at them.

    Example: `poleward node quarantine 17 --reason 'two devices seen'`
    """
    _take_step("quarantine", nodes, fleet, token, json=json, reason=reason)


@app.command("release")
def release_nodes(
    nodes: NodesArgument,
    *,
    reason: ReasonOption = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Let nodes out of quarantine with fresh keys, or take lost and swapped ones back into stock.

    Example: `poleward node release 17`
    """
    _take_step("release", nodes, fleet, token, json=json, reason=reason)


@app.command("lost")
def lose_nodes(
    nodes: NodesArgument,
    *,
    reason: ReasonOption = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Report nodes lost: their keys die, and they forget them when they are heard again.

    Example: `poleward node lost 17 --reason 'pole was knocked down'`
    """
    _take_step("lost", nodes, fleet, token, json=json, reason=reason)


@app.command("decommission")
def decommission_nodes(
    nodes: NodesArgument,
    *,
    reason: ReasonOption = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Take nodes out of service for ever; their keys die.

    Example: `poleward node decommission 17`
    """
    _take_step("decommission", nodes, fleet, token, json=json, reason=reason)


@app.command("rotate")
def rotate_nodes(
    nodes: NodesArgument,
    *,
    reason: ReasonOption = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Give nodes other operational keys, without a visit.

    Example: `poleward node rotate 17 18`
    """
    _take_step("rotate", nodes, fleet, token, json=json, reason=reason)


@app.command("strangers")
def list_strangers(
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List whom gateways refused: unknown nodes, nodes that they do not serve, wrong keys.

    Attempts are counted since the gateway started.

    Example: `poleward node strangers --json`
    """
    with open_client(fleet, token) as client:
        strangers = client.list_strangers()
    if json:
        print_json({"strangers": strangers})
        return
    print_table(
        ("what", "gateway", "key id", "node #", "from", "attempts #", "first", "last"),
        (
            (stranger.kind, stranger.gateway_name, stranger.key_id or "–",
             stranger.node_number or "–", stranger.peer, stranger.attempts,
             age_text(stranger.first_seen_at_ms), age_text(stranger.last_seen_at_ms))
            for stranger in strangers
        ),
    )  # fmt: skip


def _take_step(
    step: str,
    nodes: list[str],
    fleet: str | None,
    token: str | None,
    *,
    json: bool,
    reason: str,
    gateway: str = "",
) -> None:
    with open_client(fleet, token) as client:
        lives = client.take_node_step(step, nodes, gateway_name=gateway, reason=reason)
    if json:
        print_json({"nodes": lives})
    else:
        _print_lives(lives)


def _life_of(client: FleetClient, name: str) -> NodeLife | None:
    """Find a node; None when the name is that of a pole."""
    try:
        return client.get_node(name)
    except ClientError as error:
        if error.failure is Failure.REFUSED:
            return None
        raise


def _print_lives(lives: list[NodeLife]) -> None:
    print_table(
        ("node #", "mac", "life", "since", "pole", "gateway", "why", "next"),
        (
            (life.number, life.mac, life.life_state, age_text(life.life_since_ms),
             life.pole_code or "–", life.gateway_name or "–", life.life_reason or "–",
             " ".join(life.next_steps))
            for life in lives
        ),
    )  # fmt: skip


def _mac(text: str) -> bytes:
    try:
        address = bytes.fromhex(text.replace(":", "").replace("-", ""))
    except ValueError:
        address = b""
    if len(address) != 6:
        raise CommandError(f"'{text}' is not a MAC of 12 hexadecimal digits.", USAGE)
    return address
