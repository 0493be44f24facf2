"""A real node takes trust documents over and believes the keys that they name, and no others."""

import aiocoap
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware.tests.app.fake_gateway import FakeGateway
from firmware.tests.app.simulated_node import SimulatedNode
from firmware.tests.app.test_node_updates import download, offer
from nodelink import firmware_update as states
from poleward_manifest import trust
from poleward_manifest.trust import Role, TrustDocument
from poleward_tools.releases.build import build_release

NEXT_KEY, ROOT_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
EXPIRES_AT_S = 2**31 - 2


def role(*keys: Ed25519PrivateKey) -> Role:
    return Role(tuple(key.public_key().public_bytes_raw() for key in keys), 1)


async def announce(gateway: FakeGateway, node: SimulatedNode, number: int) -> None:
    assert await gateway.write({"/26243/0/4": number}) == aiocoap.CHANGED
    await gateway.until(lambda: f"trust document {number}" in node.console)


async def test_node_follows_the_chain_and_drops_a_revoked_key(
    node: SimulatedNode, gateway: FakeGateway, release_key: Ed25519PrivateKey
) -> None:
    await gateway.until(lambda: gateway.reports)
    assert await gateway.read("/26243/0/4") == {"/26243/0/4": 0}
    first = TrustDocument(1, EXPIRES_AT_S, role(ROOT_KEY), role(release_key), Role((), 1))
    second = trust.following(first, expires_at_s=EXPIRES_AT_S, release=role(NEXT_KEY))
    gateway.files["t", "1"] = trust.sign(first, [release_key, ROOT_KEY])
    gateway.files["t", "2"] = trust.sign(second, [ROOT_KEY])
    await announce(gateway, node, 2)
    # Survives a power cut, and a forged successor.
    node.kill()
    node.start()
    await gateway.until(lambda: len(gateway.registrations) == 2)
    assert await gateway.read("/26243/0/4") == {"/26243/0/4": 2}
    third = trust.following(second, expires_at_s=EXPIRES_AT_S, release=role(release_key))
    gateway.files["t", "3"] = trust.sign(third, [NEXT_KEY])
    revoked = offer(gateway, build_release("1.1.0", 2), release_key)
    assert await download(gateway, revoked) == states.RESULT_INTEGRITY
    assert (await gateway.read("/26243/0/3"))["/26243/0/3"].startswith("not signed by enough")
    assert await gateway.read("/26243/0/4") == {"/26243/0/4": 2}
    good = offer(gateway, build_release("1.2.0", 3), NEXT_KEY)
    assert await download(gateway, good) == states.RESULT_INITIAL
