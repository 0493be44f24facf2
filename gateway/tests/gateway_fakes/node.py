"""A node for tests: a UDP socket, aiocoap's codec and OSCORE, and a table of resources.

Not the node's firmware: it is as plain as possible so that a failure points at the gateway.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

import cbor2
from aiocoap import oscore
from aiocoap.message import Message
from aiocoap.numbers import codes
from aiocoap.numbers.types import ACK, CON, NON, Type

from poleward_gateway.domain.nodes import OscoreKeys

TIMEOUT_S = 60.0


class FakeContext(oscore.CanProtect, oscore.CanUnprotect, oscore.SecurityContextUtils):
    """Node's side of a security context, in memory."""

    alg_aead = oscore.algorithms["AES-CCM-16-64-128"]
    hashfun = oscore.hashfunctions["sha256"]
    id_context = None

    def __init__(self, keys: OscoreKeys) -> None:
        self.sender_id = keys.node_id
        self.recipient_id = keys.gateway_id
        self.derive_keys(keys.master_salt, keys.master_secret)
        self.sender_sequence_number = 0
        self.echo_recovery: bytes | None = None
        self.recipient_replay_window = oscore.ReplayWindow(32, lambda: None)
        self.recipient_replay_window.initialize_empty()

    def post_seqnoincrease(self) -> None:
        """Keep nothing."""


