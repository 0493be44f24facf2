"""What a node must not take from its gateway: it says why, and nothing has changed.

Not bytes that were altered: test_suit_vm.py, test_updater_vm.py and test_patch_vm.py.
"""

import hashlib

from release_fixture import NEW_COMPONENT, NEW_URI, PATCH_PATH, VECTORS, Node, run

from node.ota.trust import Trust
from nodelink import firmware_update as numbers

_OLD_ENVELOPE = VECTORS["old"]["envelope"]
_OLD_DIGEST = hashlib.sha256(_OLD_ENVELOPE).digest().hex()
# More than anything here may have.
_MANY_BLOCKS = 5000


def _check_refused(node, uri, result, reason):
    """Offer a release and see that the node says why it refuses it and stays as it is."""
    node.updater.start(uri)
    run(node.updater.download())
    assert (node.updater.state, node.updater.result) == (numbers.STATE_IDLE, result)
    assert node.slots.failure == reason
    assert node.release_in(0) == "old"
    for path in node.flash.files:
        assert not path.startswith("slot_b/"), path
        assert not path.startswith("data/"), path


def _make_endless(node, kind):
    """Have the gateway never stop sending what is asked for as `kind`."""
    fetch = node.gateway.fetch

    async def fetch_endless(path, sink, *, start_block):
        if path[: len(kind)] != kind:
            await fetch(path, sink, start_block=start_block)
            return
        for _ in range(_MANY_BLOCKS):
            sink.write(memoryview(bytearray(1024)))
        raise AssertionError("the node takes everything")

    node.updater._fetch = fetch_endless


def test_component_of_another_release_is_refused():
    node = Node()
    node.gateway.resources[("a", "d", NEW_COMPONENT)] = VECTORS["old"]["archive"]
    _check_refused(
        node, NEW_URI, numbers.RESULT_INTEGRITY, "component does not have the signed digest"
    )


def test_older_release_is_refused_before_its_component_is_fetched():
    node = Node()
    node.updater._sequence = VECTORS["new"]["sequence"]
    node.gateway.resources[("r", _OLD_DIGEST)] = _OLD_ENVELOPE
    _check_refused(
        node,
        "coap:///r/" + _OLD_DIGEST,
        numbers.RESULT_UNSUPPORTED_PACKAGE,
        "sequence 3 is not above 4",
    )
    assert [path for path, _ in node.gateway.served_blocks] == ["r"]


def test_older_envelope_in_place_of_the_one_named_is_refused():
    node = Node()
    node.gateway.resources[("r", NEW_URI[-64:])] = _OLD_ENVELOPE
    _check_refused(node, NEW_URI, numbers.RESULT_INTEGRITY, "envelope is not the one named")


def test_release_for_another_class_is_refused_before_its_component_is_fetched():
    node = Node()
    node.updater._class_id = bytes(16)
    _check_refused(
        node, NEW_URI, numbers.RESULT_UNSUPPORTED_PACKAGE, "release is for another board class"
    )
    assert [path for path, _ in node.gateway.served_blocks] == ["r"]


def test_one_signature_is_refused_where_two_are_asked_for():
    node = Node()
    node.updater._trust = Trust(bytes.fromhex(VECTORS["trusted_keys"]), 2)
    _check_refused(node, NEW_URI, numbers.RESULT_INTEGRITY, "not signed by enough trusted keys")


def test_endless_envelope_is_given_up():
    node = Node()
    _make_endless(node, ("r",))
    _check_refused(node, NEW_URI, numbers.RESULT_NO_FLASH, "envelope is too big")


def test_endless_component_is_given_up():
    node = Node()
    _make_endless(node, ("a", "d"))
    _check_refused(node, NEW_URI, numbers.RESULT_NO_FLASH, "archive is bigger than it may be")
    node.updater._fetch = node.gateway.fetch
    node.update()
    assert node.release_in(1) == "new"


def test_endless_patch_gives_way_to_the_whole():
    node = Node(has_patch=True)
    _make_endless(node, PATCH_PATH)
    node.update()
    assert node.release_in(1) == "new"
    assert node.release_in(0) == "old"
