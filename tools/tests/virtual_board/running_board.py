"""A board in this process that runs MicroPython from its flash, and a person at its console."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from poleward_tools.flash_image.littlefs import FileSystemImage
from poleward_tools.flash_image.nvs import NvsPartition
from poleward_tools.flash_image.partition_table import NODE_4_MIB
from poleward_tools.virtual_board.application import MicroPythonApplication
from poleward_tools.virtual_board.board import Board
from poleward_tools.virtual_board.chips import CHIPS
from poleward_tools.virtual_board.flash_chip import NorFlash
from poleward_tools.virtual_board.line import PtyLine

from .conftest import FLASH_SIZE_BYTES

MAC = bytes.fromhex("24ec4a112233")
VFS = next(part for part in NODE_4_MIB if part.label == "vfs")
NVS = next(part for part in NODE_4_MIB if part.label == "nvs")
DEADLINE_S = 60


@dataclass
class Bench:
    board: Board
    flash: NorFlash
    line: PtyLine
    application: MicroPythonApplication

    def files(self) -> dict[str, bytes]:
        return FileSystemImage.mount(self.flash.read(VFS.offset, VFS.size_bytes)).files()

    def nvs(self) -> NvsPartition:
        return NvsPartition.decode(self.flash.read(NVS.offset, NVS.size_bytes))

    async def mpremote(self, *arguments: str) -> str:
        return await self.tool("mpremote", "connect", self.line.path, *arguments)

    async def tool(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        except TimeoutError:
            process.kill()
            output, _ = await process.communicate()
            pytest.fail(f"{arguments} hangs after: {output!r}")
        shown = output.decode()
        assert process.returncode == 0, shown
        return shown


class Terminal:
    """A person at the console."""

    def __init__(self, path: str) -> None:
        self._port = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._seen = b""

    def close(self) -> None:
        os.close(self._port)

    def type(self, keys: bytes) -> None:
        os.write(self._port, keys)

    async def read_until(self, expected: bytes) -> bytes:
        """Return everything up to and with `expected`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DEADLINE_S):
                while expected not in self._seen:
                    readable = asyncio.Event()
                    loop.add_reader(self._port, readable.set)
                    await readable.wait()
                    loop.remove_reader(self._port)
                    self._seen += os.read(self._port, 4096)
        except TimeoutError:
            loop.remove_reader(self._port)
            pytest.fail(f"{expected!r} did not come after {self._seen!r}")
        before, found, self._seen = self._seen.partition(expected)
        return before + found


@contextlib.asynccontextmanager
async def running(path: Path, chip: str = "esp32") -> AsyncIterator[Bench]:
    with NorFlash.open(path, size_bytes=FLASH_SIZE_BYTES) as flash, PtyLine() as line:
        application = MicroPythonApplication(flash, path, MAC)
        board = Board(CHIPS[chip], flash, MAC, line, application)
        living = asyncio.create_task(board.run())
        try:
            yield Bench(board, flash, line, application)
        finally:
            living.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await living
