"""The benchmark `node-report`: what one report costs a node, and what its application leaves free.

Not a test: targets are in docs. Everything runs on the MicroPython VM, with the bundle that a
release carries.
"""

import asyncio
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from poleward_tools.demo.factory import build_release, production_run
from poleward_tools.flash_image.node_nvs import Trust, new_identity
from poleward_tools.releases import build as building
from poleward_tools.virtual_board.control import tell
from poleward_tools.virtual_board.node_folder import NodeFolder
from poleward_tools.virtual_board.rack import Rack
from poleward_tools.virtual_board.surroundings import Surroundings

HEAP_BYTES = 256 * 1024  # 64-bit objects: stands for about 128 KB on the chip
_MAC = bytes.fromhex("02506f6c6577")
_ON_VM = Path(__file__).parent / "node_report_on_vm.py"
_BOOT_MARK = "heap free "
# What node/start.py needs to light the lamp; firmware/tests/app/test_start_vm.py sees that it does.
_BEFORE_THE_LAMP = ("node/__init__", "node/start", "node/board/")
_DEADLINE_S = 60
_POLL_S = 0.02


class NodeReportError(Exception):
    """The VM did not do what is to be measured; the message holds what it printed."""


def run() -> dict[str, Any]:
    """Build a release, run one report of it and one boot of it on the VM; return the figures.

    - `wire_bytes`: UDP payload of one report, under OSCORE, with sequence numbers in mid-life.
    - `cpu_ms`: encoding, protecting, sending and taking the acknowledgement; median of runs.
    - `heap_peak_bytes`: heap taken from the first reading to the acknowledgement, nothing freed.
    - `allocations_hot_path`: heap blocks taken by encoding, 0 under a locked heap.
    - `bundle_bytes`: all .mpy files together that a node on the chip gets.
    - `heap_free_after_boot_bytes`: as the application prints it when it starts to run.
    - `lamp_restored_ms`: from the reset until the lamp is at its level, on the virtual board.
    - `lamp_restored_bytes`: .mpy files that a node on the chip loads until then.

    Raises:
        NodeReportError: the application does not boot, or the report was refused.
    """
    key = Ed25519PrivateKey.generate()
    release = build_release("0.0.1", sequence=1, key=key)
    with TemporaryDirectory(prefix="poleward-bench-") as parent, unused_port() as port:
        trust = Trust(f"coap://127.0.0.1:{port}", (key.public_key().public_bytes_raw(),))
        product = production_run(release, trust)
        surroundings = Surroundings(
            seed=1, latitude_deg=51.45, longitude_deg=-2.59, lamp_nominal_w=100
        )
        folder = NodeFolder.make(Path(parent), new_identity(_MAC), surroundings, product)
        slot = Path(parent) / "slot"
        for path, content in release.built.files.items():
            (slot / path).parent.mkdir(parents=True, exist_ok=True)
            (slot / path).write_bytes(content)
        figures = report_figures(slot)
        figures |= _bundle_figures() | asyncio.run(boot_figures(folder))
    return figures


def _bundle_figures() -> dict[str, int]:
    sizes = {
        path: len(content)
        for path, content in building.build_release("0.0.1", 1, boards=["esp32"]).files.items()
    }
    return {
        "bundle_bytes": sum(sizes.values()),
        "lamp_restored_bytes": sum(
            size for path, size in sizes.items() if path.startswith(_BEFORE_THE_LAMP)
        ),
    }


class unused_port:  # noqa: N801 - used like a function
    """A UDP port that is held and silent, so that the node meets no gateway."""

    def __enter__(self) -> int:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        return int(self._socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def micropython_command(script: Path, *arguments: str) -> list[str]:
    """Make the command line of a VM with the benchmark's heap."""
    micropython = Path(sys.executable).parent / "micropython"
    return [str(micropython), "-X", f"heapsize={HEAP_BYTES}", str(script), *arguments]


def report_figures(slot: Path) -> dict[str, Any]:
    """Run the report on the VM with the modules of `slot`."""
    done = subprocess.run(
        micropython_command(_ON_VM, str(slot)),
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    if done.returncode != 0:
        raise NodeReportError(f"the report did not run: {done.stdout}{done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


async def boot_figures(folder: NodeFolder) -> dict[str, int]:
    """Boot the node on its board until it prints its free heap, then cut its power."""
    async with Rack(folder.path.parent, heap_bytes=HEAP_BYTES) as rack:
        ends_at = time.monotonic() + _DEADLINE_S
        printed = ""
        while time.monotonic() < ends_at:
            await rack.follow()
            printed = folder.console.read_text(errors="replace") if folder.console.exists() else ""
            shown, newline, _ = printed.partition(_BOOT_MARK)[2].partition("\n")
            if newline:
                state = await tell(folder.control, {"state": True})
                return {
                    "heap_free_after_boot_bytes": int(shown),
                    "lamp_restored_ms": state["lamp_restored_ms"],
                }
            await asyncio.sleep(_POLL_S)
    raise NodeReportError(f"the node did not boot: {printed}")
