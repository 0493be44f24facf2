"""An update as a patch of the running slot: taken first, and never trusted."""

import io

from refusals import refusal_of
from release_fixture import NEW_COMPONENT, NEW_URI, PATCH_PATH, VECTORS, Node, run

from node.ota import patch
from nodelink import firmware_update as numbers


def _update(node) -> None:
    node.updater.start(NEW_URI)
    run(node.updater.download())
    if node.updater.state == numbers.STATE_DOWNLOADED:
        run(node.updater.install())


def test_patch_is_taken_instead_of_the_whole():
    node = Node(has_patch=True)
    _update(node)
    assert node.release_in(1) == "new"
    assert node.release_in(0) == "old"
    assert ("a", 0) in node.gateway.served_blocks
    assert len(node.gateway.served_blocks) == 1 + (len(VECTORS["patch"]) + 1023) // 1024


def test_source_that_does_not_match_falls_back_to_the_whole():
    node = Node(has_patch=True)
    node.flash.files["slot_a/bundle"] = VECTORS["old"]["bundle"][:-1] + b"\xff"
    _update(node)
    assert node.release_in(1) == "new"
    assert not [path for path in node.flash.files if path.endswith("-patch")]


def test_altered_cut_or_endless_patch_falls_back_to_the_whole():
    good = VECTORS["patch"]
    altered = bytearray(good)
    altered[len(good) // 2] ^= 1
    for contents in (bytes(altered), good[:-9], b"\xff" * 100, b"", VECTORS["new"]["archive"]):
        node = Node(has_patch=True)
        node.gateway.resources[PATCH_PATH] = contents
        _update(node)
        assert node.release_in(1) == "new"


def test_bad_patch_and_bad_whole_install_nothing():
    node = Node(has_patch=True)
    node.gateway.resources[PATCH_PATH] = b"\xff" * 100
    node.gateway.resources[("a", "d", NEW_COMPONENT)] = b"\xff" * 100
    _update(node)
    assert (node.updater.state, node.updater.result) == (0, numbers.RESULT_INTEGRITY)
    assert node.release_in(1) is None


def test_whole_that_was_begun_is_finished():
    node = Node()
    node.gateway.lose_at = 2
    _update(node)
    node.gateway.resources[PATCH_PATH] = VECTORS["patch"]
    del node.gateway.served_blocks[:]
    _update(node)
    assert node.release_in(1) == "new"
    assert node.gateway.served_blocks == [("r", 0), ("a", 0), ("a", 1), ("a", 2)]


def test_gateway_that_is_still_getting_it_is_waited_for():
    node = Node(has_patch=True)
    node.gateway.busy_for = 3
    _update(node)
    assert node.release_in(1) == "new"


class _Stream:
    def __init__(self, contents):
        self._contents = contents

    def readinto(self, view):
        count = min(len(view), len(self._contents))
        view[:count] = self._contents[:count]
        self._contents = self._contents[count:]
        return count


def _build(plain, source):
    stream = patch.Patched(_Stream(plain), io.BytesIO(source))
    built = b""
    view = memoryview(bytearray(7))
    while True:
        count = stream.readinto(view)
        if not count:
            return built
        built += bytes(view[:count])


def test_bytes_are_added_without_a_carry():
    source = bytes(range(256)) + bytes(range(256))
    added = bytes([255 - at * 7 & 255 for at in range(512)])
    head = b"\x80\x04\x03\x00"  # 512 to copy, 3 new, no move
    built = _build(head + added + b"new", source)
    assert built == bytes([source[at] + added[at] & 255 for at in range(512)]) + b"new"


def test_source_is_read_back_and_forth():
    # "cd", move by -4 to its beginning, "ab" and "!"
    built = _build(b"\x00\x00\x04" + b"\x02\x00\x07\0\0" + b"\x02\x01\x00\0\0!", b"abcd")
    assert built == b"cdab!"


def test_malformed_patches_are_refused():
    for plain in (
        b"\x05",  # breaks off in the head
        b"\x03\x00\x00a",  # breaks off in the bytes to add
        b"\x00\x05\x00abc",  # breaks off in the new ones
        b"\xff\xff\xff\xff\xff\x01\x00\x00",  # a number that is too long
        b"\x09\x00\x00" + bytes(9),  # copies beyond the end
        b"\x00\x00\x03\x01\x00\x00\x00",  # copies before the beginning
    ):
        assert refusal_of(_build, plain, b"abcd").result == numbers.RESULT_INTEGRITY
