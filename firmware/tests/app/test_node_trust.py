"""A real node believes the keys that trust documents name, and installs what a directive names."""

import time
from dataclasses import replace

import aiocoap
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware.tests.app.conftest import MAC
from firmware.tests.app.fake_gateway import FakeGateway
from firmware.tests.app.simulated_node import SimulatedNode
from firmware.tests.app.test_node_updates import download, offer
from nodelink import firmware_update as states
from poleward_manifest import directive, subject, trust
from poleward_manifest.directive import Directive
from poleward_manifest.trust import Role, TrustDocument
from poleward_tools.releases.build import build_release

NEXT_KEY, ROOT_KEY, DIRECTOR = (Ed25519PrivateKey.generate() for _ in range(3))
DAY_S = 24 * 3600
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


async def test_release_keys_alone_install_nothing_where_directives_are_asked_for(
    node: SimulatedNode, gateway: FakeGateway, release_key: Ed25519PrivateKey
) -> None:
    """The gateway takes part with the thief: it serves whatever he wants."""
    await gateway.until(lambda: gateway.reports)
    first = TrustDocument(1, EXPIRES_AT_S, role(ROOT_KEY), role(release_key), role(DIRECTOR))
    gateway.files["t", "1"] = trust.sign(first, [release_key, ROOT_KEY])
    await announce(gateway, node, 1)
    uri = offer(gateway, build_release("1.1.0", 2), release_key)
    now_s = int(time.time())
    me, other = subject.of_node(MAC), "node:000000000000"
    good = Directive(bytes.fromhex(uri[-64:]), me, "7", now_s - DAY_S, now_s + DAY_S)
    stale = replace(good, not_before_s=0, not_after_s=now_s - DAY_S)
    for signed, result in (
        (None, states.RESULT_INTEGRITY),
        (directive.sign(good, [release_key]), states.RESULT_INTEGRITY),
        (directive.sign(replace(good, subject=other), [DIRECTOR]), states.RESULT_INTEGRITY),
        (directive.sign(stale, [DIRECTOR]), states.RESULT_DEFERRED),
    ):
        if signed:
            gateway.files[("o",)] = signed
        assert await download(gateway, uri) == result
    gateway.files[("o",)] = directive.sign(good, [DIRECTOR])
    assert await download(gateway, uri) == states.RESULT_INITIAL
