"""Nodes of the benchmark `group-command` that are no VMs: a program that answers as nodes do.

Not a node: it knows what a gateway asks after a registration, and lamp commands. OSCORE, Echo
challenge and acknowledgements are real. Run by bench_process.py.
"""

import asyncio
import json
import os
import random
import sys
from typing import Any

import cbor2
from aiocoap import oscore
from aiocoap.message import Message
from aiocoap.numbers import codes
from aiocoap.numbers.types import ACK, CON, NON

from poleward_tools.bench.report_keys import GATEWAY_ID, MemoryContext, node_id

_REGISTER_S = 30.0
_AT_ONCE = 20
_SENML_CBOR = 112
_VALUES: dict[str, Any] = {
    "/3/0/0": "Poleward", "/3/0/1": "pole node", "/3/0/3": "1.0.0", "/3/0/18": "sim",
    "/5/0/3": 0, "/5/0/5": 0, "/26243/0/0": 1, "/26243/0/2": False, "/26243/0/3": "",
    "/26245/0/0": "",
}  # fmt: skip


class LampNode(asyncio.DatagramProtocol):
    """One node on a socket of its own."""

    def __init__(self, number: int, gateway: tuple[str, int]) -> None:
        self._number = number
        self._gateway = gateway
        self._context = MemoryContext(number, node_id(number), GATEWAY_ID)
        self._registered = asyncio.Event()
        self._is_fresh = False
        self._challenge = os.urandom(8)
        self._mid = random.randrange(65536)
        self._answered: dict[int, bytes] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._request_id: Any = None

    async def register(self) -> None:
        """Register; the gateway asks from then on.

        Raises:
            TimeoutError: it does not answer.
        """
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, remote_addr=self._gateway)
        async with asyncio.timeout(_REGISTER_S):
            while not self._registered.is_set():
                request = Message(
                    code=codes.POST, uri_path=("rd",), payload=b"</3/0>,</3416/0>",
                    content_format=40,
                )  # fmt: skip
                name = f"ep=urn:dev:mac:{self._number:012x}"
                request.opt.uri_query = (name, "lt=3600", "lwm2m=1.1", "b=U")
                protected, self._request_id = self._context.protect(request)
                self._send(protected, CON, os.urandom(4))
                try:
                    async with asyncio.timeout(3):
                        await self._registered.wait()
                except TimeoutError:
                    continue

    def connection_made(self, transport: Any) -> None:
        """Keep the socket."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Take a response to the registration, or answer a request."""
        message = Message.decode(data)
        if message.code.is_response():
            if message.mtype is CON:
                self._raw(bytes([0x60, 0]) + message.mid.to_bytes(2, "big"))
            if message.opt.oscore is not None and not self._registered.is_set():
                self._registered.set()
            return
        if not message.code.is_request():
            return
        known = self._answered.get(message.mid)
        if known is None:
            known = self._answer(message)
            if known is None:
                return
            self._answered[message.mid] = known
            if len(self._answered) > 16:
                self._answered.pop(next(iter(self._answered)))
        self._raw(known)

    def _answer(self, message: Any) -> bytes | None:
        try:
            inner, request_id = self._context.unprotect(message)
        except oscore.ProtectionInvalid:
            return None
        response, _ = self._context.protect(self._act(inner), request_id)
        response.mid, response.mtype, response.token = message.mid, ACK, message.token
        if message.mtype is NON:
            response.mtype = NON
        encoded: bytes = response.encode()
        return encoded

    def _act(self, request: Any) -> Any:
        path = "/" + "/".join(request.opt.uri_path)
        if request.code == codes.GET:
            pack = [_record(name, value) for name, value in _VALUES.items() if _is_at(path, name)]
            if not pack:
                return Message(code=codes.NOT_FOUND)
            return Message(
                code=codes.CONTENT, payload=cbor2.dumps(pack), content_format=_SENML_CBOR
            )
        if request.code == codes.iPATCH and b"/3416/0/1" in request.payload and not self._is_fresh:
            if request.opt.echo != self._challenge:
                return Message(code=codes.UNAUTHORIZED, echo=self._challenge)
            self._is_fresh = True
        return Message(code=codes.CHANGED)

    def _send(self, message: Any, mtype: Any, token: bytes) -> None:
        self._mid = (self._mid + 1) & 0xFFFF
        message.mid, message.mtype, message.token = self._mid, mtype, token
        self._raw(message.encode())

    def _raw(self, datagram: bytes) -> None:
        assert self._transport is not None
        self._transport.sendto(datagram)


def _is_at(path: str, name: str) -> bool:
    return name == path or name.startswith(path + "/")


def _record(name: str, value: Any) -> dict[int, Any]:
    label = 4 if isinstance(value, bool) else 3 if isinstance(value, str) else 2
    return {0: name, label: value}


async def run(order: dict[str, Any]) -> None:
    """Register all nodes, a few at a time, and answer until the process is ended."""
    gateway = ("127.0.0.1", order["port"])
    nodes = [LampNode(number, gateway) for number in range(order["first"], order["last"] + 1)]
    for start in range(0, len(nodes), _AT_ONCE):
        await asyncio.gather(*(node.register() for node in nodes[start : start + _AT_ONCE]))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.stdin.readline())))
