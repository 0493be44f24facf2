"""Compiles node code with mpy-cross for tests that run it on the MicroPython VM.

Not a release: asserts stay in, and nothing is signed.
"""

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[2]
ROOT = TESTS.parents[1]
MICROPYTHON = Path(sys.executable).parent / "micropython"
# What a VM test may import, compiled to .mpy as on the node: sources would not fit the heap.
COMPILED = ("firmware/node", "protos/nodelink", "firmware/tests/vm")


@functools.cache
def compiled_tree() -> Path:
    """Compile what VM tests import, once per process; return the folder to put on sys.path."""
    tree = Path(tempfile.mkdtemp(prefix="poleward-vm-"))
    atexit.register(shutil.rmtree, tree, ignore_errors=True)
    for name in ("boot.py", "slot_files.py"):
        compile_to(ROOT / "firmware" / name, tree / name)
    for folder in COMPILED:
        source_root = ROOT / folder
        for source in sorted(source_root.rglob("*.py")):
            if (
                "cpython" not in source.parts
                and "tests" not in source.relative_to(ROOT / folder).parts
            ):
                compile_to(source, tree / source_root.name / source.relative_to(source_root))
    return tree


def compile_to(source: Path, target: Path) -> None:
    """Compile one file with mpy-cross to `target`, whose suffix becomes .mpy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    mpy_cross = MICROPYTHON.parent / "mpy-cross"
    # Asserts stay in: they are the tests.
    subprocess.run([mpy_cross, "-o", target.with_suffix(".mpy"), source], check=True)
