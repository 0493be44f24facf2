"""boot.py's choice of the slot, on both Pythons."""

import hashlib
import sys

import boot
from fake_flash import Flash, PowerCut
from fake_partitions import Partitions

from node.ota.slots import Slots


def _choose(flash, whole=(0, 1)) -> int:
    return boot.choose_slot(flash, lambda slot: slot in whole)


def test_new_node_boots_slot_a_and_counts():
    flash = Flash()
    assert _choose(flash, (0,)) == 0
    assert _choose(flash, (0,)) == 0
    assert flash.get_i32("count") == 2


def test_slot_on_trial_boots_once_and_returns():
    flash = Flash()
    slots = Slots(flash, 0)
    slots.begin_trial()
    assert _choose(flash) == 1
    assert Slots(flash, 1).is_on_trial
    assert not Slots(flash, 0).is_on_trial
    assert _choose(flash) == 0
    assert _choose(flash) == 0
    slots = Slots(flash, 0)
    assert not slots.is_on_trial
    assert (slots.result, slots.failure) == (8, "restarted before it was confirmed")


def test_reason_of_a_rejected_trial_is_kept():
    flash = Flash()
    Slots(flash, 0).begin_trial()
    assert _choose(flash) == 1
    Slots(flash, 1).reject("no gateway " + "é" * 100)
    assert _choose(flash) == 0
    assert Slots(flash, 0).failure.startswith("no gateway é")


def test_confirmed_slot_stays():
    flash = Flash()
    Slots(flash, 0).begin_trial()
    assert _choose(flash) == 1
    slots = Slots(flash, 1)
    slots.confirm()
    assert not slots.is_on_trial
    assert (slots.result, slots.failure) == (1, "")
    for _ in range(3):
        assert _choose(flash) == 1
    Slots(flash, 1).begin_trial()
    assert _choose(flash) == 0


def test_slot_that_is_not_whole_is_not_chosen():
    for confirmed in (0, 1):
        flash = Flash()
        flash.set_i32("slot", confirmed)
        assert _choose(flash, (1 - confirmed,)) == 1 - confirmed
        assert _choose(flash, (confirmed,)) == confirmed
    flash = Flash()
    Slots(flash, 0).begin_trial()
    assert _choose(flash, (0,)) == 0
    assert Slots(flash, 0).result == 8


def test_slot_is_whole_only_with_the_bundle_that_its_envelope_names():
    flash = Flash()
    boot.open = flash.open
    flash.set_i32("slot", 1)
    bundles = [bytes(range(256)) * 2, bytes(range(255, -1, -1)) * 3]
    envelopes = [b"old" + hashlib.sha256(bundles[0]).digest() + b"signed by us"]
    envelopes.append(b"new" + hashlib.sha256(bundles[1]).digest() + b"signed by us")
    for slot, name in enumerate(("slot_a", "slot_b")):
        flash.files[name + "/bundle"] = bundles[slot]
        flash.files[name + "/release.cbor"] = envelopes[slot]
    bundle, envelope = bundles[1], envelopes[1]
    damaged = [bundles[0], bundle[:-1], bundle[: len(bundle) // 2], bundle + b"\x00", b""]
    for at in range(0, len(bundle), 97):
        damaged.append(bundle[:at] + bytes((bundle[at] ^ 1,)) + bundle[at + 1 :])
    cases = [("slot_b/bundle", contents) for contents in damaged]
    for contents in (envelopes[0], envelope[:30], b"", bytes(4096) + envelope):
        cases.append(("slot_b/release.cbor", contents))
    for path, contents in cases:
        kept = flash.files[path]
        flash.files[path] = contents
        assert boot.choose_slot(flash, boot.is_whole) == 0, contents
        del flash.files[path]
        assert boot.choose_slot(flash, boot.is_whole) == 0, path
        flash.files[path] = kept
        assert boot.choose_slot(flash, boot.is_whole) == 1


def test_trial_after_a_fallback_returns_to_the_slot_that_ran():
    flash = Flash()
    assert _choose(flash, (1,)) == 1  # a is confirmed but not whole
    Slots(flash, 1).begin_trial()
    assert _choose(flash) == 0
    assert Slots(flash, 0).is_on_trial
    assert _choose(flash) == 1


def test_node_without_a_whole_slot_still_chooses_one():
    assert _choose(Flash(), ()) == 0


def test_nonsense_in_nvs_does_not_stop_the_boot():
    names = ("slot_a", "slot_b")
    for slot, trial, tries in ((7, 9, -1), (-1, -5, 2**31 - 1), (1, 2, 99), (1, 3, 0)):
        flash = Flash()
        flash.keys = {"slot": slot, "trial": trial, "tries": tries, "count": 2**31 - 1}
        for _ in range(2):
            assert boot.choose_slot(flash, lambda slot: names[slot] != "") == 1


class _Module:
    """Stands for one of the chip's modules."""


def _start(flash, whole):
    """Run boot.py on a chip; gives the slot that is mounted and the watchdogs that were started."""
    mounted, watchdogs = [], []
    chip = {"esp32": _Module(), "machine": _Module()}
    if flash is not None:
        chip["esp32"].NVS = lambda namespace: flash
        chip["esp32"].Partition = Partitions(flash, b"")
    chip["machine"].WDT = lambda timeout: watchdogs.append(timeout)
    before = {name: sys.modules.get(name) for name in chip}
    is_whole, mount, collector = boot.is_whole, boot.mount, boot.gc
    boot.is_whole = lambda slot: slot in whole
    boot.mount = mounted.append
    boot.gc = _Module()
    boot.gc.threshold = lambda count: None
    sys.modules.update(chip)
    try:
        boot.start()
        return mounted[0], watchdogs
    finally:
        boot.is_whole, boot.mount, boot.gc = is_whole, mount, collector
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def test_bundle_of_the_chosen_slot_is_mounted():
    flash = Flash()
    assert _start(flash, (0,)) == (0, [])
    flash.set_i32("slot", 1)
    assert _start(flash, (0, 1)) == (1, [])


def test_only_a_slot_on_trial_is_watched_from_the_boot_on():
    flash = Flash()
    Slots(flash, 0).begin_trial()
    assert _start(flash, (0, 1)) == (1, [120000])
    Slots(flash, 1).confirm()
    assert _start(flash, (0, 1)) == (1, [])


def test_node_whose_nvs_cannot_be_opened_boots_what_is_whole():
    assert _start(None, (0, 1)) == (0, [])
    assert _start(None, (1,)) == (1, [])


def test_power_cut_at_any_write_of_a_trial_leaves_a_slot_that_was_proven_or_on_trial():
    # Whatever the order of cuts, slot b counts as good only after confirm() got its write through.
    for action in ("begin", "boot", "confirm", "return"):
        cut_at = 0
        while True:
            flash = Flash()
            if action != "begin":
                Slots(flash, 0).begin_trial()
            if action in ("confirm", "return"):
                _choose(flash)
            flash.power_up(cut_at)
            try:
                if action == "begin":
                    Slots(flash, 0).begin_trial()
                elif action == "confirm":
                    Slots(flash, 1).confirm()
                else:
                    _choose(flash)
                was_cut = False
            except PowerCut:
                was_cut = True
            flash.power_up()
            is_confirmed = flash.keys.get("slot", 0) == 1
            first = _choose(flash)
            second = _choose(flash)
            assert second == (1 if is_confirmed else 0), (action, cut_at)
            assert action == "confirm" or not is_confirmed
            assert first == second or action in ("begin", "boot")
            if not was_cut:
                break
            cut_at += 1
