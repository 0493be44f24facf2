"""The simulated board: the unix port of MicroPython, a link of the host, models for peripherals.

Not a model of the chip's memory or flash: the heap size is the interpreter's, the flash is the
virtual board's. The models ask `surroundings`, a module of the virtual board, for what is around.
Contract: `node.board`.
"""

import asyncio
import os
import random
import socket
import struct
import sys
import time

import esp32
import surroundings  # type: ignore[import-not-found]
from micropython import const

from node.board.udp import Transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SOCKADDR_IN6_BYTES = const(28)  # struct sockaddr_in6; struct sockaddr_in has 16
_FAMILY_INET6 = const(10)
_DATAGRAM = const(2)
_STANDBY_MW = const(400)
_AIR_HEADER = "<4sHI"
_AIR_RECORD = "<hHH"
_AIR_HEADER_BYTES = const(10)
_AIR_RECORD_BYTES = const(6)


class Board:
    """A pole's node in a process; see `node.board` for the contract."""

    NAME = "sim"
    Partition = esp32.Partition

    def __init__(self) -> None:
        self._started_ms = time.ticks_ms()
        self._unix_offset_s = 0
        self._level_permille = 0
        self._nominal_mw: int = surroundings.setting("lamp_nominal_w") * 1000
        self._energy_muj = 0  # thousandths of a joule: mW times s
        self._metered_at_s = 0
        self._watchdog: Any = None
        self._timeout = b""
        self._button: Any = None
        seed = surroundings.setting("seed")
        random.seed(seed)
        # Neighbouring seeds stand at unrelated hours of the series.
        self._air_offset_records = (seed * 2654435761) & 0xFFFF

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
        """Give the seconds since boot."""
        return time.ticks_diff(time.ticks_ms(), self._started_ms) // 1000

    def unix_s(self) -> int:
        """Give Unix time, 0 while it is unknown."""
        return self.monotonic_s() + self._unix_offset_s if self._unix_offset_s else 0

    def set_unix_s(self, now: int) -> None:
        """Set the clock."""
        self._unix_offset_s = now - self.monotonic_s()

    def random_bytes(self, count: int) -> bytes:
        """Give bytes fit for keys and nonces."""
        return os.urandom(count)

    async def connect(self) -> None:
        """Join the network: the host is on it."""

    def open_transport(self, host: str, port: int) -> "tuple[Transport, Any]":
        """Open a socket that reaches the host over the board's link.

        Raises:
            OSError: The name does not resolve or there is no socket; try again later.
        """
        host, port = surroundings.route(host, port)
        address = bytes(socket.getaddrinfo(host, port, 0, _DATAGRAM)[0][-1])  # type: ignore[arg-type]
        is_inet6 = len(address) == _SOCKADDR_IN6_BYTES
        sock = socket.socket(_FAMILY_INET6 if is_inet6 else socket.AF_INET, _DATAGRAM)
        sock.setblocking(False)
        # Bound, so that the port is the same from the first datagram on.
        any_host = "::" if is_inet6 else "0.0.0.0"  # noqa: S104
        sock.bind(socket.getaddrinfo(any_host, 0, 0, _DATAGRAM)[0][-1])
        return Transport(sock), address

    def set_lamp(self, level_permille: int) -> None:
        """Drive the lamp."""
        self._meter()
        self._level_permille = level_permille
        surroundings.lamp(level_permille)

    async def button_press(self) -> None:
        """Wait for the next press: the board host sends a byte for each, if it gave us a socket."""
        if self._button is None:
            descriptor = os.getenv("POLEWARD_BUTTON_FD") or ""
            if not descriptor:
                await asyncio.Event().wait()
            self._button = asyncio.StreamReader(open(int(descriptor), "rb"))
        await self._button.read(1)

    def set_beacon(self, is_on: bool) -> None:
        """Switch the light at the emergency call button: nobody looks at it here."""

    def read_meter(self) -> "tuple[Any, Any, Any, Any]":
        """Measure voltage (mV), current (mA), active power (mW) and power factor (thousandths)."""
        self._meter()
        voltage_mv = 230000 + random.randint(-1500, 1500)
        power_mw = self._power_mw()
        power_mw += power_mw * random.randint(-4, 4) // 1000
        # A driver's power factor falls off at low dimming levels, and is poor on standby.
        missing = 1000 - self._level_permille
        power_factor_permille = 980 - missing * missing // 2500 if power_mw > _STANDBY_MW else 450
        current_ma = power_mw * 1000000 // (voltage_mv * power_factor_permille)
        return voltage_mv, current_ma, power_mw, power_factor_permille

    def energy_mwh(self) -> "int | None":
        """Give the energy drawn since power came on."""
        self._meter()
        return self._energy_muj // 3600

    def read_air(self) -> "tuple[Any, Any, Any, Any]":
        """Measure temperature, humidity, PM2.5 and light in thousandths; the first three are real.

        They are the series' values between its hours.

        Raises:
            OSError: There is no series around this board.
        """
        header = surroundings.air(0, _AIR_HEADER_BYTES)
        if header[:4] != b"PWAS":
            raise OSError(22)
        _, _, count = struct.unpack(_AIR_HEADER, header)
        step_s = surroundings.setting("air_seconds_per_hour")
        now_s = self.unix_s() or self.monotonic_s()
        first = (now_s // step_s + self._air_offset_records) % count
        start = _AIR_HEADER_BYTES + first * _AIR_RECORD_BYTES
        records = surroundings.air(start, 2 * _AIR_RECORD_BYTES)
        before = struct.unpack(_AIR_RECORD, records[:_AIR_RECORD_BYTES])
        after = records[_AIR_RECORD_BYTES:]
        after = struct.unpack(_AIR_RECORD, after) if after else before
        done = now_s % step_s
        temperature, humidity, pm25 = (
            before[i] + (after[i] - before[i]) * done // step_s for i in range(3)
        )
        return (
            temperature * 10 + random.randint(-50, 50),
            min(100000, max(0, humidity * 10 + random.randint(-200, 200))),
            max(0, pm25 * 100 + random.randint(-500, 500)),
            surroundings.setting("illuminance_lx") * random.randint(990, 1010),
        )

    def start_watchdog(self, timeout_ms: int) -> None:
        """Start the watchdog: the board host's, when it gave this process a pipe to feed."""
        descriptor = os.getenv("POLEWARD_WATCHDOG_FD")
        if descriptor:
            self._watchdog = open(int(descriptor), "wb")
            self._timeout = struct.pack("<I", timeout_ms)
            self.feed_watchdog()

    def feed_watchdog(self) -> None:
        """Tell the watchdog that all is well."""
        if self._watchdog:
            self._watchdog.write(self._timeout)

    def reset_cause(self) -> str:
        """Tell why the node booted, as the board host said it."""
        return sys.argv[2] if len(sys.argv) > 2 else "power_on"

    def reset(self) -> None:
        """Leave with the code that makes the board host boot the node again."""
        sys.exit(3)

    def _power_mw(self) -> int:
        if not self._level_permille or surroundings.setting("lamp_is_broken"):
            return _STANDBY_MW
        # The driver itself takes about 3 % whatever the level.
        return self._nominal_mw * (30 + 97 * self._level_permille // 100) // 1000

    def _meter(self) -> None:
        now = self.monotonic_s()
        self._energy_muj += self._power_mw() * (now - self._metered_at_s)
        self._metered_at_s = now
