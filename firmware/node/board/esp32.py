"""The ESP32 board: its parts, and the chip's own storage, clock and watchdog.

Not for other ports: only here and in `parts` are the chip's modules imported. What this board has
no part for reads as None. Contract: `node.board`.
"""

import asyncio
import os
import socket
import time

import esp32
import machine
from micropython import const

from node.board.parts import Parts
from node.board.udp import Transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BUTTON_PIN = const(4)
_BEACON_PIN = const(16)
_BOUNCE_MS = const(30)
_EPOCH_2000_S = const(946684800)
_CLOCK_IS_SET_S = const(700000000)  # any time before 2022 (counted from 2000) means: never set


class Board:
    """A pole's node on an ESP32; see `node.board` for the contract."""

    NAME = "esp32"
    Partition = esp32.Partition

    def __init__(self) -> None:
        self._started_ms = time.ticks_ms()
        self._counted_ms = self._started_ms
        self._whole_s = 0
        self._parts = Parts(self.monotonic_s)
        self._beacon = machine.Pin(_BEACON_PIN, machine.Pin.OUT, value=0)
        self._pressed = asyncio.ThreadSafeFlag()
        self._button = machine.Pin(_BUTTON_PIN, machine.Pin.IN, machine.Pin.PULL_UP)
        self._button.irq(lambda _: self._pressed.set(), machine.Pin.IRQ_FALLING)
        self._watchdog: machine.WDT | None = None

    def open_nvs(self, namespace: str) -> "esp32.NVS":
        """Open a namespace of non-volatile storage."""
        return esp32.NVS(namespace)

    def ticks_ms(self) -> int:
        """Give wrapping milliseconds."""
        return time.ticks_ms()  # type: ignore[return-value]

    def ticks_diff(self, later: int, earlier: int) -> int:
        """Subtract two values of ticks_ms()."""
        return time.ticks_diff(later, earlier)

    def monotonic_s(self) -> int:
        """Give the seconds since boot; called at least once in six days, before ticks wrap."""
        whole = time.ticks_diff(time.ticks_ms(), self._counted_ms) // 1000
        self._counted_ms = time.ticks_add(self._counted_ms, whole * 1000)
        self._whole_s += whole
        return self._whole_s

    def unix_s(self) -> int:
        """Give Unix time, 0 while it is unknown."""
        now = int(time.time())  # the chip counts from 2000
        return now + _EPOCH_2000_S if now > _CLOCK_IS_SET_S else 0

    def set_unix_s(self, now: int) -> None:
        """Set the clock."""
        year, month, day, hour, minute, second, weekday, _ = time.gmtime(now - _EPOCH_2000_S)
        machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))

    def random_bytes(self, count: int) -> bytes:
        """Give bytes fit for keys and nonces."""
        return os.urandom(count)

    async def connect(self) -> None:
        """Join the network over the link the board has.

        Raises:
            OSError: It is not joined, or NVS lacks what the link needs; try again later.
        """
        await self._parts.link.connect()

    def open_transport(self, host: str, port: int) -> "tuple[Transport, Any]":
        """Open a socket that reaches the host.

        Raises:
            OSError: The name does not resolve or there is no socket; try again later.
        """
        family, _, _, _, address = socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM)[0]
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        return Transport(sock), address

    def set_lamp(self, level_permille: int) -> None:
        """Drive the lamp."""
        self._parts.lamp.set(level_permille)

    async def button_press(self) -> None:
        """Wait for the next press; a contact that is open again soon was only touched by noise."""
        while True:
            await self._pressed.wait()
            await asyncio.sleep_ms(_BOUNCE_MS)
            if not self._button.value():
                return

    def set_beacon(self, is_on: bool) -> None:
        """Switch the light at the emergency call button."""
        self._beacon.value(is_on)

    def read_meter(self) -> "tuple[Any, Any, Any, Any]":
        """Measure voltage (mV), current (mA), active power (mW) and power factor (thousandths).

        Raises:
            OSError: The meter does not answer.
        """
        meter = self._parts.meter
        return meter.read() if meter else (None, None, None, None)

    def energy_mwh(self) -> "int | None":
        """Give the energy drawn since power came on."""
        meter = self._parts.meter
        return meter.energy_mwh() if meter else None

    def read_air(self) -> "tuple[Any, Any, Any, Any]":
        """Measure temperature, humidity, PM2.5 and light in thousandths, as far as sensors can.

        Raises:
            OSError: A sensor does not answer; check its wiring.
        """
        found: list[Any] = [None, None, None, None]
        for sensor in self._parts.air:
            for number, value in enumerate(sensor.read()):
                if value is not None:
                    found[number] = value
        return found[0], found[1], found[2], found[3]

    def start_watchdog(self, timeout_ms: int) -> None:
        """Start the chip's watchdog; it cannot be stopped."""
        self._watchdog = machine.WDT(timeout=timeout_ms)

    def feed_watchdog(self) -> None:
        """Tell the watchdog that all is well."""
        if self._watchdog:
            self._watchdog.feed()

    def reset_cause(self) -> str:
        """Tell why the node booted."""
        cause = machine.reset_cause()
        if cause == machine.PWRON_RESET:
            return "power_on"
        return "watchdog" if cause == machine.WDT_RESET else "reset"

    def reset(self) -> None:
        """Reset the chip."""
        machine.reset()
