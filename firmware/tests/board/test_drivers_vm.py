"""The drivers of a pole's parts against fakes of their buses; on both Pythons."""

import asyncio

from vm.fake_buses import FakeI2c, FakePin, FakePwm, FakeUart
from vm.raises import raised

from node.board.drivers import dlt645, pms
from node.board.drivers.bh1750 import Bh1750
from node.board.drivers.dimmer import Dimmer
from node.board.drivers.lan import Lan
from node.board.drivers.modem import Modem
from node.board.drivers.pwm import PwmLamp
from node.board.drivers.sht3x import Sht3x
from node.board.drivers.wifi import Wifi


class Clock:
    now_s = 1000

    def __call__(self):
        return self.now_s


class Interface:
    """Connected once it was told to be, unless it is out of reach."""

    def __init__(self, in_reach=True):
        self.in_reach = in_reach
        self.is_active = False
        self.calls = []

    def active(self, wanted=None):
        if wanted is not None:
            self.is_active = wanted
        return self.is_active

    def isconnected(self):
        return self.in_reach and self.is_active

    def connect(self, *arguments):
        self.calls.append(arguments)

    def disconnect(self):
        self.calls.append("disconnect")


def answer(identifier, digits, control=0x91):
    """A DL/T 645 answer of a meter with address 12345678."""
    data = bytes((byte + 0x33) & 0xFF for byte in identifier + digits)
    frame = b"\x68\x78\x56\x34\x12\x00\x00\x68" + bytes((control, len(data))) + data
    return b"\xfe\xfe" + frame + bytes((sum(frame) & 0xFF, 0x16))


METER_ANSWERS = (
    (b"\x00\x01\x01\x02", b"\x05\x23", 230500),
    (b"\x00\x01\x02\x02", b"\x52\x04\x00", 452),
    (b"\x00\x00\x03\x02", b"\x34\x10\x00", 103400),
    (b"\x00\x00\x06\x02", b"\x85\x09", 985),
    (b"\x00\x00\x01\x00", b"\x56\x34\x12\x00", 1234560000),
)


def meter_uart():
    return FakeUart(
        {dlt645.encode(name): answer(name, digits) for name, digits, _ in METER_ANSWERS}
    )


def test_pwm_lamp_follows_the_level():
    pwm = FakePwm()
    lamp = PwmLamp(pwm)
    for level, duty in ((0, 0), (500, 32767), (1000, 65535)):
        lamp.set(level)
        assert pwm.duty == duty


def test_dimmer_switches_its_relay_and_stays_at_one_volt_above_off():
    pwm, relay = FakePwm(), FakePin()
    lamp = Dimmer(pwm, relay)
    for level, duty, closed in ((1000, 65535, 1), (50, 6553, 1), (0, 0, 0), (100, 6553, 1)):
        lamp.set(level)
        assert (pwm.duty, relay.level) == (duty, closed)


def test_sht3x_gives_thousandths_and_refuses_what_is_garbled():
    # Data sheet, 4.12: the checksum of 0xBEEF is 0x92.
    i2c = FakeI2c(0x44, b"\xbe\xef\x92\x66\x66\x93")
    assert Sht3x(i2c).read() == (85523, 40000, None)
    assert i2c.written == [b"\x24\x00"]
    i2c.answer = b"\xbe\xee\x92\x66\x66\x93"
    raised(OSError, Sht3x(i2c).read)
    raised(OSError, Sht3x(FakeI2c(0x45, b"")).read)


def test_bh1750_gives_thousandths_of_a_lux_from_the_second_time_on():
    # Data sheet, measurement procedure: 0x8390 is 28067 lx.
    i2c = FakeI2c(0x23, b"\x83\x90")
    sensor = Bh1750(i2c)
    assert sensor.read() == (None, None, None, None)
    assert sensor.read() == (None, None, None, 28_066_666)
    assert i2c.written == [b"\x10", b"\x10"]
    raised(OSError, Bh1750(FakeI2c(0x24, b"")).read)


def test_meter_request_is_that_of_the_standard():
    # Wake-up, 68 AA…, 68 11 04, identifier + 33H each, sum, 16.
    expected = "fefefefe68aaaaaaaaaaaa681104333434351616"
    request = dlt645.encode(b"\x00\x01\x01\x02")
    assert request[:-2].hex() == expected[:-4]
    assert request[-2] == sum(request[4:-2]) & 0xFF
    assert request[-1] == 0x16


