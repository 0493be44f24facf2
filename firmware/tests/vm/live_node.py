"""A node's endpoint on the MicroPython VM with a real socket, for tests against aiocoap.

Not a node: no LwM2M. `micropython live_node.py PEER_PORT IS_RESTORED`: registers with the
peer, then serves until it is killed. Its paths: `echo` gives the payload back, `large` 3000 bytes,
`count` a number that grows twice after it is observed, `lamp` wants freshness, `slow` takes a
second, `fetch` downloads the peer's path named in the payload.
"""

import asyncio
import os
import socket
import sys
from asyncio import core

from node.coap.clock import TickClock
from node.coap.endpoint import Endpoint
from node.coap.message import CHANGED, CONTENT, NOT_FOUND, POST, Response
from node.oscore.context import SecurityContext


class Transport:
    def __init__(self, sock):
        self.sock = sock

    async def receive_into(self, buffer):
        while True:
            try:
                datagram, address = self.sock.recvfrom(len(buffer))
            except OSError:
                await readable(self.sock)
                continue
            buffer[: len(datagram)] = datagram
            return len(datagram), address

    def send(self, view, address):
        self.sock.sendto(view, address)


def readable(sock):
    yield core._io_queue.queue_read(sock)


def address_of(port):
    return socket.getaddrinfo("127.0.0.1", port, socket.AF_INET, socket.SOCK_DGRAM)[0][-1]


class Sink:
    def __init__(self):
        self.size = 0
        self.sum = 0

    def write(self, view):
        self.size += len(view)
        self.sum = (self.sum + sum(view)) & 0xFFFFFF


async def main():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(address_of(0))
    peer = bytes(address_of(int(sys.argv[1])))
    context = SecurityContext(
        bytes(range(16)), bytes(range(8)), b"\x17", b"\x00", is_restored=sys.argv[2] == "1"
    )

    async def count(observation):
        for number in (b"1", b"2"):
            await asyncio.sleep_ms(50)
            endpoint.notify(observation, number, 0)

    async def serve(request):
        name = request.path[0]
        if name == "echo":
            return Response(CONTENT, request.payload, request.content_format)
        if name == "large":
            return Response(CONTENT, bytes(3000))
        if name == "slow":
            await asyncio.sleep_ms(1000)
            return Response(CHANGED)
        if name == "lamp":
            return Response(CHANGED) if request.is_fresh else endpoint.challenge(request)
        if name == "count":
            observation = endpoint.observe(request) if request.observe == 0 else None
            if observation is not None:
                asyncio.create_task(count(observation))
            return Response(CONTENT, b"0", 0)
        if name == "active":
            return Response(CONTENT, str(len(endpoint.observations)).encode())
        if name == "fetch":
            sink = Sink()
            await endpoint.download(peer, context, (bytes(request.payload).decode(),), sink)
            return Response(CONTENT, ("%d %d" % (sink.size, sink.sum)).encode())
        return Response(NOT_FOUND)

    endpoint = Endpoint(Transport(sock), TickClock(), os.urandom, serve)
    endpoint.add_context(context)
    running = asyncio.create_task(endpoint.run())
    response = await endpoint.request(
        peer, context, POST, ("rd",), query=("ep=x",), payload=bytes(2500)
    )
    print("registered", hex(response.code), bytes(response.payload).decode(), response.location)
    await running


asyncio.run(main())
