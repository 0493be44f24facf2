"""The update as object 5 sees it, against a gateway that serves, breaks off and cheats."""

import asyncio

import boot
from refusals import refusal_of
from release_fixture import NEW_URI, VECTORS, Node, run

from node.ota import updater
from node.ota.trust import Trust
from nodelink import firmware_update as numbers

_ARCHIVE_PATH = ("a", "d")


def _archive_key(node):
    return next(path for path in node.gateway.resources if path[:2] == _ARCHIVE_PATH)


def _download(node) -> None:
    node.updater.start(NEW_URI)
    run(node.updater.download())


def test_release_is_downloaded_installed_tried_and_confirmed():
    node = Node()
    _download(node)
    assert node.updater.package_version == "1.4.0"
    assert node.release_in(1) is None
    run(node.updater.install())
    assert node.release_in(1) == "new"
    assert node.release_in(0) == "old"
    assert not [path for path in node.flash.files if path.startswith("data/")]
    assert boot.choose_slot(node.flash, boot.is_whole) == 1
    node.start_on(1)
    assert node.updater.state == numbers.STATE_UPDATING
    node.slots.confirm()
    assert node.changes == [
        (numbers.STATE_DOWNLOADING, 0),
        (numbers.STATE_DOWNLOADED, 0),
        (numbers.STATE_UPDATING, 0),
    ]
    assert boot.choose_slot(node.flash, boot.is_whole) == 1
    node.start_on(1)
    assert (node.updater.state, node.updater.result) == (0, numbers.RESULT_SUCCESS)


def test_rejected_release_returns_to_the_old_slot_with_its_reason():
    node = Node()
    node.update()
    assert boot.choose_slot(node.flash, boot.is_whole) == 1
    node.start_on(1)
    node.slots.reject("heap is below its limit")
    assert boot.choose_slot(node.flash, boot.is_whole) == 0
    node.start_on(0)
    assert (node.updater.state, node.updater.result) == (0, numbers.RESULT_FAILED)
    assert node.slots.failure == "heap is below its limit"
    _download(node)
    assert node.updater.state == numbers.STATE_DOWNLOADED
    assert node.slots.failure == ""


def test_lost_link_is_a_result_and_the_next_try_goes_on_at_the_block():
    node = Node()
    node.gateway.lose_at = 3  # the envelope and two blocks of the archive
    _download(node)
    assert (node.updater.state, node.updater.result) == (0, numbers.RESULT_LINK_LOST)
    assert "OSError" in node.slots.failure
    del node.gateway.served_blocks[:]
    _download(node)
    assert node.updater.state == numbers.STATE_DOWNLOADED
    assert node.gateway.served_blocks == [("r", 0), ("a", 1), ("a", 2)]


def test_a_download_has_an_end_and_the_next_try_goes_on_at_the_block():
    node = Node()
    node.gateway.lose_at = 3

    class Asyncio:
        patience_s = 0.001

        async def wait_for_ms(self, coroutine, timeout_ms):
            assert timeout_ms == 4 * 3_600_000
            await asyncio.wait_for(coroutine, self.patience_s)

    async def trickle(path, sink, *, start_block):
        try:
            await node.gateway.fetch(path, sink, start_block=start_block)
        except OSError:
            await asyncio.sleep(3600)

    updater.asyncio = Asyncio()
    node.updater._fetch = trickle
    node.updater.start(NEW_URI)
    asyncio.run(node.updater.download())
    assert (node.updater.state, node.updater.result) == (0, numbers.RESULT_LINK_LOST)
    assert "Timeout" in node.slots.failure
    node.start_on(0)
    del node.gateway.served_blocks[:]
    updater.asyncio.patience_s = 60
    node.updater.start(NEW_URI)
    asyncio.run(node.updater.download())
    assert node.updater.state == numbers.STATE_DOWNLOADED
    assert node.gateway.served_blocks == [("r", 0), ("a", 1), ("a", 2)]