def test_meter_values_come_one_after_the_other():
    clock = Clock()
    meter = dlt645.Dlt645(meter_uart(), clock)
    assert meter.read() == (None, None, None, None)
    assert meter.energy_mwh() is None
    for _ in range(6):
        meter.poll()
    assert meter.read() == (230500, 452, 103400, 985)
    assert meter.energy_mwh() == 0
    meter._uart.answers[dlt645.encode(METER_ANSWERS[4][0])] = answer(
        METER_ANSWERS[4][0], b"\x57\x34\x12\x00"
    )
    for _ in range(6):
        meter.poll()
    assert meter.energy_mwh() == 10000


def test_meter_that_falls_silent_or_answers_nonsense_is_an_error():
    clock = Clock()
    meter = dlt645.Dlt645(FakeUart(), clock)
    name, digits, _ = METER_ANSWERS[0]
    good = answer(name, digits)
    for bad in (
        b"",
        b"\x68" * 40,
        good[:-3],
        good[:-2] + bytes((good[-2] ^ 1, 0x16)),
        answer(name, b"\x01", control=0xD1),
        answer(METER_ANSWERS[1][0], digits),
        answer(name, b""),
    ):
        assert dlt645.decode(bad, name) is None
        meter.poll()
        meter._uart.incoming = bad
        meter.poll()
    clock.now_s += 61
    raised(OSError, meter.read)


def test_meter_digits_are_decimal_and_some_have_a_sign():
    assert dlt645.number(b"\x78\x56\x34\x12", False) == 12345678
    assert dlt645.number(b"\x78\x56\x94", False) == 945678
    assert dlt645.number(b"\x78\x56\x94", True) == -145678


def frame(pm25):
    body = b"\x42\x4d\x00\x1c" + bytes(8) + bytes((pm25 >> 8, pm25 & 0xFF)) + bytes(16)
    return body + bytes((sum(body) >> 8, sum(body) & 0xFF))


def test_particle_sensor_finds_its_frames_in_a_stream():
    clock, uart = Clock(), FakeUart()
    sensor = pms.Pms(uart, clock)
    stream = b"\x42\x00" + frame(35) + b"\x42\x4d\x00" + frame(300) + frame(12)[:20]
    for at in range(0, len(stream), 7):
        uart.incoming = stream[at : at + 7]
        sensor.poll()
    assert sensor.read() == (None, None, 300000)
    uart.incoming = frame(12)[20:]
    sensor.poll()
    assert sensor.read() == (None, None, 12000)
    clock.now_s += 31
    raised(OSError, sensor.read)


def test_wifi_joins_the_network_of_its_settings_once():
    wlan = Interface()
    link = Wifi(wlan, {"ssid": "poles", "key": "secret"}.__getitem__)
    asyncio.run(link.connect())
    asyncio.run(link.connect())
    assert wlan.calls == [("poles", "secret")]


def test_lan_is_switched_on_and_has_its_address():
    interface = Interface()
    asyncio.run(Lan(interface).connect())
    assert interface.is_active


DIALOGUE = {
    b"AT\r": b"AT\r\r\nOK\r\n",
    b"ATE0\r": b"\r\nOK\r\n",
    b'AT+CGDCONT=1,"IP","poles.iot"\r': b"\r\nOK\r\n",
    b"ATD*99***1#\r": b"\r\nCONNECT 150000000\r\n",
}


def test_modem_dials_and_hands_its_line_to_ppp():
    uart, ppp = FakeUart(DIALOGUE), Interface()
    link = Modem(uart, lambda _: ppp, {"apn": "poles.iot"}.__getitem__)
    asyncio.run(link.connect())
    asyncio.run(link.connect())
    assert uart.written == [
        b"AT\r", b"ATE0\r", b'AT+CGDCONT=1,"IP","poles.iot"\r', b"ATD*99***1#\r",
    ]  # fmt: skip
    assert ppp.is_active
    assert ppp.calls == [()]


def test_modem_without_a_network_is_an_error_that_can_be_tried_again():
    answers = dict(DIALOGUE)
    answers[b"ATD*99***1#\r"] = b"\r\nNO CARRIER\r\n"
    uart, ppp = FakeUart(answers), Interface()
    link = Modem(uart, lambda _: ppp, {"apn": "poles.iot"}.__getitem__)
    error = raised(OSError, asyncio.run, link.connect())
    assert error.args[0] == 111
    answers.update(DIALOGUE)
    uart.answers = answers
    asyncio.run(link.connect())
    assert ppp.is_active
