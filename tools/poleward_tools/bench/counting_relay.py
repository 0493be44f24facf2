"""A TCP relay on the loopback that counts what passes.

It understands nothing of what it passes on.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

_PIECE_BYTES = 256 * 1024


class CountingRelay:
    """Passes connections on to one address.

    Args:
        target: host:port.
    """

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self.address = ""
        self.up_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["CountingRelay"]:
        """Listen on a free port inside a block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        up = asyncio.create_task(self._pass(reader, there_writer, up=True))
        down = asyncio.create_task(self._pass(there_reader, writer, up=False))
        self._tasks |= {up, down}
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
        self._tasks -= {up, down}

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        try:
            while piece := await reader.read(_PIECE_BYTES):
                if up:
                    self.up_bytes += len(piece)
                writer.write(piece)
                await writer.drain()
        finally:
            writer.close()
