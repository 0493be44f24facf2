"""A release with an image: bundle and image are installed, tried, kept or left together.

On CPython only: two partitions in RAM find no room on the VM, where `poleward bench power-cut` has
them in a file.
"""

from image_fixture import (
    IMAGE_URI,
    IMAGES,
    PATCH,
    PATCH_PATH,
    PIECES,
    PIECES_PATH,
    boot_up,
    image_in,
    make_node,
)
from refusals import refusal_of
from release_fixture import Node, run

from nodelink import firmware_update as numbers
from poleward_manifest.bundle import deflate


def pieces_served(node: Node) -> list[tuple[int, int]]:
    """List number and block of the pieces of images that the gateway gave out."""
    return [(int(path[3]), at) for path, at in node.gateway.served if path[:3] == PIECES_PATH]


def _download(node: Node) -> None:
    node.updater.start(IMAGE_URI)
    run(node.updater.download())


def test_image_and_bundle_are_tried_and_confirmed_together() -> None:
    for has_patch in (False, True):
        node = make_node(has_patch=has_patch)
        node.update(IMAGE_URI)
        assert (image_in(node, 0), image_in(node, 1)) == ("old", "new")
        assert not [path for path in node.flash.files if path.startswith("data/")]
        assert bool(pieces_served(node)) is not has_patch
        assert (boot_up(node), node.partitions.running) == (1, 1)
        assert node.updater.state == numbers.STATE_UPDATING
        node.slots.confirm()
        for _ in range(2):
            assert (boot_up(node), node.partitions.running) == (1, 1)
        assert node.updater.result == numbers.RESULT_SUCCESS


def test_trial_that_is_not_confirmed_returns_to_the_old_image_and_slot() -> None:
    node = make_node()
    node.update(IMAGE_URI)
    assert boot_up(node) == 1
    node.slots.reject("a sensor does not answer")
    assert (boot_up(node), node.partitions.running) == (0, 0)
    assert (node.updater.state, node.updater.result) == (0, numbers.RESULT_FAILED)
    assert node.slots.failure == "a sensor does not answer"
    # The image is still where it was written: nothing of it is fetched again.
    del node.gateway.served[:]
    node.update(IMAGE_URI)
    assert not pieces_served(node)
    assert (boot_up(node), node.partitions.running) == (1, 1)


def test_image_that_never_reaches_boot_py_returns_with_its_slot() -> None:
    node = make_node()
    node.update(IMAGE_URI)
    node.partitions.start()  # and it hangs: the watchdog resets
    assert (boot_up(node), node.partitions.running) == (0, 0)
    assert node.updater.result == numbers.RESULT_FAILED
    assert node.slots.failure == "its image did not start"


def test_image_that_runs_already_is_not_fetched() -> None:
    node = make_node()
    node.partitions.contents[0][: len(IMAGES["new"])] = IMAGES["new"]
    node.update(IMAGE_URI)
    assert not pieces_served(node)
    assert (boot_up(node), node.partitions.running) == (1, 0)
    node.slots.confirm()
    assert (boot_up(node), node.partitions.running) == (1, 0)


def test_interrupted_image_goes_on_with_its_piece() -> None:
    assert [len(piece) < 1024 for piece in PIECES] == [True, True]
    for blocks in (1, 2):
        node = make_node()
        node.gateway.lose_at = blocks  # the envelope and the first pieces
        _download(node)
        assert node.updater.result == numbers.RESULT_LINK_LOST
        del node.gateway.served[:]
        _download(node)
        assert node.updater.state == numbers.STATE_DOWNLOADED
        assert image_in(node, 1) == "new"
        assert pieces_served(node)[0] == (blocks - 1, 0)


def test_altered_cut_or_stuffed_image_is_refused() -> None:
    good = PIECES[0]
    altered = bytearray(good)
    altered[len(good) // 2] ^= 1
    other = bytes(4096)
    for piece in (bytes(altered), good[:-9], good[:20], b"\xff" * 100, b"", deflate(other)):
        node = make_node()
        node.gateway.resources[(*PIECES_PATH, "0")] = piece
        _download(node)
        assert node.updater.state == numbers.STATE_IDLE
        assert node.updater.result == numbers.RESULT_INTEGRITY
        assert image_in(node, 0) == "old"
        refusal_of(run, node.updater.install())


def test_what_is_left_of_an_image_and_bad_is_fetched_anew() -> None:
    node = make_node()
    node.gateway.lose_at = 2
    _download(node)
    node.partitions.contents[1][100] ^= 1
    _download(node)
    assert node.updater.result == numbers.RESULT_INTEGRITY
    _download(node)
    assert node.updater.state == numbers.STATE_DOWNLOADED
    assert image_in(node, 1) == "new"


def test_patch_that_does_not_fit_or_finds_no_room_gives_way_to_the_whole() -> None:
    for room_bytes in (900000, 14000):
        node = make_node(has_patch=True)
        if room_bytes == 900000:
            node.gateway.resources[PATCH_PATH] = PATCH[:-9]
        else:
            node.flash.full_for = "-patch"
        _download(node)
        assert node.updater.state == numbers.STATE_DOWNLOADED
        assert pieces_served(node)
        assert image_in(node, 1) == "new"


def test_image_bigger_than_its_partition_is_told_before_the_download() -> None:
    node = make_node()
    node.partitions.size_bytes = 4096
    _download(node)
    assert node.updater.result == numbers.RESULT_NO_FLASH
    assert [kind for kind, _ in node.gateway.served_blocks] == ["r"]


def test_image_that_cannot_be_started_is_not_tried() -> None:
    node = make_node()
    node.partitions.is_image = False
    refusal_of(node.update, IMAGE_URI)
    assert node.updater.result == numbers.RESULT_FAILED
    assert (boot_up(node), node.partitions.running) == (0, 0)


def test_altered_after_the_download_is_noticed_before_the_trial() -> None:
    node = make_node()
    _download(node)
    node.partitions.contents[1][100] ^= 1
    refusal_of(run, node.updater.install())
    assert node.updater.result == numbers.RESULT_INTEGRITY
    assert (boot_up(node), node.partitions.running) == (0, 0)
