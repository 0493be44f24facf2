"""Releases with an image of MicroPython: tried with their bundle, kept or left with it.

Not power cuts at every operation of one: `poleward bench power-cut`.
"""

import hashlib
from pathlib import Path

import pytest

from hil_tests.conftest import RigNode
from hil_tests.test_rollout_stops import FAULTS, QUICK_TRIAL, Change, Street, policy
from nodelink.release_format import IMAGE_PIECE_BYTES
from poleward_tools.client.rollout_views import RolloutNode
from poleward_tools.demo.city import City
from poleward_tools.flash_image.app_image import AppDescription, AppImage, Segment
from poleward_tools.flash_image.inspection import inspect
from poleward_tools.virtual_board.stand_ins import MICROPYTHON

pytestmark = [pytest.mark.system]

IMAGE_BYTES = 2 * IMAGE_PIECE_BYTES + 4096
LEVEL_PERCENT = 37
# A node whose heap is full in the middle of it is asked again and goes on.
PATIENT = policy(max_attempts=5, retry_s=5)


def image_of(version: str, project: str = MICROPYTHON) -> bytes:
    """Make an image of three pieces; two of them differ in a few bytes only."""
    noise = hashlib.shake_128(b"the same in each").digest(IMAGE_BYTES)
    about = AppDescription(version, project).encode()
    return AppImage(0, 0x3F400020, (Segment(0x3F400020, about + noise),)).encode()


@pytest.fixture
def street(city: City, node: RigNode, tmp_path: Path) -> Street:
    return Street(city, (node,), tmp_path)


def bring(street: Street, image: bytes, *changes: Change) -> RolloutNode:
    """Roll out a release with an image; give how it ended on the node, which is online again."""
    ended = street.wait_over(street.roll_out(street.publish(*changes, image=image), PATIENT))
    street.nodes[0].wait_online()
    return ended.nodes[0]


def selection(node: RigNode) -> tuple[object, object]:
    """Tell which image the bootloader starts next, and whether it is proven."""
    parts = {part["label"]: part for part in inspect(node.board.flash.read_bytes()).parts}
    return parts["otadata"]["starts"], parts["otadata"]["state"]


def test_an_image_is_kept_or_left_together_with_its_bundle(street: Street) -> None:
    (node,) = street.nodes
    node.dim(LEVEL_PERCENT)
    node.wait_until(lambda: node.value("lamp.level_percent") == LEVEL_PERCENT, "dimmed")
    resets = node.tell(state=True)["lamp_levels"].count(None)

    # In pieces, since nobody knows what the factory gave it; the power goes in the second one.
    good = street.publish(image=image_of("1.30.0"))
    before = int(node.tell(link={"latency_ms": 20})["bytes_to_node"])
    number = street.roll_out(good, PATIENT)

    def received_bytes() -> int:
        return int(node.tell(state=True)["bytes_to_node"]) - before

    node.wait_until(lambda: received_bytes() > IMAGE_PIECE_BYTES * 5 // 4, "in the second piece")
    node.power_cut()
    kept = street.wait_over(number).nodes[0]
    assert kept.state == "confirmed", kept
    assert received_bytes() < IMAGE_BYTES * 5 // 4, "it went on at its piece"
    assert selection(node) == ("ota_1", "valid")
    node.tell(link=None)

    # As patches of the first: one that does not start, one that starts under a bad bundle.
    before = node.tell(state=True)["bytes_to_node"]
    dead = bring(street, image_of("1.31.0", "something else"))
    assert (dead.state, dead.reason) == ("returned", "its image did not start")
    sick = bring(street, image_of("1.32.0"), *FAULTS["fails its sensors"], QUICK_TRIAL)
    assert (sick.state, sick.reason) == ("returned", "a sensor does not answer")
    assert received_bytes() < IMAGE_PIECE_BYTES, "both came as patches"
    for _ in range(2):
        assert selection(node) == ("ota_1", "valid")
        assert node.view().bundle_version == good.version
        node.power_cut()
        node.wait_reports(1)
    levels = node.tell(state=True)["lamp_levels"]
    # Cut, trial; dead image and back; sick bundle and back; two cuts more.
    assert levels.count(None) == resets + 8, levels
    assert set(levels[levels.index(LEVEL_PERCENT * 10) :]) == {LEVEL_PERCENT * 10, None}, levels
