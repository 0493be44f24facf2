"""Both boards keep the same contract: public names and signatures, and both are documented."""

import ast
import re
from pathlib import Path

BOARDS = Path(__file__).parents[2] / "node" / "board"


def public_interface(name: str) -> dict[str, str]:
    tree = ast.parse((BOARDS / f"{name}.py").read_text())
    board = next(
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Board"
    )
    found = {}
    for node in board.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
            returns = ast.unparse(node.returns) if node.returns else ""
            found[node.name] = f"{kind} ({ast.unparse(node.args)}) -> {returns}"
        elif isinstance(node, ast.Assign):
            found[ast.unparse(node.targets[0])] = "constant"
    return found


def test_boards_have_the_same_names_and_signatures() -> None:
    assert public_interface("sim") == public_interface("esp32")


def test_contract_names_everything_that_boards_have() -> None:
    contract = ast.get_docstring(ast.parse((BOARDS / "__init__.py").read_text())) or ""
    documented = set(re.findall(r"`(?:await )?(\w+)(?:\([\w, ]*\))?`", contract))
    assert set(public_interface("sim")) <= documented
