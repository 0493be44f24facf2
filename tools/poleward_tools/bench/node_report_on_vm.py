"""Runs one report on the MicroPython VM and prints its figures as JSON; never imported.

It measures nothing but the node: what making the gateway's answer costs is taken off again.
Run as `micropython node_report_on_vm.py SLOT`.
"""

# mypy: ignore-errors
import asyncio
import gc
import json
import sys
import time

sys.path[:] = [sys.argv[1], ".frozen"]

import micropython

from node.coap import message
from node.coap.clock import TickClock
from node.coap.endpoint import Endpoint
from node.codec import options as coap_options
from node.lwm2m.objects.electrical import Electrical
from node.lwm2m.objects.lamp import Lamp
from node.lwm2m.objects.measurements import AirQuality, Humidity, Temperature
from node.lwm2m.reports import PROFILES, Reporter, stamp
from node.lwm2m.values import FORMAT_SENML_CBOR
from node.oscore import protect
from node.oscore.context import SecurityContext
from node.store.report_queue import HEADER_BYTES

_PROFILE = "pole-basic"
_UNIX_S = 1_760_000_000
_RUNS = 51
_BLOCK_BYTES = 32  # of the heap, 64-bit build
_SECRET = bytes(range(16))
_SALT = bytes(range(8))
_NODE_ID = b"\x02\x9a"  # node 666
_GATEWAY_ID = b"\x00"
_SEQUENCE = 70_000  # three bytes of Partial IV, as after some weeks


class Controller:
    """A lamp at 80 %."""

    level_permille = 800


class Storage:
    """Holds nothing."""

    def get_i32(self, key):
        """Have no such key."""
        raise OSError(2)


class Report:
    """Object 26241 as the reporter needs it."""

    boot_count = 12
    sequence = 4711
    dropped = 0
    made_before = None

    def count(self):
        """Take the next number."""
        self.sequence += 1


class Dispatcher:
    """Gives objects that have plausible values, none of them a round number."""

    def __init__(self):
        electrical = Electrical()
        electrical.put(230_412, 391, 85_321, 947, 123_456_789)
        temperature, humidity, air = Temperature(), Humidity(), AirQuality()
        temperature.value, humidity.value, air.value = -1_250, 67_100, 35_300
        lamp = Lamp(Controller(), Storage())
        self._things = {each.ID: each for each in (lamp, electrical, temperature, humidity, air)}
        # Illuminance: as long as any other float.
        self._things[3301] = humidity

    def thing(self, object_id):
        """Give an object."""
        return self._things[object_id]


class Gateway:
    """A transport whose other end answers at once; `away_*` is what that takes."""

    def __init__(self):
        self.context = SecurityContext(_SECRET, _SALT, _GATEWAY_ID, _NODE_ID)
        self.wire_bytes = 0
        self.away_us = 0
        self.away_bytes = 0
        self._buffer = bytearray(256)
        self._answer = b""
        self._arrived = asyncio.Event()

    def send(self, view, address):
        """Take a report and have the answer ready."""
        began_at = time.ticks_us()
        before = gc.mem_alloc()
        self.wire_bytes = len(view)
        received = message.decode(view)
        option = coap_options.find(received.options, coap_options.OSCORE)
        partial_iv, _, _ = protect.read_option(option)
        code, options, payload, binding = protect.unprotect_request(
            self.context, partial_iv, received.payload
        )
        assert code == message.POST
        code, options, payload = protect.protect_response(
            self.context, binding, message.CHANGED, [], b""
        )
        self._answer = message.encode(
            self._buffer, message.ACKNOWLEDGEMENT, code, received.message_id, received.token,
            options, payload,
        )  # fmt: skip
        self._arrived.set()
        self.away_bytes += gc.mem_alloc() - before
        self.away_us += time.ticks_diff(time.ticks_us(), began_at)

    async def receive_into(self, buffer):
        """Give the answer."""
        await self._arrived.wait()
        self._arrived.clear()
        buffer[: len(self._answer)] = self._answer
        return len(self._answer), "gateway"


def blocks_of_encoding(reporter):
    """Return how many heap blocks encoding takes; a locked heap has the last word on 0."""
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    reporter.encode(0)
    taken = gc.mem_alloc() - before
    gc.enable()
    try:
        micropython.heap_lock()
        reporter.encode(0)
    except MemoryError:
        return max(1, taken // _BLOCK_BYTES)
    finally:
        micropython.heap_unlock()
    return 0


async def nobody(request):
    """Answer requests that do not come."""
    return message.Response(message.NOT_FOUND)


async def main():
    """Measure and print."""
    gateway = Gateway()
    counter = 0

    def random_bytes(count):
        nonlocal counter
        counter += 1
        return (counter * 40503 & (1 << 8 * count) - 1).to_bytes(count, "big")

    endpoint = Endpoint(gateway, TickClock(), random_bytes, nobody)
    context = SecurityContext(_SECRET, _SALT, _NODE_ID, _GATEWAY_ID, sequence=_SEQUENCE)
    endpoint.add_context(context)
    running = asyncio.create_task(endpoint.run())
    await asyncio.sleep(0)
    reporter = Reporter(_PROFILE, Dispatcher(), Report(), lambda: 1, lambda: _UNIX_S)

    async def report():
        payload = bytearray(reporter.take(0)[HEADER_BYTES:])
        stamp(payload, _UNIX_S)
        response = await endpoint.request(
            "gateway", context, message.POST, ("dp",), payload=payload,
            content_format=FORMAT_SENML_CBOR,
        )  # fmt: skip
        assert response.code == message.CHANGED
        return len(payload)

    payload_bytes = await report()
    spent_us = []
    peak_bytes = 0
    for _ in range(_RUNS):
        gc.collect()
        gc.disable()
        gateway.away_us = gateway.away_bytes = 0
        before = gc.mem_alloc()
        began_at = time.ticks_us()
        await report()
        spent_us.append(time.ticks_diff(time.ticks_us(), began_at) - gateway.away_us)
        peak_bytes = max(peak_bytes, gc.mem_alloc() - before - gateway.away_bytes)
        gc.enable()
    spent_us.sort()
    figures = {
        "wire_bytes": gateway.wire_bytes,
        "payload_bytes": payload_bytes,
        "readings": len(PROFILES[_PROFILE]),
        "cpu_ms": round(spent_us[_RUNS // 2] / 1000, 3),
        "heap_peak_bytes": peak_bytes,
        "allocations_hot_path": blocks_of_encoding(reporter),
    }
    sys.stdout.write(json.dumps(figures))
    running.cancel()


asyncio.run(main())
