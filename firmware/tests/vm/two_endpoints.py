"""Two of the node's endpoints on a fake network, under one OSCORE context; on both Pythons."""

import asyncio

from vm.fake_network import CountingRandom, FakeClock, FakeNetwork, FakeTransport

from node.coap.endpoint import Endpoint
from node.coap.message import CONTENT, Response
from node.oscore.context import SecurityContext

SECRET = bytes(range(16))
SALT = b"12345678"


class Pair:
    """A client and a server; `server.requests` collects what the handler saw.

    `Pair.handler` may be replaced; it answers 2.05 with the request's payload.
    """

    def __init__(self, **keywords) -> None:
        self.clock = FakeClock()
        self.network = FakeNetwork(self.clock)
        self.requests: list = []
        self.client = Endpoint(
            FakeTransport(self.network, "client"), self.clock, CountingRandom(1), self._refuse
        )
        self.server = Endpoint(
            FakeTransport(self.network, "server"), self.clock, CountingRandom(2), self._serve,
            **keywords,
        )  # fmt: skip
        self.context = SecurityContext(SECRET, SALT, b"\x01", b"\x00")
        self.server_context = SecurityContext(SECRET, SALT, b"\x00", b"\x01")
        self.client.add_context(self.context)
        self.server.add_context(self.server_context)
        self.handler = self._echo

    async def _echo(self, request):
        return Response(CONTENT, request.payload, request.content_format)

    async def _serve(self, request):
        self.requests.append(request)
        return await self.handler(request)

    async def _refuse(self, request):
        return Response(0x84)

    def request(self, code, path, **keywords):
        """Make the coroutine of a request from the client to the server under the context."""
        return self.client.request("server", self.context, code, path, **keywords)

    def run(self, test) -> None:
        """Run `async test(pair)` with both endpoints running."""

        async def main():
            tasks = [
                asyncio.create_task(self.client.run()),
                asyncio.create_task(self.server.run()),
            ]
            try:
                await test(self)
            finally:
                for task in tasks:
                    task.cancel()
                for task in tasks:
                    try:
                        await task
                    except asyncio.CancelledError:
                        pass

        asyncio.run(main())
