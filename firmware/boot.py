"""Chooses the slot that runs; never replaced over the air.

Not a judge of releases: what is in a slot was verified when it was written, and whether it works
shows in its trial. The keys in NVS are described in node/ota/slots.py.
"""

import gc
import hashlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_NAMES = ("slot_a", "slot_b")
_MOUNT_POINTS = ("/a", "/b")  # node/ota/slots.py tells by it which slot runs
_TRIES = 1  # boots a slot on trial gets to have itself confirmed
# Collecting this often keeps what stays in one part of the heap. With 16 KiB, what is loaded and
# kept while garbage piles up leaves no 4 KiB in one piece for an update's DEFLATE window.
_GC_THRESHOLD_BYTES = 4096
_PIECE_BYTES = 2048
_ENVELOPE_MAX_BYTES = 4096
# A release on trial starts its own, shorter watchdog within this time or is reset.
_TRIAL_WATCHDOG_MS = 120000
_RESULT_SUCCESS, _RESULT_FAILED = 1, 8  # 5/0/5, OMA LwM2M TS Core 1.1, E.6


def choose_slot(nvs: "Any", is_whole: "Callable[[int], bool]", image: int = 0) -> int:
    """Choose 0 or 1, counting boots and ending a trial that was not confirmed.

    Args:
        nvs: namespace "boot".
        is_whole: tells of a slot whether everything is written.
        image: offset of the partition that runs.
    """

    def get(key: str) -> int:
        return read_integer(nvs, key)

    def put(key: str, value: int) -> None:
        nvs.set_i32(key, value)
        nvs.commit()

    put("count", (get("count") + 1) & 0x7FFFFFFF)
    slot = get("slot") & 1
    trial = get("trial")
    if trial and (trial - 1 == slot or trial not in (1, 2)):
        put("trial", 0)  # power failed between the two writes of a confirmation, or nonsense
    elif trial:
        tries, wanted = get("tries"), get("image")
        # Another image runs when the bootloader took the new one back, or never got to it.
        if wanted in (0, image) and tries < _TRIES and is_whole(trial - 1):
            put("tries", tries + 1)
            return trial - 1
        if wanted and wanted == image and get("result") == _RESULT_SUCCESS:
            # Power failed after the image was confirmed, before the slot was.
            slot = trial - 1
            put("slot", slot)
        else:
            if wanted and not tries:
                nvs.set_blob("failure", b"its image did not start")
            put("result", _RESULT_FAILED)
        put("trial", 0)
    return slot if is_whole(slot) or not is_whole(1 - slot) else 1 - slot


def read_integer(nvs: "Any", key: str) -> int:
    """Read a number, 0 when there is none."""
    try:
        return int(nvs.get_i32(key))
    except OSError:
        return 0


def is_whole(slot: int) -> bool:
    """Tell whether a slot holds the bundle whose digest is in the envelope beside it.

    The envelope is the last that is written into a slot, so one that was begun is not whole; nor
    is one that flash did not keep.
    """
    digest = hashlib.sha256()
    piece = memoryview(bytearray(_PIECE_BYTES))
    try:
        with open(_NAMES[slot] + "/bundle", "rb") as bundle:
            count = bundle.readinto(piece)
            while count:
                digest.update(piece[:count])
                count = bundle.readinto(piece)
        with open(_NAMES[slot] + "/release.cbor", "rb") as envelope:
            return digest.digest() in envelope.read(_ENVELOPE_MAX_BYTES)
    except OSError:
        return False


def start_watchdog() -> None:
    """See that a release on trial that hangs before it watches itself is reset."""
    try:
        from machine import WDT
    except ImportError:
        return  # a simulated node: its host ends what hangs
    WDT(timeout=_TRIAL_WATCHDOG_MS)


def start() -> None:
    """Mount the chosen slot first on the path; without NVS that is the one that is whole."""
    gc.threshold(_GC_THRESHOLD_BYTES)
    try:
        from esp32 import NVS, Partition

        nvs = NVS("boot")
        running: Any = Partition.RUNNING
        slot = choose_slot(nvs, is_whole, Partition(running).info()[2])
        if read_integer(nvs, "trial"):
            start_watchdog()
    except Exception as error:
        print("boot:", repr(error))
        slot = 0 if is_whole(0) else 1
    try:
        mount(slot)
    except Exception as error:
        print("boot:", repr(error))  # main.py finds no application and resets: a trial has failed


def mount(slot: int) -> None:
    """Make the modules of a slot's bundle the first that are found.

    Raises:
        OSError, ValueError, IndexError: there is none, or it has another form.
    """
    import vfs
    from slot_files import SlotFiles

    vfs.mount(SlotFiles(_NAMES[slot] + "/bundle"), _MOUNT_POINTS[slot])
    sys.path.insert(0, _MOUNT_POINTS[slot])


if __name__ == "__main__":
    start()
    # main.py shares these names; the heap behind them is the application's now.
    del choose_slot, is_whole, mount, read_integer, start, start_watchdog
