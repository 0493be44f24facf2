"""What the whole node does by itself: its lighting program, and an emergency call."""

import time

import aiocoap

from firmware.tests.app.fake_gateway import FakeGateway
from firmware.tests.app.simulated_node import SimulatedNode


def program(level: int, *, name: str) -> dict[str, object]:
    """Make a program with one level from noon to noon."""
    return {
        "/26245/0/0": name, "/26245/0/1": f"||12:00|{level}",
        "/26245/0/2": 51.45, "/26245/0/3": -2.58, "/26245/0/4": 0,
    }  # fmt: skip


async def test_program_is_kept_and_followed_without_a_gateway(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    assert await gateway.write({"/26245/0/1": "nonsense"}) == aiocoap.BAD_REQUEST
    assert await gateway.write(program(40, name="p1")) == aiocoap.CHANGED
    await gateway.until(lambda: gateway.reports[-1]["/3416/0/3"] == 40)
    assert (await gateway.read("/26245/0/7")) == {"/26245/0/7": 40}
    node.kill()
    node.start()
    await gateway.until(lambda: gateway.reports[-1]["/26241/0/0"] == 2)
    assert gateway.reports[-1]["/3416/0/3"] == 40
    assert (await gateway.read("/26245/0/0")) == {"/26245/0/0": "p1"}
    assert await gateway.write({"/26245/0/0": ""}) == aiocoap.CHANGED
    await gateway.until(lambda: gateway.reports[-1]["/3416/0/3"] == 100)


async def test_fade_starts_at_its_time(node: SimulatedNode, gateway: FakeGateway) -> None:
    await gateway.until(lambda: gateway.reports)
    starts_at = int(time.time()) + 4
    wish = {"/3416/0/1": 10, "/3416/0/50": starts_at, "/3416/0/52": 1.0}
    assert await gateway.write(wish) == aiocoap.CHANGED
    level = (await gateway.read("/3416/0/3"))["/3416/0/3"]
    assert level == 100 or time.time() >= starts_at - 1
    await gateway.until(lambda: gateway.reports[-1]["/3416/0/3"] == 10)
    # The clock of the node is good to a second.
    assert time.time() >= starts_at


async def test_emergency_call_lights_the_lamp_and_waits_for_an_operator(
    node: SimulatedNode, gateway: FakeGateway
) -> None:
    await gateway.until(lambda: gateway.reports)
    assert await gateway.write({"/3416/0/1": 5, "/3416/0/51": 0}) == aiocoap.CHANGED
    await gateway.until(lambda: gateway.reports[-1]["/3416/0/3"] == 5)
    node.press_button()
    await gateway.until(lambda: any(e["/26242/0/2"] == "sos.pressed" for e in gateway.events))
    call = await gateway.read("/26246/0")
    assert (call["/26246/0/0"], call["/26246/0/1"]) == (True, False)
    assert (await gateway.read("/3347/0")) == {"/3347/0/5500": True, "/3347/0/5501": 1}
    assert (await gateway.read("/3416/0/3")) == {"/3416/0/3": 100}
    node.kill()
    node.start()
    await gateway.until(lambda: gateway.reports[-1]["/26241/0/0"] == 2)
    assert (await gateway.read("/26246/0/0")) == {"/26246/0/0": True}
    assert gateway.reports[-1]["/3416/0/3"] == 100
    assert await gateway.execute("/26246/0/3") == aiocoap.CHANGED
    assert (await gateway.read("/26246/0/1")) == {"/26246/0/1": True}
    assert await gateway.execute("/26246/0/4") == aiocoap.CHANGED
    await gateway.until(lambda: gateway.reports[-1]["/3416/0/3"] == 5)
    await gateway.until(lambda: gateway.events[-1]["/26242/0/2"] == "sos.reset")
    kinds = [e["/26242/0/2"] for e in gateway.events if e["/26242/0/2"].startswith("sos")]
    assert kinds == ["sos.pressed", "sos.accepted", "sos.reset"]
