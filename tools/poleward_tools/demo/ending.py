"""Ends the start of the demo: waits for the first reading, then says where to look and what to try.

It changes nothing in the city.
"""

import json

from rich.console import Console
from rich.panel import Panel

from poleward_tools.demo.city import City
from poleward_tools.demo.narration import Narrator


def wait_first_reading(city: City, narrator: Narrator) -> None:
    """Wait until every node has reported once.

    Raises:
        CommandError: not in time.
    """
    total = len(city.poles)
    with narrator.step("Nodes bootstrap, register and report", total=total) as step:

        def all_reported() -> bool:
            views = city.client.list_poles()
            online = sum(1 for view in views if view.node and view.node.link_state == "online")
            step.reached(online)
            return online == total and bool(city.client.stored_counts())

        city.wait_until(
            all_reported, what="all nodes registered and reporting", timeout_s=60 + 3 * total
        )


def show_ending(city: City, console: Console, *, seconds: float) -> None:
    """Print address, login and things to try."""
    admin = json.loads((city.fleet_dir / "admin.json").read_text(encoding="utf-8"))
    pole = city.poles[0].code
    release = city.plan.data / "release-1.1.0"
    console.print(
        Panel.fit(
            f"[bold]{city.web}[/bold]   user [bold]{admin['user']}[/bold]   "
            f"password [bold]{admin['password']}[/bold]",
            title=f"Poleward is up: {len(city.poles)} poles after {seconds:.0f} s",
        )
    )
    console.print(
        "In another terminal:\n"
        f"  poleward login {city.web} --admin-file {city.fleet_dir}/admin.json --yes\n"
        "  poleward node list\n"
        f"  poleward lamp set {pole} 30 --minutes 5\n"
        f"  poleward node show {pole}\n"
        "A release of your own, after a change under firmware/ or without one:\n"
        f"  poleward release build 1.1.0 --sequence 2 --out {release}\n"
        f"  poleward release sign {release} --key {city.key_file}\n"
        f"  poleward release publish {release}\n"
        "  poleward rollout create 1.1.0 --wait\n"
        f"Consoles of the nodes: {city.nodes_dir}/*/console.log   logs: {city.plan.data}/logs\n"
        "Ctrl-C stops everything.",
        markup=False,
    )
