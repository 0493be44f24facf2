"""A node that asks for directives: what it takes from its gateway with them and without.

Not envelopes (test_suit_vm.py). The golden vectors are about the release "new".
"""

from refusals import refusal_of
from release_fixture import NEW_COMPONENT, NEW_URI, Node, run
from vm import vectors

from nodelink import firmware_update as numbers

_PATH = ("o",)
_GOLDEN = vectors.load("directive")


def _node(case):
    """Give a node that is offered the release "new" with a directive; None for without."""
    node = Node()
    trust = node.updater._trust
    trust.directive = [1, bytes.fromhex(_GOLDEN["directive_key"])]
    trust.mac = bytes.fromhex(_GOLDEN["mac"])
    trust.unix_s = lambda: node.now_s
    node.now_s = 0
    if case:
        node.now_s = case["now_s"]
        node.gateway.resources[_PATH] = bytes.fromhex(case["directive"])
    node.updater.start(NEW_URI)
    run(node.updater.download())
    return node


def _case(name):
    return next(case for case in _GOLDEN["cases"] if case["name"] == name)


def test_vectors_are_followed_or_refused_as_written():
    wrong = []
    for case in _GOLDEN["cases"]:
        node = _node(case)
        is_fetched = ("a", "d", NEW_COMPONENT) in [path for path, _ in node.gateway.served]
        if node.updater.result != case["result"] or is_fetched == bool(case["result"]):
            wrong.append((case["name"], node.updater.result, node.slots.failure))
    assert not wrong, wrong


def test_release_without_a_directive_is_refused_for_good():
    node = _node(None)
    assert (node.updater.state, node.updater.result) == (0, numbers.RESULT_INTEGRITY)
    assert node.slots.failure == "there is no directive"
    assert [path for path, _ in node.gateway.served_blocks] == ["r"]


def test_directive_that_ends_before_the_installation_stops_it():
    node = _node(_case("holds"))
    assert node.updater.state == numbers.STATE_DOWNLOADED
    node.now_s = 2_001
    refusal = refusal_of(run, node.updater.install())
    assert (refusal.result, refusal.reason) == (
        numbers.RESULT_DEFERRED,
        "directive does not hold now",
    )
    assert node.release_in(0) == "old"
    assert not [path for path in node.flash.files if path.startswith("slot_b/")]
    # The same release with a fresh one.
    node.now_s = 1_500
    node.update()
    assert node.release_in(1) == "new"
