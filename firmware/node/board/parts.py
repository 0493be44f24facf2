"""What this board is put together from: makes the parts that NVS names, on the pins they have.

Not how a part works; that is in `drivers`. Namespace "board", key "parts" in NVS names them, for
example "lan,dimmer,dlt645,sht3x,pms"; without it "wifi,pwm,sht3x". A name that is not known, or
whose driver is not in the release, is reported on the console and left out: the lamp must burn.
"""

import esp32
import machine
import network
from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_USUAL = "wifi,pwm,sht3x"
_LAMPS = ("pwm", "dimmer")
_MAX_SETTING_BYTES = const(64)
_LAMP_HZ = const(1000)
_POLL_MS = const(250)
_UART_BUFFER_BYTES = const(512)

_LAMP_PIN = const(18)
_SECOND_UART, _SECOND_TX_PIN, _SECOND_RX_PIN = 1, 33, 35
_SDA_PIN, _SCL_PIN = 21, 22
# The Ethernet interface of the chip has 0, 19, 21, 22 and 25 to 27 for itself (ESP32 data sheet,
# table "Peripheral Pin Configurations", EMAC).
_SDA_PIN_BESIDE_LAN, _SCL_PIN_BESIDE_LAN = 13, 14


class Parts:
    """The parts of this board, and what drivers make them from.

    Attributes:
        link: joins the network.
        lamp: drives the lamp.
        meter: reads the meter, None without one.
        air: the sensors around.
        polled: parts that have to be asked often.
        now_s: gives the seconds since boot.
        machine, network: the chip's modules.
    """

    machine: "Any" = machine
    network: "Any" = network

    def __init__(self, now_s: "Any") -> None:
        try:
            names = setting("board", "parts").split(",")
        except (OSError, ValueError):
            names = _USUAL.split(",")
        self.link: Any = None
        self.lamp: Any = None
        self.meter: Any = None
        self.air: list[Any] = []
        self.polled: list[Any] = []
        self.now_s = now_s
        self._has_lan = "lan" in names
        self._is_second_uart_taken = False
        # The lamp last: it is dark from then on until it gets its level, which is what comes next.
        for is_lamp in (False, True):
            for name in names:
                if (name in _LAMPS) is is_lamp:
                    self._add(name)
        if self.lamp is None:
            self._add("pwm")
        if self.link is None:
            self._add("wifi")
        if self.polled:
            self._timer = machine.Timer(0, period=_POLL_MS, callback=self._poll)

    def lamp_pwm(self) -> "machine.PWM":
        """Give the pulse width that the lamp follows."""
        return machine.PWM(machine.Pin(_LAMP_PIN), freq=_LAMP_HZ, duty_u16=0)

    def i2c(self) -> "machine.I2C":
        """Give the bus of the sensors."""
        sda, scl = _SDA_PIN, _SCL_PIN
        if self._has_lan:
            sda, scl = _SDA_PIN_BESIDE_LAN, _SCL_PIN_BESIDE_LAN
        return machine.I2C(0, scl=machine.Pin(scl), sda=machine.Pin(sda))

    def second_uart(self, baud: int) -> "machine.UART":
        """Give the UART that is neither the console's nor the meter's.

        Raises:
            ValueError: Another part has it; the board can have only one of the two.
        """
        if self._is_second_uart_taken:
            raise ValueError("the UART is taken")
        self._is_second_uart_taken = True
        return machine.UART(
            _SECOND_UART, baud, tx=_SECOND_TX_PIN, rx=_SECOND_RX_PIN, timeout=0,
            rxbuf=_UART_BUFFER_BYTES,
        )  # fmt: skip

    def network_setting(self, key: str) -> str:
        """Read what the link needs to know.

        Raises:
            OSError: It is not in NVS.
        """
        return setting("network", key)

    def _add(self, name: str) -> None:
        try:
            __import__("node.board.drivers." + name, None, None, ("make",)).make(self)
        except (ImportError, OSError, ValueError) as error:
            print("board: part", name, "is left out:", repr(error))

    def _poll(self, _: "Any") -> None:
        for part in self.polled:
            part.poll()


def setting(namespace: str, key: str) -> str:
    """Read a text from NVS.

    Raises:
        OSError: There is none.
    """
    buffer = bytearray(_MAX_SETTING_BYTES)
    size = esp32.NVS(namespace).get_blob(key, buffer)
    return bytes(buffer[:size]).decode()
