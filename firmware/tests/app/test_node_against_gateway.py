"""The whole node, in MicroPython, against aiocoap: bootstrap, register, report, obey."""

import random
import socket
import time
import zlib

import aiocoap
import pytest

from firmware.tests.app.fake_gateway import READINGS, FakeGateway, is_float32, read_senml, senml
from firmware.tests.app.simulated_node import SimulatedNode
from poleward_tools.releases.build import BuiltRelease


async def test_node_bootstraps_registers_and_reports(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: len(gateway.reports) >= 3)
    assert gateway.bootstraps == 1
    query, links = gateway.registrations[0]
    assert query == ("ep=urn:dev:mac:02000000000a", "lt=300", "lwm2m=1.1", "b=U")
    for path in ("</1/0>", "</3/0>", "</5/0>", "</3416/0>", "</26241/0>"):
        assert path in links
    assert "</0" not in links
    assert "</21" not in links
    assert [report["/26241/0/1"] for report in gateway.reports] == [0, 1, 2]
    report = gateway.reports[2]
    assert report["/26241/0/0"] == 1
    assert "/26241/0/2" not in report
    assert abs(report["bt"] - time.time()) < 60
    for path in READINGS:
        assert path in report, node.console
    assert report["/3416/0/3"] == 100
    assert is_float32(report["/3418/0/4"])
    assert 55 < report["/3418/0/4"] < 65
    assert 220 < report["/3418/0/1"] < 240
    assert report["bytes"] <= 100
    layout = await gateway.read("/26241/0/5")
    assert layout == {"/26241/0/5": " ".join(READINGS)}
    (layout_id,) = (await gateway.read("/26241/0/6")).values()
    assert layout_id == zlib.crc32(" ".join(READINGS).encode()) == report["layout id"]
    assert gateway.events[0]["/26242/0/2"] == "node.rebooted"


@pytest.mark.parametrize("gateway_host", ["::1"])
async def test_node_speaks_ipv6(node: SimulatedNode, gateway: FakeGateway) -> None:
    await gateway.until(lambda: gateway.reports)
    assert (await gateway.read("/3/0/16")) == {"/3/0/16": "U"}


def test_bundle_fits_its_budget(release: BuiltRelease) -> None:
    assert sum(len(code) for code in release.files.values()) <= 100 * 1024


