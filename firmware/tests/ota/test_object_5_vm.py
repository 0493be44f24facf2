"""Object 5 as a table: each operation in each state (OMA LwM2M TS Core 1.1, E.6).

Not why a download fails: test_updater_vm.py and test_refused_artefacts_vm.py.
"""

import boot
from release_fixture import NEW_URI, VECTORS, Node, run

from node.lwm2m.objects.firmware_update import FirmwareUpdate
from node.lwm2m.refusal import STATE, VALUE, RefusedError
from node.ota.trust import Trust
from node.updates import Updates
from nodelink import firmware_update as numbers

IDLE, DOWNLOADING = numbers.STATE_IDLE, numbers.STATE_DOWNLOADING
DOWNLOADED, UPDATING = numbers.STATE_DOWNLOADED, numbers.STATE_UPDATING
STATES = (IDLE, DOWNLOADING, DOWNLOADED, UPDATING)
DONE = None
OTHER_URI = "coap:///r/" + "00" * 32
# Refusal, state and result after an operation.
BEGUN, RESET = (DONE, DOWNLOADING, 0), (DONE, IDLE, 0)
NOT_NOW = (STATE, UPDATING, 0)


def nothing():
    """Somebody else is told."""
    return ""


def restarted(node):
    """Give object 5 of a node that has just started."""
    trust = Trust(bytes.fromhex(VECTORS["trusted_keys"]), 1)
    return FirmwareUpdate(
        Updates(
            node.slots, node.gateway.fetch, trust, "pole-basic", 3, nothing, nothing, nothing
        )
    )  # fmt: skip


def boot_up(node):
    """Start the application of the slot that boot.py chooses; both are whole."""
    node.start_on(boot.choose_slot(node.flash, lambda slot: True))


def in_state(state):
    """Give a node, and its object 5 in a state."""
    node = Node()
    if state == UPDATING:
        # As if the other slot had just been written.
        node.slots.begin_trial()
        boot_up(node)
        return node, restarted(node)
    shown = restarted(node)
    if state != IDLE:
        shown.write({1: NEW_URI})
    if state == DOWNLOADED:
        run(shown._updates._updater.download())
    assert (shown.read(3), shown.read(5)) == (state, 0)
    return node, shown


def try_each(does, *outcomes):
    """Do something in each state and compare what follows."""
    for state, outcome in zip(STATES, outcomes):
        _, shown = in_state(state)
        refusal = DONE
        try:
            does(shown)
        except RefusedError as error:
            refusal = error.args[0]
        assert (refusal, shown.read(3), shown.read(5)) == outcome, (state, outcome)


def test_package_uri():
    try_each(lambda shown: shown.write({1: OTHER_URI}), BEGUN, BEGUN, BEGUN, NOT_NOW)
    # What is downloaded is not downloaded again.
    same = (DONE, DOWNLOADED, 0)
    try_each(lambda shown: shown.write({1: NEW_URI}), BEGUN, BEGUN, same, NOT_NOW)


def test_package_uri_that_is_of_no_use():
    bad, foreign = numbers.RESULT_BAD_URI, numbers.RESULT_PROTOCOL
    for uri, result in (
        ("coap://elsewhere/r/" + "00" * 32, bad),
        ("coap:///r/" + "00" * 31, bad),
        ("coap:///r/" + "zz" * 32, bad),
        ("coap:///a/d/" + "00" * 32, bad),
        ("r/00", bad),
        ("https://example.org/firmware", foreign),
        ("coaps:///r/" + "00" * 32, foreign),
    ):
        ended = (VALUE, IDLE, result)
        try_each(lambda shown, uri=uri: shown.write({1: uri}), ended, ended, ended, NOT_NOW)


def test_reset_by_an_empty_uri_or_package():
    for values in ({1: ""}, {0: b""}, {0: b"\0"}):
        try_each(
            lambda shown, values=values: shown.write(dict(values)), RESET, RESET, RESET, NOT_NOW
        )


def test_reset_removes_what_was_downloaded():
    for state in (DOWNLOADING, DOWNLOADED):
        node, shown = in_state(state)
        if state == DOWNLOADING:
            # It is reset in the middle, with some of it in flash.
            serve = node.gateway.fetch

            async def fetch(path, sink, *, start_block, serve=serve, shown=shown):
                await serve(path, sink, start_block=start_block)
                if path[0] == "a":
                    shown.write({1: ""})

            shown._updates._updater._fetch = fetch
            run(shown._updates._updater.download())
        else:
            shown.write({1: ""})
        assert not [path for path in node.flash.files if path.startswith("data/")]
        assert (shown.read(3), shown.read(5)) == (IDLE, 0)


def test_pushed_package_is_refused_and_changes_nothing():
    try_each(lambda shown: shown.write({0: b"package"}), *((VALUE, state, 0) for state in STATES))


def test_update_is_executable_only_when_downloaded():
    idle, downloading = (STATE, IDLE, 0), (STATE, DOWNLOADING, 0)
    # It begins when the answer has left.
    begun = (DONE, DOWNLOADED, 0)
    try_each(lambda shown: shown.execute(2, b""), idle, downloading, begun, NOT_NOW)


def test_delivery_is_pull_only():
    assert in_state(IDLE)[1].read(9) == 0


def test_restart_ends_a_download_and_keeps_a_result():
    for state in (IDLE, DOWNLOADING, DOWNLOADED):
        node, _ = in_state(state)
        node.start_on(0)
        shown = restarted(node)
        assert (shown.read(3), shown.read(5)) == (IDLE, 0), state
    node, _ = in_state(UPDATING)
    # Nobody confirmed it: the slot before runs again.
    boot_up(node)
    assert (restarted(node).read(3), restarted(node).read(5)) == (IDLE, numbers.RESULT_FAILED)
    node, _ = in_state(UPDATING)
    node.slots.confirm()
    boot_up(node)
    assert (restarted(node).read(3), restarted(node).read(5)) == (IDLE, numbers.RESULT_SUCCESS)


def test_what_ends_a_download_has_its_result():
    for error, result in (
        (MemoryError(), numbers.RESULT_NO_RAM),
        (OSError(110), numbers.RESULT_LINK_LOST),
        (OSError(28), numbers.RESULT_NO_FLASH),
    ):
        node, shown = in_state(DOWNLOADING)
        serve = node.gateway.fetch

        async def fetch(path, sink, *, start_block, serve=serve, error=error):
            if path[0] == "a":
                raise error
            await serve(path, sink, start_block=start_block)

        shown._updates._updater._fetch = fetch
        run(shown._updates._updater.download())
        assert (shown.read(3), shown.read(5)) == (IDLE, result)
        # The next one begins without it.
        shown.write({1: OTHER_URI})
        assert (shown.read(3), shown.read(5)) == (DOWNLOADING, 0)