def test_bundle_that_is_in_the_other_slot_is_not_fetched_again():
    node = Node()
    node.update()
    boot.choose_slot(node.flash, boot.is_whole)
    boot.choose_slot(node.flash, boot.is_whole)
    node.start_on(0)  # it was not confirmed, and is offered again
    del node.gateway.served_blocks[:]
    node.update()
    assert node.gateway.served_blocks == [("r", 0)]
    assert node.release_in(1) == "new"
    assert boot.choose_slot(node.flash, boot.is_whole) == 1
    node.flash.files["slot_b/bundle"] = VECTORS["new"]["bundle"][:-1]
    boot.choose_slot(node.flash, boot.is_whole)
    node.start_on(0)
    node.update()
    assert node.release_in(1) == "new"
    assert ("a", 0) in node.gateway.served_blocks


def test_what_is_left_of_an_archive_and_bad_is_fetched_anew():
    node = Node()
    node.gateway.lose_at = 2
    _download(node)
    path = next(path for path in node.flash.files if path.startswith("data/"))
    node.flash.files[path] = bytes(2 * 1024)
    _download(node)
    assert node.updater.state == numbers.STATE_DOWNLOADED


def test_archives_of_other_releases_are_removed():
    node = Node()
    node.flash.files["data/update-0123456789abcdef"] = bytes(5000)
    node.flash.files["data/reports.log"] = b"kept"
    _download(node)
    left = sorted(path for path in node.flash.files if path.startswith("data/"))
    assert len(left) == 2
    assert left[0] == "data/reports.log"


def test_altered_cut_or_stuffed_archive_is_refused():
    good = VECTORS["new"]["archive"]
    altered = bytearray(good)
    altered[len(good) // 2] ^= 1
    for archive in (bytes(altered), good[:-1], good[:1024], b"\xff" * 100, b"", good + bytes(9000)):
        node = Node()
        node.gateway.resources[_archive_key(node)] = archive
        _download(node)
        assert node.updater.state == numbers.STATE_IDLE
        assert node.updater.result in (numbers.RESULT_INTEGRITY, numbers.RESULT_NO_FLASH)
        assert node.release_in(0) == "old"
        assert not [path for path in node.flash.files if path.startswith("slot_b/")]


def test_envelope_that_is_not_the_one_named_is_refused():
    for envelope in (VECTORS["old"]["envelope"], b"", bytes(5000)):
        node = Node()
        node.gateway.resources[("r", NEW_URI[-64:])] = envelope
        _download(node)
        assert node.updater.result in (numbers.RESULT_INTEGRITY, numbers.RESULT_NO_FLASH)


def test_release_signed_by_nobody_we_trust_is_refused():
    node = Node()
    node.updater._trust = Trust(bytes(32), 1)
    _download(node)
    assert node.updater.result == numbers.RESULT_INTEGRITY
    assert node.slots.failure == "not signed by enough trusted keys"


def test_running_release_is_not_installed_again():
    node = Node()
    node.start_on(1)
    _download(node)
    assert node.updater.result == numbers.RESULT_UNSUPPORTED_PACKAGE
    assert node.slots.failure == "sequence 4 is not above 4"


def test_full_flash_is_told_before_the_download():
    node = Node()
    node.flash._room_bytes = 8000
    _download(node)
    assert node.updater.result == numbers.RESULT_NO_FLASH
    assert [path for path, _ in node.gateway.served_blocks] == ["r"]


def test_empty_uri_gives_up_a_download_under_way():
    node = Node()
    node.updater.start(NEW_URI)
    fetch = node.gateway.fetch

    async def fetch_and_give_up(path, sink, *, start_block):
        if path[0] == "a":
            node.updater.start("")
        await fetch(path, sink, start_block=start_block)

    node.updater._fetch = fetch_and_give_up
    run(node.updater.download())
    assert (node.updater.state, node.updater.result) == (0, 0)
    refusal_of(run, node.updater.install())


def test_same_uri_again_changes_nothing():
    node = Node()
    _download(node)
    changes = len(node.changes)
    node.updater.start(NEW_URI)
    assert node.updater.state == numbers.STATE_DOWNLOADED
    assert len(node.changes) == changes


def test_update_on_trial_is_not_overwritten_by_another():
    node = Node()
    node.update()
    boot.choose_slot(node.flash, boot.is_whole)
    node.start_on(1)
    refusal_of(node.updater.start, NEW_URI)
    assert node.release_in(0) == "old"
