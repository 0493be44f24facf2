"""Many virtual boards in one process: those of a folder, each with its port, control and log.

Not one board's life; `board` has that. It makes no folder.
"""

import asyncio
import contextlib
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from poleward_tools.virtual_board.application import DEFAULT_HEAP_BYTES, MicroPythonApplication
from poleward_tools.virtual_board.board import Board
from poleward_tools.virtual_board.console_log import ConsoleLog, LoggedLine
from poleward_tools.virtual_board.control import BoardControl, serve_control
from poleward_tools.virtual_board.flash_chip import FlashFaults, NorFlash
from poleward_tools.virtual_board.guest_bus import Outside
from poleward_tools.virtual_board.interpreters import Interpreters
from poleward_tools.virtual_board.line import PtyLine
from poleward_tools.virtual_board.link import Link
from poleward_tools.virtual_board.node_folder import ABOUT_NAME, NodeFolder
from poleward_tools.virtual_board.surroundings import Surroundings

_FOLLOW_S = 0.5  # how soon a new folder is seen
# Between first starts, so that many boards do not start at the same instant.
_STAGGER_S = 0.02
# What a chip needs from its reset to its program; keeps a boot loop from taking a whole core.
_RESET_S = 0.05


class Rack:
    """Runs the boards of a folder; a context manager whose end takes the power from all."""

    def __init__(self, folder: Path, *, heap_bytes: int = DEFAULT_HEAP_BYTES) -> None:
        self._folder = folder.resolve()
        self._heap_bytes = heap_bytes
        self._interpreters = Interpreters()
        self._running: dict[Path, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._interpreters.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await _cancel(list(self._running.values()))
        finally:
            await self._interpreters.__aexit__(kind, error, trace)

    async def follow(self) -> int:
        """Bring what runs in line with the folder once; returns how many boards there are.

        Raises:
            NodeFolderError: a folder is not understood.
            FlashRangeError: a flash has another size than its chip.
            InterpreterError: no VM can be started any more.
            OSError: a board cannot be run at all, e.g. the disk is full.
        """
        wanted = {path.parent for path in self._folder.glob(f"*/{ABOUT_NAME}")}
        for task in self._running.values():
            if task.done():
                task.result()
        await _cancel([self._running.pop(path) for path in set(self._running) - wanted])
        for path in sorted(wanted - set(self._running)):
            board = self._run(NodeFolder.load(path))
            self._running[path] = asyncio.create_task(board, name=path.name)
            await asyncio.sleep(_STAGGER_S)
        return len(self._running)

    async def _run(self, folder: NodeFolder) -> None:
        """Run one board until cancelled."""
        seed = int.from_bytes(folder.mac, "big")
        outside = Outside(Surroundings.load(folder.path), Link(seed))
        size_bytes = folder.flash.stat().st_size
        with (
            NorFlash.open(
                folder.flash, size_bytes=size_bytes, faults=FlashFaults(seed=seed)
            ) as flash,
            PtyLine(link=folder.port) as port,
            ConsoleLog(folder.console) as log,
        ):
            line = LoggedLine(port, log)
            application = MicroPythonApplication(
                flash, folder.flash, folder.mac,
                heap_bytes=self._heap_bytes, outside=outside, interpreters=self._interpreters,
            )  # fmt: skip
            board = Board(folder.chip, flash, folder.mac, line, application, reset_takes_s=_RESET_S)
            async with serve_control(BoardControl(board, flash, application), folder.control):
                await board.run()


async def serve(folder: Path, *, heap_bytes: int = DEFAULT_HEAP_BYTES) -> None:
    """Run the boards of a folder, also those made later, until SIGINT or SIGTERM.

    Raises:
        NodeFolderError, FlashRangeError, InterpreterError, OSError: as `Rack.follow`.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Rack(folder, heap_bytes=heap_bytes) as rack:
        while not stop.is_set():
            await rack.follow()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _FOLLOW_S)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
