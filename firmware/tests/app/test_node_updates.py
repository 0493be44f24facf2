"""A real node takes a release from the gateway, tries it, and keeps it or returns."""

import hashlib
import re
import shutil
from pathlib import Path

import aiocoap
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware.tests.app.fake_gateway import FakeGateway, read_senml
from firmware.tests.app.simulated_node import SimulatedNode
from nodelink import firmware_update as states
from poleward_manifest.bundle import deflate
from poleward_manifest.envelope import sign
from poleward_tools.releases.build import BuiltRelease, build_release, find_firmware
from poleward_tools.virtual_board.stand_ins import stand_in_firmware

# Another MicroPython than the board left the factory with.
NEW_IMAGE = stand_in_firmware("esp32", "1.30.0").application


def started_images(node: SimulatedNode) -> list[str]:
    """List the offsets of the images that the bootloader started, in order."""
    return re.findall(r"Loaded app from partition at offset (0x[0-9a-f]+)", node.console)


def offer(gateway: FakeGateway, release: BuiltRelease, key: Ed25519PrivateKey) -> str:
    """Have the gateway serve a release; give the URI for 5/0/1."""
    envelope = sign(release.manifest, [key])
    digest = hashlib.sha256(envelope).hexdigest()
    gateway.files["r", digest] = envelope
    gateway.files["a", "d", release.manifest.bundle.digest.hex()] = deflate(release.bundle)
    if release.manifest.image:
        gateway.files["a", "d", release.manifest.image.digest.hex(), "0"] = deflate(NEW_IMAGE)
    return f"coap:///r/{digest}"


async def download(gateway: FakeGateway, uri: str) -> int:
    """Write 5/0/1 and follow 5/0/3 by observation until the download ended; give 5/0/5."""
    request = gateway.observe("/5/0/3")
    assert read_senml((await request.response).payload) == {"/5/0/3": states.STATE_IDLE}
    response = await gateway.call(aiocoap.PUT, "/5/0/1", uri.encode(), content_format=0)
    assert response.code == aiocoap.CHANGED
    seen = []
    async for notification in request.observation:
        seen.append(read_senml(notification.payload)["/5/0/3"])
        if seen[-1] in (states.STATE_DOWNLOADED, states.STATE_IDLE):
            break
    result: int = (await gateway.read("/5/0/5"))["/5/0/5"]
    return result


async def test_node_updates_tries_and_confirms(
    node: SimulatedNode, gateway: FakeGateway, release_key: Ed25519PrivateKey
) -> None:
    await dim_to_45(gateway)
    uri = offer(gateway, build_release("1.1.0", 2), release_key)
    assert await download(gateway, uri) == states.RESULT_INITIAL
    assert (await gateway.read("/5/0/7")) == {"/5/0/7": "1.1.0"}
    reports_before = len(gateway.reports)
    assert (await gateway.call(aiocoap.POST, "/5/0/2")).code == aiocoap.CHANGED
    await gateway.until(lambda: len(gateway.registrations) == 2)
    await gateway.until(lambda: "release confirmed" in node.console)
    assert (await gateway.read("/3/0/3")) == {"/3/0/3": "1.1.0"}
    assert (await gateway.read("/5/0")).items() >= {
        "/5/0/3": states.STATE_IDLE, "/5/0/5": states.RESULT_SUCCESS,
    }.items()  # fmt: skip
    assert (await gateway.read("/26243/0")) == {
        "/26243/0/0": 2, "/26243/0/1": "b", "/26243/0/2": False, "/26243/0/3": "",
        "/26243/0/4": 0,
    }  # fmt: skip
    # Nothing was lost on the way, and the lamp kept its level.
    await gateway.until(lambda: gateway.reports[-1]["/26241/0/0"] == 2)
    assert {report["/3416/0/3"] for report in gateway.reports[reports_before:]} == {45}
    assert node.lamp_levels[-3:] == [450, None, 450]
    for boot in (1, 2):
        sequences = [
            report["/26241/0/1"] for report in gateway.reports if report["/26241/0/0"] == boot
        ]
        assert sequences == list(range(len(sequences)))
    assert gateway.bootstraps == 1
    # The confirmed release survives a power cut.
    node.kill()
    node.start()
    await gateway.until(lambda: len(gateway.registrations) == 3)
    assert (await gateway.read("/26243/0/0")) == {"/26243/0/0": 2}


async def test_node_updates_its_image_and_its_bundle_together(
    node: SimulatedNode, gateway: FakeGateway, release_key: Ed25519PrivateKey
) -> None:
    await gateway.until(lambda: gateway.reports)
    uri = offer(gateway, build_release("1.1.0", 2, image=NEW_IMAGE), release_key)
    assert await download(gateway, uri) == states.RESULT_INITIAL
    assert (await gateway.call(aiocoap.POST, "/5/0/2")).code == aiocoap.CHANGED
    await gateway.until(lambda: "release confirmed" in node.console, timeout_s=60)
    assert (await gateway.read("/3/0/3")) == {"/3/0/3": "1.1.0"}
    assert (await gateway.read("/5/0/5")) == {"/5/0/5": states.RESULT_SUCCESS}
    assert (await gateway.read("/26243/0/0")) == {"/26243/0/0": 2}
    registrations = len(gateway.registrations)
    node.kill()
    node.start()
    await gateway.until(lambda: len(gateway.registrations) > registrations, timeout_s=60)
    assert (await gateway.read("/3/0/3")) == {"/3/0/3": "1.1.0"}
    assert started_images(node) == ["0x10000", "0x190000", "0x190000"]


