"""The benchmark `power-cut`: power fails at every single flash operation of an update.

Not random cuts: an update without one counts the operations, then each is cut once in a life of its
own. After the cut the node lives on until the new release is confirmed, and every boot on the way
must start a release that is whole.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nodelink.release_format import CLASS_IDS
from poleward_manifest import bundle as bundles
from poleward_manifest import patch
from poleward_manifest.envelope import Component, Manifest, envelope_digest, sign
from poleward_tools.cli.output import progress
from poleward_tools.flash_image.littlefs import FileSystemImage
from poleward_tools.flash_image.node_image import node_files
from poleward_tools.releases import build

_WORKER = Path(__file__).parent / "power_cut_worker.py"
_PARTITIONS = Path(__file__).parent / "partitions_on_vm.py"
_SECTOR_BYTES = 4096
_IMAGE_SECTORS = 5
_PIECE_BYTES = 8192  # as power_cut_on_vm has it
_PROFILE = "pole-basic"
_FILE_SYSTEM_BYTES = 512 * 1024
# A part of the application keeps the run short; its files are real and of all sizes.
_PARTS = ("node/ota/", "node/codec/", "nodelink/")
# Beside an image fewer: what is done with a bundle's files is cut without one.
_PARTS_WITH_IMAGE = ("node/codec/",)
_CUTS_AT_A_TIME = 40
_CONFIRMED = 0
_TIMEOUT_S = 600


class PowerCutBenchError(Exception):
    """The update does not even work without a cut; the message holds what the node printed."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is updated, and how it travels."""

    name: str
    has_patch: bool = False
    has_image: bool = False


KINDS = (
    Kind("bundle"),
    Kind("bundle as a patch", has_patch=True),
    Kind("bundle and image", has_image=True),
    Kind("bundle and image as patches", has_patch=True, has_image=True),
)


def run() -> dict[str, Any]:
    """Cut the power everywhere and return what came of it.

    - `operations`: of an update, from the download to the confirmed release, of all kinds together.
    - `cuts`: how many of them were cut; all.
    - `bricked`: cuts after which a boot did not start a whole release, or the node gave up.
    - `wrong_version`: cuts after which the node did not end with the new release, confirmed.

    Raises:
        PowerCutBenchError: the update fails by itself.
    """
    kinds = []
    for kind in KINDS:
        with tempfile.TemporaryDirectory(prefix="poleward-bench-") as name:
            kinds.append(cut_everywhere(kind, Path(name)))
    totals = {
        key: sum(figures[key] for figures in kinds)
        for key in ("operations", "cuts", "bricked", "wrong_version")
    }
    return {**totals, "kinds": kinds}


def cut_everywhere(kind: Kind, place: Path, *, every: int = 1) -> dict[str, Any]:
    """Cut an update at every operation, or at every n-th, and count what came of it."""
    modules = _lay_out(place, kind)
    (whole,) = _live_through(modules, place, 0, [0])
    if whole["lives"][-1] != _CONFIRMED:
        raise PowerCutBenchError(f"{kind.name}: {whole['log']}")
    operations = int(whole["operations"])
    progress.print(f"{kind.name}: {operations} operations")
    jobs = os.cpu_count() or 1
    with ThreadPoolExecutor(jobs) as pool:
        shards = [range(1 + first * every, operations + 1, jobs * every) for first in range(jobs)]
        outcomes = [
            outcome
            for lived in pool.map(
                lambda at: list(_live_through(modules, place, at, shards[at])), range(jobs)
            )
            for outcome in lived
        ]
    failed = [outcome for outcome in outcomes if outcome["lives"][-1] != _CONFIRMED]
    for outcome in failed[:3]:
        progress.print(f"cut at {outcome['cut']}: {outcome['lives']}\n{outcome['log']}")
    bricked = [outcome for outcome in failed if outcome["lives"][-1] == 1]
    return {
        "kind": kind.name,
        "operations": operations,
        "cuts": len(outcomes),
        "bricked": len(bricked),
        "wrong_version": len(failed) - len(bricked),
    }