class FakeNode(asyncio.DatagramProtocol):
    """Speaks to a gateway; `resources` holds what it answers reads with, `writes` what it got.

    Args:
        endpoint_name: Its name.
        bootstrap: Keys of the bootstrap context.
        gateway: Address and port of the gateway.
    """

    def __init__(self, endpoint_name: str, bootstrap: OscoreKeys, gateway: tuple[str, int]) -> None:
        self.endpoint_name = endpoint_name
        self.gateway = gateway
        self.bootstrap_context = FakeContext(bootstrap)
        self.operational_context: FakeContext | None = None
        self.resources: dict[str, Any] = {
            "/3/0/0": "Poleward", "/3/0/1": "pole-basic", "/3/0/3": "1.0.0", "/3/0/18": "sim",
            "/5/0/3": 0, "/5/0/5": 0, "/26245/0/0": "",
            "/26243/0/0": 1, "/26243/0/1": "a", "/26243/0/2": False, "/26243/0/3": "",
            "/26243/0/4": 0,
        }  # fmt: skip
        self.writes: list[tuple[str, Any]] = []
        self.executed: list[str] = []
        self.refused: dict[str, str] = {}
        self.sent: list[bytes] = []
        self.acknowledgements: dict[int, list[bytes]] = {}
        self.deleted: list[str] = []
        self.challenges = 0
        self.fresh = True
        self.silent = False
        self.rejecting = False
        self.insecure = False
        self.deadline_code: Any = None
        self.location = ""
        self.on_execute: Callable[[str], None] = lambda path: None
        self.on_write: Callable[[str, Any], None] = lambda path, value: None
        self.finished = asyncio.Event()
        self._waiting: dict[bytes, asyncio.Future[Any]] = {}
        self._seen: dict[int, bytes | None] = {}
        self._observers: dict[str, tuple[bytes, Any]] = {}
        self._mid = random.randrange(65536)
        self._transport: Any = None

    async def open(self) -> "FakeNode":
        await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, remote_addr=self.gateway
        )
        return self

    async def move(self) -> None:
        """Get another port, as behind a NAT that forgot."""
        self._transport.close()
        await self.open()

    def close(self) -> None:
        self._transport.close()

    def restart(self) -> None:
        """Lose the replay window, as a restart does (RFC 8613, B.1.2)."""
        assert self.operational_context is not None
        self.operational_context.echo_recovery = os.urandom(8)
        self.operational_context.recipient_replay_window = oscore.ReplayWindow(32, lambda: None)

    # Asking

    async def bootstrap(self) -> None:
        """Bootstrap and take the operational keys."""
        response = await self.request(
            self.bootstrap_context, codes.POST, ("bs",), query=(f"ep={self.endpoint_name}",)
        )
        assert response.code == codes.CHANGED, response
        await asyncio.wait_for(self.finished.wait(), TIMEOUT_S)
        got = dict(self.writes)
        self.operational_context = FakeContext(
            OscoreKeys(got["/21/1/0"], got["/21/1/5"], got["/21/1/1"], got["/21/1/2"])
        )

    async def register(self, *, queue_mode: bool = False) -> None:
        response = await self.request(
            self.operational_context, codes.POST, ("rd",),
            query=(f"ep={self.endpoint_name}", "lt=300", "lwm2m=1.1", "b=U", *["Q"] * queue_mode),
            payload=b"</3/0>,</5/0>,</3416/0>", content_format=40,
        )  # fmt: skip
        assert response.code == codes.CREATED, response
        self.location = "/".join(response.opt.location_path)

    async def report(self, boot: int, sequence: int, readings: dict[str, float]) -> Any:
        pack: list[dict[int, Any]] = [
            {-3: 1_790_000_000 + sequence, 0: "/26241/0/0", 2: boot},
            {0: "/26241/0/1", 2: sequence},
        ]
        pack += [{0: name, 2: value} for name, value in readings.items()]
        return await self.send(cbor2.dumps(pack))

    async def send(self, pack: bytes) -> Any:
        return await self.request(
            self.operational_context, codes.POST, ("dp",), payload=pack, content_format=112
        )

    async def fetch(self, *path: str, szx: int = 6) -> bytes:
        """GET in blocks."""
        content = b""
        while True:
            response = await self.request(
                self.operational_context, codes.GET, path, block2=(len(content) >> szx + 4, 0, szx)
            )
            assert response.code == codes.CONTENT, (response.code, path)
            content += bytes(response.payload)
            if not response.opt.block2.more:
                return content

    async def request(
        self, context: Any, code: Any, path: tuple[str, ...], *, query: tuple[str, ...] = (),
        payload: bytes = b"", **options: Any,
    ) -> Any:  # fmt: skip
        """Send a request and return the response; answers an Echo challenge as RFC 9175 says."""
        message = Message(code=code, uri_path=path, payload=payload, **options)
        if query:
            message.opt.uri_query = query
        response = await self._exchange(context, message)
        if response.code == codes.UNAUTHORIZED and response.opt.echo is not None:
            self.challenges += 1
            response = await self._exchange(context, message.copy(echo=response.opt.echo))
        return response

    async def _exchange(self, context: Any, message: Any) -> Any:
        request_id = None
        if context is not None:
            message, request_id = context.protect(message)
        response = await self.exchange_bytes(self._encode(message, CON))
        if response.opt.oscore is not None:
            response, _ = context.unprotect(response, request_id)
        return response

    def _encode(self, message: Any, mtype: Type) -> bytes:
        self._mid = (self._mid + 1) & 0xFFFF
        message.mid, message.mtype, message.token = self._mid, mtype, os.urandom(4)
        encoded: bytes = message.encode()
        return encoded

    async def exchange_bytes(self, datagram: bytes) -> Any:
        """Send bytes as they are; return whatever answers their token."""
        token = datagram[4 : 4 + (datagram[0] & 15)]
        future = self._waiting[token] = asyncio.get_running_loop().create_future()
        try:
            self._transport.sendto(datagram)
            self.sent.append(datagram)
            return await asyncio.wait_for(future, TIMEOUT_S)
        finally:
            self._waiting.pop(token, None)

    def throw(self, datagram: bytes) -> None:
        """Send bytes and expect nothing."""
        self._transport.sendto(datagram)

    # Answering

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        message = Message.decode(data)
        if message.mtype == ACK:
            self.acknowledgements.setdefault(message.mid, []).append(data)
        if message.code.is_response():
            future = self._waiting.get(message.token)
            if future is not None and not future.done():
                future.set_result(message)
            if message.mtype == CON:
                self._transport.sendto(bytes([0x60, 0]) + message.mid.to_bytes(2, "big"))
            return
        if message.code.is_request() and self.rejecting:
            self._transport.sendto(bytes([0x70, 0]) + message.mid.to_bytes(2, "big"))
        elif message.code.is_request() and not self.silent:
            if message.mid in self._seen:
                self._transport.sendto(self._seen[message.mid])
                return
            answer = self._answer(message)
            answer.mid, answer.mtype, answer.token = message.mid, ACK, message.token
            self._seen[message.mid] = bytes(answer.encode())
            self._transport.sendto(self._seen[message.mid])

    def _answer(self, message: Any) -> Any:
        if message.opt.oscore is None:
            return self._act(message) if self.insecure else Message(code=codes.UNAUTHORIZED)
        for context in (self.operational_context, self.bootstrap_context):
            if context is None:
                continue
            try:
                inner, request_id = context.unprotect(message)
            except oscore.ReplayErrorWithEcho as unknown_window:
                return unknown_window.to_message()
            except oscore.ProtectionInvalid:
                continue
            response = self._act(inner)
            if inner.opt.observe == 0:
                self._observers["/" + "/".join(inner.opt.uri_path)] = (message.token, request_id)
                response.opt.observe = 0
            protected, _ = context.protect(response, request_id)
            if inner.opt.observe == 0:
                protected.opt.observe = 0
            return protected
        return Message(code=codes.UNAUTHORIZED)

    def notify(self, path: str, value: Any) -> None:
        """Change a resource and tell its observer."""
        self.resources[path] = value
        token, request_id = self._observers[path]
        response = Message(code=codes.CONTENT, payload=self._read(path), content_format=112)
        response.opt.observe = 1
        protected, _ = self.operational_context.protect(response, request_id)  # type: ignore[union-attr]
        protected.opt.observe = 1
        self._mid = (self._mid + 1) & 0xFFFF
        protected.mid, protected.mtype, protected.token = self._mid, NON, token
        self._transport.sendto(bytes(protected.encode()))

    def _read(self, path: str) -> bytes:
        pack = []
        for name, value in self.resources.items():
            if name == path or name.startswith(path + "/"):
                label = 4 if isinstance(value, bool) else 3 if isinstance(value, str) else 2
                pack.append({0: name, label: value})
        return bytes(cbor2.dumps(pack))

    def _act(self, request: Any) -> Any:
        path = "/" + "/".join(request.opt.uri_path)
        if request.code == codes.DELETE:
            self.deleted.append(path)
            return Message(code=codes.DELETED)
        if path == "/bs":
            self.finished.set()
            return Message(code=codes.CHANGED)
        if request.code == codes.GET:
            return Message(code=codes.CONTENT, payload=self._read(path), content_format=112)
        if request.code == codes.POST and path in self.refused:
            return Message(code=codes.METHOD_NOT_ALLOWED, payload=self.refused[path].encode())
        if request.code == codes.POST:
            self.executed.append(path)
            self.on_execute(path)
            return Message(code=codes.CHANGED)
        base = ""
        got = []
        for record in cbor2.loads(request.payload):
            base = record.get(-2, base)
            value = next(record[label] for label in (2, 3, 4, 8, "vlo") if label in record)
            got.append((base + record.get(0, ""), value))
        if not self.fresh and any(name.startswith("/3416/") for name, _ in got):
            if request.opt.echo != b"fresh":
                self.challenges += 1
                return Message(code=codes.UNAUTHORIZED, echo=b"fresh")
            self.fresh = True
        if self.deadline_code is not None and any(n.startswith("/26244/") for n, _ in got):
            return Message(code=self.deadline_code, payload=b"deadline passed")
        self.writes += got
        for name, value in got:
            self.on_write(name, value)
        return Message(code=codes.CHANGED)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something the gateway asks makes a condition true."""
        await until(condition)


async def until(condition: Callable[[], bool], *, timeout_s: float = TIMEOUT_S) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - it watches the gateway, which signals nobody
            await asyncio.sleep(0.005)


MakeNode = Callable[..., Awaitable[FakeNode]]
"""Makes a node from the gateway's port and the node's number."""
