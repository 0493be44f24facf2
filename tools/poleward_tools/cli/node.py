"""Commands about nodes: `poleward node list|show`.

Poles are in pole.py.
"""

from typing import Annotated

import typer

from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import age_text, print_json, print_table, results

app = typer.Typer(no_args_is_help=True, help="Nodes: the devices in the poles.")


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
    """Show one node, its pole and its latest values.

    Example: `poleward node show 17`
    """
    with open_client(fleet, token) as client:
        detail = client.get_pole(node)
    if json:
        print_json(detail)
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
