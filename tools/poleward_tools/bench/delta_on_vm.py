"""Builds a component from a patch on the MicroPython VM; never imported.

Run as `micropython delta_on_vm.py MODULES PLACE DIGEST SIZE RUNS FREE_HEAP`; prints the times in
milliseconds as JSON. FREE_HEAP 0 leaves the heap as it is.
"""

# mypy: ignore-errors
import gc
import json
import sys
import time

modules, place, digest, size_bytes, runs, free_bytes = sys.argv[1:]
sys.path[:] = [modules, ".frozen"]

from node.ota import patch  # noqa: F401 - loaded before anything is counted
from node.ota.component import PIECE_BYTES, Component
from node.ota.release import Part

_BALLAST_BYTES = 128


def _build(part):
    source = open(place + "/source", "rb")
    with Component(place + "/patch", part, source) as component:
        while component.left_bytes:
            component.read(min(PIECE_BYTES, component.left_bytes))
        component.check_whole()


def main():
    """Build as often as asked, and print how long each took."""
    part = Part(bytes.fromhex(digest), int(size_bytes))
    gc.collect()
    ballast = []
    # In small pieces, so that what is left lies at the end and in one piece.
    while free_bytes != "0" and gc.mem_free() > int(free_bytes):
        ballast.append(bytearray(_BALLAST_BYTES))
    times_ms = []
    for _ in range(int(runs)):
        started = time.ticks_us()
        _build(part)
        times_ms.append(time.ticks_diff(time.ticks_us(), started) // 10 / 100)
    sys.stdout.write(json.dumps(times_ms))


main()
