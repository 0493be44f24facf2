"""Power fails at every single flash operation of an update; a proven slot boots each time."""

import boot
from fake_flash import PowerCut
from refusals import refusal_of
from release_fixture import Node

from node.ota import ed25519, installer

_verify = ed25519.verify
_verified = {}


async def _verify_once(key, message, signature):
    """Verify as ever, but the same signature only once: it is not what is cut here."""
    asked = (key, message, signature)
    if asked not in _verified:
        _verified[asked] = await _verify(*asked)
    return _verified[asked]


def _live(node, cut_at):
    """Power up, boot, update when the old release runs, confirm when the new one does.

    Returns whether power failed.
    """
    node.flash.power_up(cut_at)
    ed25519.verify = _verify_once
    try:
        slot = boot.choose_slot(node.flash, boot.is_whole)
        assert node.release_in(slot) is not None, "a slot that is not whole boots"
        node.start_on(slot)
        if slot:
            assert node.release_in(1) == "new"
            if node.slots.is_on_trial:
                node.slots.confirm()
        else:
            node.update()
    except PowerCut:
        return True
    return False


def _finish(node):
    """Let power be good until the new release is confirmed."""
    for _ in range(4):
        assert not _live(node, None)
        if node.slots.running == 1 and not node.slots.is_on_trial:
            break
    assert boot.choose_slot(node.flash, boot.is_whole) == 1
    assert node.flash.keys["slot"] == 1
    assert node.release_in(0) == "old"


def _cut_everywhere(is_torn, has_patch=False):
    for lives_before in (0, 1):  # a cut while updating, a cut while confirming
        cut_at = 0
        while True:
            node = Node(is_torn, has_patch)
            for _ in range(lives_before):
                _live(node, None)
            was_cut = _live(node, cut_at)
            node.flash.power_up()
            _finish(node)
            if not was_cut:
                break
            cut_at += 1
        assert cut_at > (12 if lives_before == 0 else 2), "there was nothing to cut"


def test_cut_at_every_operation_when_files_change_as_a_whole():
    _cut_everywhere(False)


def test_cut_at_every_operation_when_writes_tear():
    _cut_everywhere(True)


def test_cut_at_every_operation_of_a_patched_update():
    _cut_everywhere(False, has_patch=True)


def test_cut_at_every_operation_of_a_patched_update_when_writes_tear():
    _cut_everywhere(True, has_patch=True)


def test_many_cuts_one_after_the_other():
    for seed in range(8):
        node = Node(seed % 2 == 1, seed % 4 < 2)
        state = seed + 1
        for _ in range(12):
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            _live(node, (state >> 8) % 45)
        _finish(node)


def test_worn_flash_that_drops_a_byte_is_noticed_before_the_trial():
    node = Node()
    write = node.flash.open

    def open_worn(path, mode):
        if mode == "rb" and path == "slot_b/bundle" and path in node.flash.files:
            node.flash.files[path] = node.flash.files[path][:-1] + b"\xff"
        return write(path, mode)

    installer.open = open_worn
    refusal = refusal_of(node.update)
    assert refusal.reason == "flash did not keep what was written"
    assert not boot.is_whole(1)
    assert boot.choose_slot(node.flash, boot.is_whole) == 0