async def test_node_whose_power_fails_in_the_trial_returns_to_image_and_bundle(
    node: SimulatedNode, gateway: FakeGateway, release_key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    stuck = tmp_path / "firmware"
    shutil.copytree(find_firmware(), stuck, ignore=shutil.ignore_patterns("tests"))
    app = stuck / "node" / "app.py"
    app.write_text(
        app.read_text()
        + "\n\ndef run() -> None:\n    print('stuck')\n    while True:\n        pass\n"
    )
    await gateway.until(lambda: gateway.reports)
    release = build_release("1.2.0", 3, firmware=stuck, image=NEW_IMAGE)
    assert await download(gateway, offer(gateway, release, release_key)) == states.RESULT_INITIAL
    assert (await gateway.call(aiocoap.POST, "/5/0/2")).code == aiocoap.CHANGED
    await gateway.until(lambda: "stuck" in node.console, timeout_s=60)
    node.kill()
    node.start()
    await gateway.until(lambda: len(gateway.registrations) == 2, timeout_s=60)
    assert (await gateway.read("/3/0/3")) == {"/3/0/3": "1.0.0"}
    assert (await gateway.read("/5/0/5")) == {"/5/0/5": states.RESULT_FAILED}
    assert started_images(node) == ["0x10000", "0x190000", "0x10000"]


async def test_release_that_does_not_run_returns_to_the_old_one(
    node: SimulatedNode, gateway: FakeGateway, release_key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    broken = tmp_path / "firmware"
    shutil.copytree(find_firmware(), broken, ignore=shutil.ignore_patterns("tests"))
    app = broken / "node" / "app.py"
    app.write_text(app.read_text() + "\n\ndef run() -> None:\n    raise SystemExit(3)\n")
    await dim_to_45(gateway)
    uri = offer(gateway, build_release("1.2.0", 3, firmware=broken), release_key)
    assert await download(gateway, uri) == states.RESULT_INITIAL
    assert (await gateway.call(aiocoap.POST, "/5/0/2")).code == aiocoap.CHANGED
    await gateway.until(lambda: len(gateway.registrations) == 2)
    assert node.resets == 2
    assert (await gateway.read("/3/0/3")) == {"/3/0/3": "1.0.0"}
    assert (await gateway.read("/5/0/5")) == {"/5/0/5": states.RESULT_FAILED}
    assert (await gateway.read("/26243/0/3"))["/26243/0/3"]
    # The lamp kept its level there and back, also under a release that does nothing.
    assert node.lamp_levels[-5:] == [450, None, 450, None, 450]


async def test_nothing_is_installed_while_a_call_is_active(
    node: SimulatedNode, gateway: FakeGateway, release_key: Ed25519PrivateKey
) -> None:
    await dim_to_45(gateway)
    uri = offer(gateway, build_release("1.1.0", 2), release_key)
    assert await download(gateway, uri) == states.RESULT_INITIAL
    await call_for_help(node, gateway, 1)
    refused = await gateway.call(aiocoap.POST, "/5/0/2")
    assert refused.code == aiocoap.METHOD_NOT_ALLOWED
    assert refused.payload == b"an emergency call is active"
    assert await gateway.execute("/26246/0/4") == aiocoap.CHANGED
    assert (await gateway.call(aiocoap.POST, "/5/0/2")).code == aiocoap.CHANGED
    # A call between the answer and the reset: there is no reset before an operator ended it.
    await call_for_help(node, gateway, 2)
    resets, reports = node.resets, len(gateway.reports)
    await gateway.until(lambda: len(gateway.reports) > reports + 2, timeout_s=60)
    assert node.resets == resets
    assert gateway.reports[-1]["/3416/0/3"] == 100
    assert await gateway.execute("/26246/0/4") == aiocoap.CHANGED
    await gateway.until(lambda: "release confirmed" in node.console, timeout_s=60)
    # The lamp is where it was before the call, through update and reset.
    await gateway.until(lambda: gateway.reports[-1]["/3416/0/3"] == 45, timeout_s=60)


async def dim_to_45(gateway: FakeGateway) -> None:
    """Give a command without an end; the fade is over when this returns."""
    await gateway.until(lambda: gateway.reports)
    assert await gateway.write({"/3416/0/1": 45, "/3416/0/51": 0}) == aiocoap.CHANGED
    await gateway.until(lambda: gateway.reports[-1]["/3416/0/3"] == 45)


async def call_for_help(node: SimulatedNode, gateway: FakeGateway, count: int) -> None:
    """Press the button; the gateway knows of so many calls then."""
    node.press_button()
    await gateway.until(
        lambda: [event["/26242/0/2"] for event in gateway.events].count("sos.pressed") == count,
        timeout_s=60,
    )


async def test_release_signed_by_a_stranger_is_refused(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    uri = offer(gateway, build_release("1.1.0", 2), Ed25519PrivateKey.generate())
    assert await download(gateway, uri) == states.RESULT_INTEGRITY
    assert (await gateway.call(aiocoap.POST, "/5/0/2")).code == aiocoap.METHOD_NOT_ALLOWED
    assert (await gateway.read("/26243/0/3"))["/26243/0/3"]
    before = len(gateway.reports)
    await gateway.until(lambda: len(gateway.reports) > before)


async def test_release_the_gateway_does_not_have_is_a_lost_link(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    assert await download(gateway, "coap:///r/" + "00" * 32) == states.RESULT_LINK_LOST
