"""The dispatcher by itself: guards of commands, observations, and whatever a peer may send."""

import asyncio
import os

from vm.fake_board import FakeNvs

from node.coap import message
from node.lwm2m.dispatch import Dispatcher
from node.lwm2m.objects import command_guard
from node.lwm2m.objects.device import Device
from node.lwm2m.objects.lamp import Lamp
from node.lwm2m.objects.measurements import Temperature

NOW = 1700000000
CONTEXT = object()


class Request:
    """What the endpoint hands over."""

    def __init__(self, code, path, payload=b"", content_format=None, accept=None, observe=None):
        self.code = code
        self.path = path
        self.payload = payload
        self.content_format = content_format
        self.accept = accept
        self.observe = observe
        self.context = CONTEXT
        self.is_fresh = False


class Handle:
    """An observation as the endpoint keeps it."""

    is_active = True


class Endpoint:
    """Remembers what it was told to send."""

    def __init__(self):
        self.notified = []
        self.challenges = 0

    def observe(self, request):
        return Handle()

    def notify(self, handle, payload, content_format):
        self.notified.append((handle, payload))

    def challenge(self, request):
        self.challenges += 1
        return message.Response(message.UNAUTHORIZED)


class Controller:
    """A lamp controller that remembers."""

    level_permille = 1000
    command_percent = default_percent = 100
    burned_s = switch_count = override_ends_at = 0
    is_overridden = False

    def __init__(self):
        self.commands = []

    def override(self, percent, ends_at, starts_at, fade_ms):
        self.commands.append((percent, ends_at))

    def set_default(self, percent):
        self.default_percent = percent

    def move_end(self, ends_at):
        self.commands.append((None, ends_at))


def nothing(*_):
    """Do nothing."""


def make():
    controller = Controller()
    temperature = Temperature()
    device = Device("02", "1.0.0", "sim", lambda: 65536, lambda: NOW, nothing, nothing, nothing)
    dispatcher = Dispatcher(
        [device, Lamp(controller, FakeNvs()), temperature, command_guard], lambda: NOW
    )
    endpoint = Endpoint()
    dispatcher.attach(endpoint)
    return dispatcher, endpoint, controller, temperature


def serve(dispatcher, request):
    return asyncio.run(dispatcher.handle(request))


def text(value):
    return bytes([0x60 | len(value)]) + value.encode()


def number(value):
    return b"\x1a" + value.to_bytes(4, "big")


def command(percent, ends_at, deadline):
    """A composite write of level, end and deadline."""
    records = (("/3416/0/1", percent), ("/3416/0/51", ends_at), ("/26244/0/0", deadline))
    pack = b"\x83" + b"".join([b"\xa2\x00" + text(n) + b"\x02" + number(v) for n, v in records])
    return Request(message.IPATCH, (), pack, 112)


def test_first_command_is_challenged_and_the_next_is_not():
    dispatcher, endpoint, controller, _ = make()
    request = command(30, 0, NOW + 30)
    assert serve(dispatcher, request).code == message.UNAUTHORIZED
    assert controller.commands == []
    request.is_fresh = True
    assert serve(dispatcher, request).code == message.CHANGED
    assert serve(dispatcher, command(40, NOW + 60, NOW)).code == message.CHANGED
    assert controller.commands == [(30, 0), (40, NOW + 60)]
    assert endpoint.challenges == 1


def test_late_command_is_refused_with_a_reason():
    dispatcher, _, controller, _ = make()
    request = command(30, 0, NOW - 1)
    request.is_fresh = True
    response = serve(dispatcher, request)
    assert (response.code, response.payload) == (message.FORBIDDEN, b"deadline passed")
    assert controller.commands == []


def test_write_that_fails_in_one_resource_changes_nothing():
    dispatcher, _, controller, _ = make()
    for request in (command(101, 0, NOW), command(30, 0x7FFFFFFF, NOW)):
        request.is_fresh = True
        assert serve(dispatcher, request).code == message.BAD_REQUEST
    pack = (
        b"\x82\xa2\x00"
        + text("/3416/0/4")
        + b"\x02\x18\x32\xa2\x00"
        + text("/3416/0/3")
        + b"\x02\0"
    )
    response = serve(dispatcher, Request(message.IPATCH, (), pack, 112))
    assert response.code == message.METHOD_NOT_ALLOWED
    assert (controller.commands, controller.default_percent) == ([], 100)


def test_plain_request_gets_unauthorized_with_nothing_else():
    dispatcher, _, _, _ = make()
    request = Request(message.GET, ("3", "0"))
    request.context = None
    response = serve(dispatcher, request)
    assert (response.code, response.payload) == (message.UNAUTHORIZED, b"")


def test_observation_is_told_what_differs_and_only_that():
    dispatcher, endpoint, _, temperature = make()
    temperature.value = 20500
    serve(dispatcher, Request(message.GET, ("3303", "0", "5700"), observe=0))
    dispatcher.changed()
    assert endpoint.notified == []
    temperature.value = 21000
    dispatcher.changed(3416)
    assert endpoint.notified == []
    dispatcher.changed(3303)
    dispatcher.changed()
    assert len(endpoint.notified) == 1
    endpoint.notified[0][0].is_active = False
    temperature.value = 22000
    dispatcher.changed()
    assert len(endpoint.notified) == 1


def test_sensor_that_fails_is_not_found_and_not_in_its_instance():
    dispatcher, _, _, _ = make()
    assert serve(dispatcher, Request(message.GET, ("3303", "0", "5700"))).code == message.NOT_FOUND
    assert serve(dispatcher, Request(message.GET, ("3303", "0"))).payload == b"\x80"


def test_anything_gets_an_answer():
    dispatcher, _, _, _ = make()
    paths = (
        (),
        ("3",),
        ("3416", "0"),
        ("3416", "0", "1"),
        ("3", "0", "13"),
        ("x", "y"),
        ("1",) * 9,
    )
    codes = (
        message.GET, message.POST, message.PUT, message.DELETE, message.FETCH, message.IPATCH,
    )  # fmt: skip
    valid = command(30, 0, NOW).payload
    for turn in range(600):
        noise = os.urandom(8)
        payload = bytearray(valid if noise[0] & 1 else os.urandom(noise[1] & 63))
        if payload:
            payload[noise[2] % len(payload)] ^= noise[3]
        request = Request(
            codes[noise[4] % len(codes)],
            paths[noise[5] % len(paths)],
            bytes(payload[: len(payload) - (noise[6] & 3)]),
            (None, 0, 42, 112, 11542, 60)[turn % 6],
            (None, 0, 40, 112, 60)[turn % 5],
        )
        response = serve(dispatcher, request)
        assert response.code in range(0x41, 0x90), (request.__dict__, response.code)
