"""The benchmark `ota-fleet`: a street of real nodes takes a release as a patch, some on bad links.

Not a test. Fleet and gateway are the real programs and each node is a MicroPython VM with its own
flash; the counts are those of the boards' links and of the gateway.
"""

import asyncio
import contextlib
import http.client
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from poleward_manifest import patch
from poleward_manifest.envelope import sign
from poleward_tools.cli.output import progress
from poleward_tools.client.rollout_views import Rollout, RolloutPolicy, RolloutTarget, RolloutWave
from poleward_tools.demo.city import FACTORY_VERSION, City, CityPlan
from poleward_tools.demo.factory import BuiltRelease
from poleward_tools.demo.narration import TerminalNarrator
from poleward_tools.releases import build
from poleward_tools.virtual_board.control import tell
from poleward_tools.virtual_board.node_folder import CONTROL_NAME

BOARDS = 60
_LOSSY_EACH = 10
_LOSS = 0.05
_REPORT_INTERVAL_S = 3600  # no reports meanwhile: every byte belongs to the update
_ONLINE_S = 900.0
_OVER_S = 1800.0
_VERSION, _SEQUENCE = "1.1.0", 2
_FETCHED = re.compile(r"^poleward_gateway_release_bytes_fetched_total (\S+)$", re.MULTILINE)


def run(boards: int = BOARDS) -> dict[str, Any]:
    """Update one node by itself, then all others; return the figures of the others.

    - `seconds`: from the rollout's creation until the last node ended in it.
    - `wan_bytes`: release content that the gateway fetched, for all nodes; `artifact_bytes` is one
      envelope and one patch.
    - `lan_bytes`: UDP payload on the boards' links in both directions, whatever it was for; what
      was lost counts, being sent. `lan_bytes_ideal` is what the node alone on a good link
      took, for each node.
    - `confirmed`, `returned`: nodes; `unconfirmed` says why of those that are not.

    Args:
        boards: at least 2; one in 10 of them loses 5 % of its datagrams in each direction.
    """
    # Not private: the database's account must reach its folder.
    with tempfile.TemporaryDirectory(prefix="poleward-bench-") as folder:
        plan = CityPlan(Path(folder) / "city", boards, report_interval_s=_REPORT_INTERVAL_S)
        with City(plan) as city:
            with TerminalNarrator(progress) as narrator:
                city.bring_up(narrator)
            city.wait_until(
                lambda: _online(city) == boards, what="all boards online", timeout_s=_ONLINE_S,
                poll_s=1.0,
            )  # fmt: skip
            release, patch_bytes = _release(city, Path(folder) / "firmware")
            return {
                "boards": boards,
                "artifact_bytes": patch_bytes + len(release.envelope),
                **_measure(city, city.publish(release, notes="")),
            }


def _measure(city: City, digest: bytes) -> dict[str, Any]:
    codes = [pole.code for pole in city.poles]
    controls = sorted(city.nodes_dir.glob(f"*/{CONTROL_NAME}"))
    before = _link_bytes(controls)
    _roll_out(city, digest, codes[:1])
    alone_bytes = _link_bytes(controls) - before
    progress.print(f"A node by itself took {alone_bytes} bytes on its link.")
    for control in controls[1::_LOSSY_EACH]:
        asyncio.run(tell(control, {"link": {"loss": _LOSS}}))
    before, began_s = _link_bytes(controls), time.monotonic()
    rollout = _roll_out(city, digest, codes[1:])
    seconds = time.monotonic() - began_s
    lan_bytes = _link_bytes(controls) - before
    ideal_bytes = alone_bytes * (len(codes) - 1)
    return {
        "seconds": round(seconds, 1),
        "wan_bytes": _fetched_bytes(city),
        "lan_bytes": lan_bytes,
        "lan_bytes_ideal": ideal_bytes,
        "lan_ratio": round(lan_bytes / ideal_bytes, 3),
        "confirmed": rollout.counts.get("confirmed", 0),
        "returned": rollout.counts.get("returned", 0),
        "unconfirmed": {
            node.pole_code: f"{node.state}: {node.reason}"
            for node in rollout.nodes
            if node.state != "confirmed"
        },
    }


def _roll_out(city: City, digest: bytes, codes: Sequence[str]) -> Rollout:
    """Roll a release out to poles and wait until it is over."""
    rollouts = city.client.rollouts
    policy = RolloutPolicy(waves=(RolloutWave(),), max_failures=len(codes) + 1)
    number = rollouts.create(digest, RolloutTarget(pole_codes=tuple(codes)), policy).number

    def is_over() -> bool:
        found = rollouts.get(number)
        progress.print(f"rollout {number}: {found.counts}", markup=False)
        return found.is_over

    city.wait_until(is_over, what=f"rollout {number} over", timeout_s=_OVER_S, poll_s=1.0)
    return rollouts.get(number)


def _release(city: City, folder: Path) -> tuple[BuiltRelease, int]:
    """Build a release with one line more in each module; return it and the size of its patch."""
    shutil.copytree(build.find_firmware(), folder, ignore=shutil.ignore_patterns("tests"))
    for module in (folder / "node").rglob("*.py"):
        with module.open("a", encoding="utf-8") as file:
            file.write(f"\nRELEASED_IN = {_VERSION!r}\n")
    made = build.build_release(_VERSION, _SEQUENCE, firmware=folder)
    envelope = sign(made.manifest, [city.signing_key])
    before = build.build_release(FACTORY_VERSION, 1).bundle
    return (
        BuiltRelease(_VERSION, _SEQUENCE, made.bundle, envelope, made),
        len(patch.make(before, made.bundle)),
    )


def _online(city: City) -> int:
    """Count the boards that the fleet takes to be online."""
    poles = city.client.list_poles()
    return sum(1 for view in poles if view.node and view.node.link_state == "online")


def _link_bytes(controls: Sequence[Path]) -> int:
    """Add up what passed the links of boards since they were made."""

    async def add_up() -> int:
        states = [await tell(control, {"state": True}) for control in controls]
        return sum(state["bytes_from_node"] + state["bytes_to_node"] for state in states)

    return asyncio.run(add_up())


def _fetched_bytes(city: City) -> int:
    """Ask the gateway how much release content it fetched since it started."""
    connection = http.client.HTTPConnection("127.0.0.1", city.gateway_metrics_port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        found = _FETCHED.search(connection.getresponse().read().decode())
    return int(float(found.group(1))) if found else 0
