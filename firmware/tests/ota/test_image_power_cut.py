"""Power fails in an update with an image; bundle and image stay together.

On CPython only, as `test_image`; `poleward bench power-cut` cuts every operation on the VM.
"""

from fake_flash import PowerCut
from image_fixture import IMAGE_URI, boot_up, image_in, make_node
from release_fixture import Node


def test_power_cut_while_updating_leaves_image_and_bundle_of_one_release() -> None:
    # Every seventh operation: the files of a bundle have many.
    assert _cut_everywhere(lives_before=0, step=7) > 30


def test_power_cut_while_confirming_leaves_image_and_bundle_of_one_release() -> None:
    assert _cut_everywhere(lives_before=1, step=1) > 4


def _cut_everywhere(*, lives_before: int, step: int) -> int:
    cut_at = 0
    while True:
        node = make_node(has_patch=False)
        for _ in range(lives_before):
            _live(node, None)
        was_cut = _live(node, cut_at)
        for _ in range(5):
            _live(node, None)
        assert image_in(node, node.partitions.running) == "new", cut_at
        assert (node.slots.running, node.slots.is_on_trial) == (1, False), cut_at
        if not was_cut:
            return cut_at
        cut_at += step


def _live(node: Node, cut_at: int | None) -> bool:
    """Power up, boot, update or confirm; tell whether power failed."""
    node.flash.power_up(cut_at)
    try:
        slot = boot_up(node)
        name = ("old", "new")[slot]
        assert node.release_in(slot) == name
        assert image_in(node, node.partitions.running) == name, "a mixture runs"
        if not slot:
            node.update(IMAGE_URI)
        elif node.slots.is_on_trial:
            node.slots.confirm()
    except PowerCut:
        return True
    return False
