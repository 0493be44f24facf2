"""Which parts a board is put together from, with the chip's modules faked; on both Pythons."""

import sys

from vm.fake_buses import FakePwm, FakeUart


class Chip:
    """Stands for the modules `esp32`, `machine` and `network`: what was made of them, and NVS."""

    PHY_LAN8720 = STA_IF = 0
    settings = {}
    made = []

    class NVS:
        def __init__(self, namespace):
            self.namespace = namespace

        def get_blob(self, key, buffer):
            value = Chip.settings.get((self.namespace, key))
            if value is None:
                raise OSError(-0x1102)
            buffer[: len(value)] = value
            return len(value)

    class Pin:
        OUT = 1

        def __init__(self, number, mode=None, value=None):
            self.number = number

        def value(self, level):
            Chip.made.append("pin %d = %d" % (self.number, level))

    class Timer:
        def __init__(self, number, period, callback):
            Chip.made.append("timer")
            Chip.tick = callback

    @staticmethod
    def PWM(pin, freq, duty_u16):
        Chip.pwm = FakePwm()
        return Chip.pwm

    @staticmethod
    def I2C(number, scl, sda):
        Chip.made.append("i2c %d %d" % (sda.number, scl.number))
        return "i2c"

    @staticmethod
    def UART(number, baud, **settings):
        Chip.made.append("uart %d %d" % (number, baud))
        return FakeUart()

    @staticmethod
    def WLAN(kind):
        return "wlan"

    @staticmethod
    def LAN(**settings):
        return "lan"

    @staticmethod
    def PPP(stream):
        return "ppp"


def parts_of(names):
    for module in ("esp32", "machine", "network"):
        sys.modules[module] = Chip
    try:
        from node.board.parts import Parts

        Chip.settings = {} if names is None else {("board", "parts"): names}
        Chip.made = []
        parts = Parts(lambda: 0)
    finally:
        for module in ("esp32", "machine", "network"):
            del sys.modules[module]
    names = [type(part).__name__ for part in (parts.link, parts.lamp, parts.meter)]
    return parts, names + [type(part).__name__ for part in parts.air]


def test_board_without_settings_has_the_usual_parts():
    parts, names = parts_of(None)
    assert names == ["Wifi", "PwmLamp", "NoneType", "Sht3x"]
    assert Chip.made == ["i2c 21 22"]
    parts.lamp.set(1000)
    assert Chip.pwm.duty == 65535


def test_board_has_the_parts_that_nvs_names_on_pins_that_do_not_collide():
    parts, names = parts_of(b"lan,dimmer,dlt645,sht3x,pms")
    assert names == ["Lan", "Dimmer", "Dlt645", "Sht3x", "Pms"]
    assert Chip.made == ["uart 2 2400", "i2c 13 14", "uart 1 9600", "timer"]
    Chip.tick(None)
    assert parts.meter._uart.written, "the timer asks the meter"
    parts.lamp.set(1000)
    assert Chip.made[-1] == "pin 5 = 1"


def test_parts_that_cannot_be_are_left_out_and_the_lamp_still_burns():
    _, names = parts_of(b"coffee,modem,pms")
    assert names == ["Modem", "PwmLamp", "NoneType"]
    assert Chip.made == ["uart 1 115200"]
    _, names = parts_of(b"\xff\xff")
    assert names == ["Wifi", "PwmLamp", "NoneType", "Sht3x"]
