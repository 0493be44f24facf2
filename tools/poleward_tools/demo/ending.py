"""Ends the start of the demo: waits for the first reading, then says where to look and what to try.

It changes nothing in the city.
"""

import json
import shlex
import time

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
    # A city that was up before has nodes that were online then.
    started_ms = int(time.time() * 1000)
    with narrator.step("Nodes bootstrap, register and report", total=total) as step:

        def all_reported() -> bool:
            views = city.client.list_poles()
            heard = sum(1 for view in views if view.node and view.node.heard_at_ms >= started_ms)
            step.reached(heard)
            return heard == total and bool(city.client.stored_counts())

        city.wait_until(
            all_reported, what="all nodes registered and reporting", timeout_s=60 + 3 * total
        )


def show_ending(city: City, console: Console, *, seconds: float) -> None:
    """Print address, login and things to try."""
    admin = json.loads((city.fleet_dir / "admin.json").read_text(encoding="utf-8"))
    pole = city.poles[0].code
    sequence = max(release.sequence for release in city.client.list_releases()) + 1
    version = f"1.{sequence - 1}.0"
    release = shlex.quote(str(city.plan.data / f"release-{version}"))
    admin_file = shlex.quote(str(city.fleet_dir / "admin.json"))
    key_file = shlex.quote(str(city.key_file))
    console.print(
        Panel.fit(
            f"[bold]{city.web}[/bold]   user [bold]{admin['user']}[/bold]   "
            f"password [bold]{admin['password']}[/bold]",
            title=f"Poleward is up: {len(city.poles)} poles after {seconds:.0f} s",
        )
    )
    console.print(
        "In another terminal:\n"
        f"  poleward login {city.web} --admin-file {admin_file} --yes\n"
        "  poleward node list\n"
        f"  poleward lamp set {pole} 30 --minutes 5\n"
        f"  poleward node show {pole}\n"
        "A release of your own, after a change under firmware/ or without one:\n"
        f"  poleward release build {version} --sequence {sequence} --out {release}\n"
        f"  poleward release sign {release} --key {key_file}\n"
        f"  poleward release publish {release}\n"
        f"  poleward rollout create {version} --wait\n"
        f"Consoles of the nodes: {city.nodes_dir}/*/console.log   logs: {city.plan.data}/logs\n"
        "Ctrl-C stops everything.",
        markup=False,
        # A line that is broken in two cannot be copied.
        soft_wrap=True,
    )
