"""A TCP relay on the loopback: counts what passes, delays it, holds it back, cuts connections.

It understands nothing of what it passes on.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

_PIECE_BYTES = 256 * 1024


class TcpRelay:
    """Passes connections on to one address, which may change.

    A connection that comes while the relay is refused, or finds nobody behind it, is closed.

    Args:
        target: host:port.
        seed: of the chance of a stall.
    """

    def __init__(self, target: str, seed: int = 0) -> None:
        self.target = target
        self.address = ""
        self.up_bytes = 0
        self.latency_s = 0.0
        """Delay in each direction."""
        self.stall_chance = 0.0
        """Chance that a piece comes a second later, as when TCP has to send it again."""
        self._chance = random.Random(seed)
        self._passing = asyncio.Event()
        self._passing.set()
        self._is_refusing = False
        self._connections: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["TcpRelay"]:
        """Listen on a free port inside a block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await asyncio.gather(*self._connections, return_exceptions=True)

    def cut(self) -> None:
        """End every connection and refuse new ones."""
        self._is_refusing = True
        for task in self._connections:
            task.cancel()

    def hold(self) -> None:
        """Let nothing pass; both ends see a peer that says nothing."""
        self._passing.clear()

    def restore(self) -> None:
        """Undo `cut` and `hold`."""
        self._is_refusing = False
        self._passing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # cut, or nobody listens there: the end below says so
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_refusing:
            return
        host, _, port = self.target.rpartition(":")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        ways = [
            asyncio.create_task(self._pass(reader, there_writer, up=True)),
            asyncio.create_task(self._pass(there_reader, writer, up=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            there_writer.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        while piece := await reader.read(_PIECE_BYTES):
            delay_s = self.latency_s + (self._chance.random() < self.stall_chance)
            if delay_s:
                await asyncio.sleep(delay_s)
            await self._passing.wait()
            if up:
                self.up_bytes += len(piece)
            writer.write(piece)
            await writer.drain()
