"""Parts of a benchmark as processes of their own: started, told to begin, read, ended.

Not what they do: the module that is run decides. It reads its order as JSON from the first line of
standard input, prints a line when it is ready, begins at the second line and prints its result.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

_READY_S = 120.0
_LINE_BYTES = 1 << 26


class BenchProcessError(Exception):
    """A process of the benchmark ended early; its log is on standard error."""


class BenchProcess:
    """One process that is ready."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def begin(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"begin\n")

    async def result(self, timeout_s: float) -> dict[str, Any]:
        """Wait for its result.

        Raises:
            BenchProcessError: It ended without one.
            TimeoutError: It does not end.
        """
        async with asyncio.timeout(timeout_s):
            return dict(json.loads(await self.line()))

    async def line(self) -> bytes:
        """Wait for its next line.

        Raises:
            BenchProcessError: It ended without one.
        """
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise BenchProcessError("a process of the benchmark ended early")
        return line


@contextlib.asynccontextmanager
async def bench_process(module: str, order: dict[str, Any]) -> AsyncIterator[BenchProcess]:
    """Run a module inside a block; it is ready when the block begins.

    Raises:
        BenchProcessError: It ended before it was ready.
        TimeoutError: It does not get ready.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        running = BenchProcess(process)
        async with asyncio.timeout(_READY_S):
            await running.line()
        yield running
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.communicate()
