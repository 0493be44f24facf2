"""The node's objects against what node and gateway agreed on."""

import importlib
import pkgutil
from types import ModuleType

import pytest

import node.lwm2m.objects
from nodelink.objects import OBJECTS

LETTERS = {
    "i": "Integer", "t": "Time", "f": "Float", "b": "Boolean", "s": "String", "o": "Opaque",
    "l": "Objlnk", "n": "",
}  # fmt: skip


def holders() -> list[object]:
    found: list[object] = []
    for module_info in pkgutil.iter_modules(node.lwm2m.objects.__path__):
        module: ModuleType = importlib.import_module(f"node.lwm2m.objects.{module_info.name}")
        for holder in (module, *vars(module).values()):
            if hasattr(holder, "TABLE") and hasattr(holder, "ID") and holder not in found:
                found.append(holder)
    return found


@pytest.mark.parametrize("holder", holders(), ids=lambda holder: str(holder.ID))
def test_ids_types_and_operations_agree(holder: object) -> None:
    _, resources = OBJECTS[holder.ID]
    for resource, entry in holder.TABLE.items():
        _, kind, operations, _, _ = resources[resource]
        assert LETTERS[entry[-1]] == kind, resource
        assert entry[:-1] == operations, resource


def test_node_has_every_object_of_the_link_but_the_event() -> None:
    # Object 26242 exists in messages only.
    assert {holder.ID for holder in holders()} == set(OBJECTS) - {26242}