async def test_lamp_command_is_challenged_obeyed_and_power_follows(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    ends_at = int(time.time()) + 3600
    command = {"/3416/0/1": 30, "/3416/0/51": ends_at, "/26244/0/0": int(time.time()) + 30}
    assert await gateway.write(command) == aiocoap.CHANGED
    await gateway.until(lambda: gateway.reports[-1]["/3416/0/3"] == 30)
    await gateway.until(lambda: 15 < gateway.reports[-1]["/3418/0/4"] < 25)
    lamp = await gateway.read("/3416/0")
    assert lamp["/3416/0/54"] is True
    assert lamp["/3416/0/51"] == ends_at


async def test_report_follows_the_end_of_a_fade_whatever_the_interval(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    assert await gateway.write({"/26241/0/3": 3600}) == aiocoap.CHANGED
    command = {"/3416/0/1": 30, "/3416/0/51": 0, "/26244/0/0": int(time.time()) + 30}
    assert await gateway.write(command) == aiocoap.CHANGED
    await gateway.until(lambda: gateway.reports[-1]["/3416/0/3"] == 30)
    assert 15 < gateway.reports[-1]["/3418/0/4"] < 25


async def test_late_command_is_refused(node: SimulatedNode, gateway: FakeGateway) -> None:
    await gateway.until(lambda: gateway.reports)
    # The node's clock was set to a whole second, some time after the gateway had read its own.
    command = {"/3416/0/1": 30, "/3416/0/51": 0, "/26244/0/0": int(time.time()) - 10}
    assert await gateway.write(command) == aiocoap.FORBIDDEN
    assert (await gateway.read("/3416/0/3")) == {"/3416/0/3": 100}


async def test_observed_level_is_notified_when_it_changes(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    request = gateway.observe("/3416/0/3")
    told = [read_senml((await request.response).payload)["/3416/0/3"]]
    assert await gateway.write({"/3416/0/1": 40, "/3416/0/51": 0}) == aiocoap.CHANGED
    async for response in request.observation:
        told.append(read_senml(response.payload)["/3416/0/3"])
        if told[-1] == 40:
            break
    assert told[0] == 100
    assert len(told) == len(set(told)), "a notification told nothing new"
    request.observation.cancel()


async def test_override_ends_by_itself(node: SimulatedNode, gateway: FakeGateway) -> None:
    await gateway.until(lambda: gateway.reports)
    command = {"/3416/0/1": 20, "/3416/0/51": int(time.time()) + 3}
    assert await gateway.write(command) == aiocoap.CHANGED
    await gateway.until(lambda: gateway.reports[-1]["/3416/0/3"] == 20)
    await gateway.until(lambda: gateway.reports[-1]["/3416/0/3"] == 100)
    assert (await gateway.read("/3416/0/54")) == {"/3416/0/54": False}


@pytest.mark.parametrize(
    "codes",
    [
        [aiocoap.SERVICE_UNAVAILABLE] * 2,
        [aiocoap.INTERNAL_SERVER_ERROR] * 2,
    ],
)
async def test_report_is_kept_until_it_is_acknowledged(
    node: SimulatedNode, gateway: FakeGateway, codes: list[aiocoap.Code | None]
) -> None:
    await gateway.until(lambda: gateway.reports)
    gateway.dp_codes = list(codes)
    before = len(gateway.reports)
    await gateway.until(lambda: not gateway.dp_codes and len(gateway.reports) >= before + 4)
    sequences = [report["/26241/0/1"] for report in gateway.reports]
    assert sequences == list(range(len(sequences)))
    assert len(gateway.received) > len(gateway.reports)


async def test_power_cut_loses_no_report_that_was_refused_before(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    gateway.dp_codes = [aiocoap.SERVICE_UNAVAILABLE] * 100
    await gateway.until(lambda: len(gateway.dp_codes) < 98)
    reports = [pack for pack in gateway.received if "/26241/0/1" in pack]
    refused = reports[-1]["/26241/0/1"]
    node.kill()
    gateway.dp_codes = []
    node.start()
    await gateway.until(lambda: gateway.reports[-1]["/26241/0/0"] == 2)
    kept = [report["/26241/0/1"] for report in gateway.reports if report["/26241/0/0"] == 1]
    assert kept == list(range(len(kept)))
    assert kept[-1] >= refused
    # The next boot says how many there were: the newest two were only in RAM.
    first = next(report for report in gateway.reports if report["/26241/0/0"] == 2)
    assert first["/26241/0/1"] == 0
    assert len(kept) <= first["/26241/0/7"] <= len(kept) + 2
    await gateway.until(lambda: gateway.reports[-1]["/26241/0/1"] >= 1)
    assert "/26241/0/7" not in gateway.reports[-1]


async def test_rebooted_node_keeps_lamp_account_and_boot_count(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    assert await gateway.write({"/3416/0/1": 35, "/3416/0/51": 0}) == aiocoap.CHANGED
    node.kill()
    node.start()
    await gateway.until(lambda: gateway.reports[-1]["/26241/0/0"] == 2)
    assert gateway.bootstraps == 1
    assert len(gateway.registrations) == 2
    first = next(report for report in gateway.reports if report["/26241/0/0"] == 2)
    assert first["/26241/0/1"] == 0
    assert first["/3416/0/3"] == 35
    assert abs(first["bt"] - time.time()) < 60


async def test_reboot_by_the_gateway_answers_first(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    response = await gateway.call(aiocoap.POST, "/3/0/4")
    assert response.code == aiocoap.CHANGED
    await gateway.until(lambda: gateway.reports[-1]["/26241/0/0"] == 2)
    assert node.resets == 1
    # Events and reports have ways of their own: either may come first.
    await gateway.until(lambda: gateway.events[-1]["/26242/0/0"] == 2)
    assert gateway.events[-1]["/26242/0/4"] == "reset"


async def test_node_registers_again_when_the_gateway_forgot_it(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    gateway.does_refuse_updates = True
    response = await gateway.call(aiocoap.POST, "/1/0/8")
    assert response.code == aiocoap.CHANGED
    await gateway.until(lambda: len(gateway.registrations) == 2)
    assert gateway.bootstraps == 1


async def test_node_bootstraps_again_when_its_keys_are_unknown(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    gateway.forget_context()
    await gateway.until(lambda: gateway.bootstraps == 2)
    await gateway.until(lambda: len(gateway.registrations) == 2)
    sequences = [report["/26241/0/1"] for report in gateway.reports]
    await gateway.until(lambda: len(gateway.reports) > len(sequences))
    sequences = [report["/26241/0/1"] for report in gateway.reports]
    assert sequences == list(range(len(sequences)))


async def test_bootstrap_trigger_deregisters_first(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    assert (await gateway.call(aiocoap.POST, "/1/0/9")).code == aiocoap.CHANGED
    await gateway.until(lambda: gateway.bootstraps == 2)
    assert gateway.deregistrations == 1


async def test_muted_send_is_respected(node: SimulatedNode, gateway: FakeGateway) -> None:
    gateway.does_write_after_registration = False
    await gateway.until(lambda: gateway.registrations)
    assert (await gateway.read("/1/0/23")) == {"/1/0/23": True}
    assert not gateway.received
    await gateway.write({"/1/0/23": False, "/3/0/13": int(time.time())})
    await gateway.until(lambda: gateway.reports)


REQUESTS = [
        (aiocoap.GET, "/9999/0", b"", None, aiocoap.NOT_FOUND),
        (aiocoap.GET, "/3/1", b"", None, aiocoap.NOT_FOUND),
        (aiocoap.GET, "/0/0", b"", None, aiocoap.NOT_FOUND),
        (aiocoap.GET, "/21/0", b"", None, aiocoap.NOT_FOUND),
        (aiocoap.GET, "/3/0/x", b"", None, aiocoap.NOT_FOUND),
        (aiocoap.GET, "/3/0/4", b"", None, aiocoap.METHOD_NOT_ALLOWED),
        (aiocoap.PUT, "/3/0/0", b"x", 0, aiocoap.METHOD_NOT_ALLOWED),
        (aiocoap.PUT, "/3416/0/4", b"101", 0, aiocoap.BAD_REQUEST),
        (aiocoap.PUT, "/3416/0/4", b"bright", 0, aiocoap.BAD_REQUEST),
        (aiocoap.PUT, "/3416/0/4", b"50", 50, aiocoap.UNSUPPORTED_CONTENT_FORMAT),
        (aiocoap.PUT, "/3416/0/4", b"50", 0, aiocoap.CHANGED),
        (aiocoap.PUT, "/3416/0/4", bytes([0xC1, 4, 60]), 11542, aiocoap.CHANGED),
        (aiocoap.PUT, "/3416/0/4", b"\xc8\x04", 11542, aiocoap.BAD_REQUEST),
        (aiocoap.POST, "/3416/0", senml({"/3416/0/4": 70}), 112, aiocoap.CHANGED),
        (aiocoap.POST, "/3416/0", senml({"/3/0/13": 70}), 112, aiocoap.BAD_REQUEST),
        (aiocoap.POST, "/3416/0", b"\x9f\xff\x00", 112, aiocoap.BAD_REQUEST),
        (aiocoap.POST, "/3416", b"", None, aiocoap.METHOD_NOT_ALLOWED),
        (aiocoap.DELETE, "/3416/0", b"", None, aiocoap.METHOD_NOT_ALLOWED),
        (aiocoap.POST, "/5/0/2", b"", None, aiocoap.METHOD_NOT_ALLOWED),
        (aiocoap.PUT, "/5/0/1", b"http://elsewhere", 0, aiocoap.BAD_REQUEST),
    ]  # fmt: skip


async def test_requests_get_the_codes_of_the_specification(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    for code, path, payload, content_format, expected in REQUESTS:
        response = await gateway.call(code, path, payload, content_format=content_format)
        assert response.code == expected, (code, path, payload, response.payload)


async def test_reads_in_every_format(node: SimulatedNode, gateway: FakeGateway) -> None:
    await gateway.until(lambda: gateway.reports)
    device = await gateway.read("/3/0")
    assert device["/3/0/0"] == "Poleward"
    assert device["/3/0/2"] == "02000000000a"
    assert device["/3/0/3"] == "1.0.0"
    assert device["/3/0/10"] >= 42  # more than a release on trial has to leave free
    assert device["/3/0/18"] == "sim"
    text = await gateway.call(aiocoap.GET, "/3/0/16", accept=0)
    assert (text.payload, text.opt.content_format) == (b"U", 0)
    discovered = await gateway.call(aiocoap.GET, "/26241", accept=40)
    assert discovered.payload.split(b",")[:3] == [b"</26241/0>", b"</26241/0/0>", b"</26241/0/1>"]
    refused = await gateway.call(aiocoap.GET, "/3/0", accept=60)
    assert refused.code == aiocoap.NOT_ACCEPTABLE
    names = senml({"/3416/0/3": None, "/26243/0": None})
    composite = await gateway.call(aiocoap.FETCH, "/", names, content_format=112, accept=112)
    assert read_senml(composite.payload) == {
        "/3416/0/3": 100, "/26243/0/0": 1, "/26243/0/1": "a", "/26243/0/2": False,
        "/26243/0/3": "",
        "/26243/0/4": 0,
    }  # fmt: skip


async def test_garbage_and_plain_requests_do_no_harm(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    host, port = gateway.address.underlying_address.sockaddr[:2]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.settimeout(60)
        for datagram in (
            b"",
            b"\x00",
            b"\x40\x01",
            bytes(1500),
            b"\x4f" * 40,
            random.randbytes(99),
        ):
            sender.sendto(datagram, (host, port))
        plain_get = bytes.fromhex("41010001aa") + b"\xb4" + b"3416" + b"\x010" + b"\x013"
        sender.sendto(plain_get, (host, port))
        while True:
            answer = sender.recv(100)
            if answer[1:2] == b"\x81":
                break
        assert answer[4:] == b"\xaa", "a plain request gets 4.01 with nothing else"
    before = len(gateway.reports)
    await gateway.until(lambda: len(gateway.reports) > before)
