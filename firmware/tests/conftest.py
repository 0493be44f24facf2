"""Runs every `test_*_vm.py` twice: on CPython as usual, and as a whole on the MicroPython VM.

Such a module keeps to what both Pythons have: no pytest, no fixtures, plain functions and asserts.
Other test modules run on CPython only.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# The stand-in for the chip's heap, and one a quarter smaller (docs of the board: 64-bit objects).
HEAP_SIZES = ("256k", "192k")
TIMEOUT_S = 120

# Node code imports `micropython` and `cryptolib`; on CPython these stand in.
for path in (TESTS / "vm" / "cpython", TESTS):
    if str(path) not in sys.path:
        sys.path.append(str(path))


class VmError(Exception):
    """What the VM printed when a test failed there."""


class VmItem(pytest.Item):
    """One test module on the VM with one heap size."""

    # Plugins ask every item for the names of its fixtures.
    fixturenames: "tuple[str, ...]" = ()

    heap_size = ""

    def runtest(self) -> None:
        from compiled_tree import MICROPYTHON, ROOT, compile_to, compiled_tree

        tree = compiled_tree()
        for source in sorted(self.path.parent.glob("*.py")):
            # What the test module imports may stand beside it.
            if source == self.path or not source.name.startswith(("test_", "conftest")):
                compile_to(source, tree / "modules" / source.name)
        module = self.path.stem
        runner = TESTS / "vm" / "runner.py"
        done = subprocess.run(
            [MICROPYTHON, "-X", f"heapsize={self.heap_size}", runner, tree, module],
            env={**os.environ, "POLEWARD_VECTORS": str(ROOT / "protos/nodelink/vectors")},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0 or "PASS" not in done.stdout:
            raise VmError(f"exit {done.returncode}\n{done.stdout}{done.stderr}")

    def repr_failure(self, excinfo: "pytest.ExceptionInfo[BaseException]", style=None) -> str:
        if isinstance(excinfo.value, VmError):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> "tuple[Path, int | None, str]":
        return self.path, 0, f"micropython: {self.name}"


class VmFile(pytest.File):
    """A test module as the VM runs it."""

    def collect(self) -> Iterator[VmItem]:
        for heap_size in HEAP_SIZES:
            item = VmItem.from_parent(self, name=f"micropython[{heap_size}]")
            item.heap_size = heap_size
            yield item


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "pytest.Collector | None":
    """Collect VM test modules a second time."""
    if file_path.name.startswith("test_") and file_path.name.endswith("_vm.py"):
        return VmFile.from_parent(parent, path=file_path)
    return None
