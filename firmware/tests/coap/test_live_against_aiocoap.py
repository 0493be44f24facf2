"""The node's endpoint on the VM and aiocoap, over real sockets and under OSCORE."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiocoap
import aiocoap.resource
import pytest
from aiocoap.oscore_sitewrapper import OscoreSiteWrapper
from aiocoap_context import MemoryContext
from compiled_tree import MICROPYTHON, TESTS, compiled_tree

DEADLINE_S = 60
ARTIFACT = bytes(range(256)) * 40  # 10 blocks of 1024


class Registration(aiocoap.resource.Resource):
    """Takes one registration in blocks and remembers where it came from."""

    def __init__(self) -> None:
        super().__init__()
        self.came: asyncio.Future[aiocoap.Message] = asyncio.get_running_loop().create_future()

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        if not self.came.done():
            self.came.set_result(request)
        return aiocoap.Message(code=aiocoap.CREATED, location_path=("rd", "7"), payload=b"welcome")


class Artifact(aiocoap.resource.Resource):
    """Serves 10 KiB."""

    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(code=aiocoap.CONTENT, payload=ARTIFACT, etag=b"v1")


@dataclass
class Live:
    """A running node and the aiocoap context that knows it."""

    coap: aiocoap.Context
    process: subprocess.Popen[bytes]
    registration: aiocoap.Message
    base: str
    output: Path
    observed: list[bytes] = field(default_factory=list)

    async def ask(self, code: aiocoap.Code, path: str, payload: bytes = b"") -> aiocoap.Message:
        request = aiocoap.Message(code=code, uri=f"{self.base}/{path}", payload=payload)
        async with asyncio.timeout(DEADLINE_S):
            return await self.coap.request(request).response


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=[False, True], ids=["new-keys", "after-reboot"])
async def live(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Live]:
    context = MemoryContext(bytes(range(16)), bytes(range(8)), b"\x00", b"\x17")
    site = aiocoap.resource.Site()
    registration = Registration()
    site.add_resource(["rd"], registration)
    site.add_resource(["artifact"], Artifact())
    credentials = aiocoap.credentials.CredentialsMap()
    credentials[":node"] = context
    port = free_port()
    coap = await aiocoap.Context.create_server_context(
        OscoreSiteWrapper(site, credentials),
        bind=("127.0.0.1", port),
        transports=["oscore", "udp6"],
    )
    output = tmp_path / "node.txt"
    with output.open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
            [
                MICROPYTHON, "-X", "heapsize=192k", TESTS / "vm" / "live_node.py",
                str(port), "1" if request.param else "0",
            ],
            env={**os.environ, "MICROPYPATH": f"{compiled_tree()}:.frozen"},
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        async with asyncio.timeout(DEADLINE_S):
            came = await registration.came
        remote = came.remote.underlying_address
        base = f"coap://{remote.hostinfo}"
        coap.client_credentials[f"{base}/*"] = context
        yield Live(coap, process, came, base, output)
    finally:
        process.kill()
        process.wait()
        await coap.shutdown()


async def test_a_registration_in_blocks_arrives_whole(live: Live) -> None:
    assert live.registration.payload == bytes(2500)
    assert live.registration.opt.uri_query == ("ep=x",)


async def test_requests_are_answered(live: Live) -> None:
    for number in range(5):
        response = await live.ask(aiocoap.POST, "echo", b"hello %d" % number)
        assert response.code == aiocoap.CONTENT
        assert response.payload == b"hello %d" % number
    assert (await live.ask(aiocoap.GET, "nothing")).code == aiocoap.NOT_FOUND


async def test_large_payloads_go_both_ways_in_blocks(live: Live) -> None:
    assert (await live.ask(aiocoap.GET, "large")).payload == bytes(3000)
    assert (await live.ask(aiocoap.POST, "echo", bytes(range(250)) * 12)).payload == (
        bytes(range(250)) * 12
    )


async def test_a_slow_answer_comes_separately(live: Live) -> None:
    assert (await live.ask(aiocoap.POST, "slow")).code == aiocoap.CHANGED


async def test_a_command_is_challenged_and_repeated_by_aiocoap(live: Live) -> None:
    assert (await live.ask(aiocoap.POST, "lamp", b"1")).code == aiocoap.CHANGED


async def test_the_node_downloads_from_aiocoap(live: Live) -> None:
    response = await live.ask(aiocoap.POST, "fetch", b"artifact")
    assert response.payload == b"%d %d" % (len(ARTIFACT), sum(ARTIFACT) & 0xFFFFFF)


async def test_a_plain_request_is_refused(live: Live) -> None:
    stranger = await aiocoap.Context.create_client_context()
    try:
        request = aiocoap.Message(code=aiocoap.GET, uri=f"{live.base}/echo")
        async with asyncio.timeout(DEADLINE_S):
            response = await stranger.request(request).response
        assert response.code == aiocoap.UNAUTHORIZED
    finally:
        await stranger.shutdown()


async def test_notifications_reach_aiocoap_until_it_stops_listening(live: Live) -> None:
    request = live.coap.request(
        aiocoap.Message(code=aiocoap.GET, uri=f"{live.base}/count", observe=0)
    )
    seen = []
    async with asyncio.timeout(DEADLINE_S):
        seen.append((await request.response).payload)
        async for notification in request.observation:
            seen.append(notification.payload)
            if notification.payload == b"2":
                break
    assert seen[0] == b"0"
    assert seen[-1] == b"2"
    assert (await live.ask(aiocoap.GET, "active")).payload == b"1"
    request.observation.cancel()