def _live_through(
    modules: Path, place: Path, number: int, cuts: Iterable[int]
) -> Iterator[dict[str, Any]]:
    """Have a process live through cuts, and yield what it says about each."""
    scratch = place / f"scratch-{number}"
    scratch.mkdir(exist_ok=True)
    waiting = list(cuts)
    while waiting:
        now, waiting = waiting[:_CUTS_AT_A_TIME], waiting[_CUTS_AT_A_TIME:]
        done = subprocess.run(
            [sys.executable, str(_WORKER), str(modules), str(place), str(scratch), *map(str, now)],
            capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
        if done.returncode:
            raise PowerCutBenchError(done.stderr)
        yield from (json.loads(line) for line in done.stdout.splitlines())


def _lay_out(place: Path, kind: Kind) -> Path:
    """Write the factory's flash, what the gateway serves and what is known of both releases."""
    key = Ed25519PrivateKey.generate()
    built = build.build_release("1.1.0", 2)
    parts = _PARTS_WITH_IMAGE if kind.has_image else _PARTS
    new_files = {path: code for path, code in built.files.items() if path.startswith(parts)}
    old_files = {path: code for path, code in new_files.items() if "ed25519" not in path}
    old_files["node/codec/cbor.mpy"] = old_files["node/codec/cbor.mpy"][:-700]
    old, new = bundles.pack(old_files), bundles.pack(new_files)
    old_image, new_image = _image(b"old"), _image(b"new")
    image = Component.of_image(new_image) if kind.has_image else None
    envelopes = [
        sign(Manifest(number, f"1.{number}.0", _PROFILE, Component.of_bundle(bundle), has), [key])
        for number, bundle, has in ((1, old, None), (2, new, image))
    ]
    file_system = FileSystemImage.format(_FILE_SYSTEM_BYTES)
    file_system.write_all(node_files(root_files={}, bundle=old, envelope=envelopes[0]))
    (place / "flash").write_bytes(file_system.encode())
    about: dict[str, Any] = {
        "class_id": CLASS_IDS[_PROFILE].hex(),
        "trusted_keys": key.public_key().public_bytes_raw().hex(),
        "releases": {},
        "image": None,
    }
    if image:
        about["image"] = {
            "old": hashlib.sha256(old_image).hexdigest(),
            "new": image.digest.hex(),
            "size_bytes": image.size_bytes,
            "sectors": _IMAGE_SECTORS,
        }
        _lay_out_images(place, old_image, new_image, has_patch=kind.has_patch)
    for name, number, bundle, envelope in zip(
        ("old", "new"), (1, 2), (old, new), envelopes, strict=True
    ):
        component = Component.of_bundle(bundle)
        about["releases"][name] = {
            "sequence": number,
            "envelope": envelope_digest(envelope).hex(),
            "component": component.digest.hex(),
            "size_bytes": component.size_bytes,
        }
    (place / "about.json").write_text(json.dumps(about))
    served = about["releases"]["new"]
    (place / f"r-{served['envelope']}").write_bytes(envelopes[1])
    (place / f"a-d-{served['component']}").write_bytes(bundles.deflate(new))
    if kind.has_patch:
        (place / f"a-p-{served['component']}-1").write_bytes(patch.make(old, new))
    modules = place / "modules"
    for path, code in {**built.files, **built.root_files}.items():
        (modules / path).parent.mkdir(parents=True, exist_ok=True)
        (modules / path).write_bytes(code)
    shutil.copy(_PARTITIONS, modules)
    return modules


def _image(name: bytes) -> bytes:
    """Make what the bench's bootloader starts: contents of all sorts, then their SHA-256."""
    body = name * 1000 + hashlib.shake_256(name).digest(5000) + hashlib.shake_256().digest(9000)
    return body + hashlib.sha256(body).digest()


def _lay_out_images(place: Path, old: bytes, new: bytes, *, has_patch: bool) -> None:
    """Write the flash of both partitions, and the new image as the gateway serves it."""
    partition_bytes = _IMAGE_SECTORS * _SECTOR_BYTES
    selection = b"\xff" * 2 * _SECTOR_BYTES
    (place / "apps").write_bytes(
        selection + old.ljust(partition_bytes, b"\xff") + b"\xff" * partition_bytes
    )
    digest = hashlib.sha256(new).hexdigest()
    for number, at in enumerate(range(0, len(new), _PIECE_BYTES)):
        piece = bundles.deflate(new[at : at + _PIECE_BYTES])
        (place / f"a-d-{digest}-{number}").write_bytes(piece)
    if has_patch:
        (place / f"a-p-{digest}-1").write_bytes(patch.make(old, new))
