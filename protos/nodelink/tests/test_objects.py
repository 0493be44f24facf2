"""nodelink/objects.py against the registry definitions."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from nodelink.objects import OBJECTS

DEFINITIONS = Path(__file__).parents[1] / "objects"


def load(object_id: int) -> dict[int, tuple[str, str, str]]:
    root = ElementTree.parse(DEFINITIONS / f"{object_id}.xml").getroot()
    return {
        int(item.attrib["ID"]): (
            item.findtext("Operations", "").strip(),
            item.findtext("Type", "").strip(),
            item.findtext("Units", "").strip(),
        )
        for item in root.iter("Item")
    }


@pytest.mark.parametrize("object_id", sorted(OBJECTS))
def test_table_agrees_with_definition(object_id: int) -> None:
    _, resources = OBJECTS[object_id]
    definition = load(object_id)
    for resource_id, (_, kind, operations, unit, _) in resources.items():
        assert definition[resource_id] == (operations, kind, unit), f"/{object_id}/x/{resource_id}"


def test_every_definition_is_in_the_table() -> None:
    assert {int(path.stem) for path in DEFINITIONS.glob("*.xml")} == set(OBJECTS)
