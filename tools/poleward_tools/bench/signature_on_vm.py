"""Verifies an envelope on the MicroPython VM and prints the times as JSON; never imported.

Run as `micropython signature_on_vm.py PLACE PUBLIC_KEY CLASS_ID`.
"""

# mypy: ignore-errors
import asyncio
import gc
import json
import sys
import time

place, public_key, class_id = sys.argv[1:]
sys.path[:] = [place, ".frozen"]

from node.ota import suit
from node.ota.trust import Trust

_RUNS = 11


def main():
    """Verify as often as it takes for a median."""
    with open(place + "/envelope", "rb") as file:
        envelope = file.read()
    trust = Trust(bytes.fromhex(public_key), 1)
    times_ms = []
    for _ in range(_RUNS):
        gc.collect()
        started = time.ticks_us()
        asyncio.run(suit.verify(envelope, trust, bytes.fromhex(class_id), 0))
        times_ms.append(time.ticks_diff(time.ticks_us(), started) // 10 / 100)
    print(json.dumps(times_ms))


main()
