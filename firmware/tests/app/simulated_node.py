"""The node under test on a virtual board, held by the hand.

Not the rack of poleward_tools, which runs many boards and is told what to do over a socket.
"""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

from poleward_tools.virtual_board.application import MicroPythonApplication
from poleward_tools.virtual_board.board import Board
from poleward_tools.virtual_board.boot_rom import ResetReason
from poleward_tools.virtual_board.console_log import ConsoleLog, LoggedLine
from poleward_tools.virtual_board.flash_chip import NorFlash
from poleward_tools.virtual_board.guest_bus import Outside
from poleward_tools.virtual_board.interpreters import Interpreters
from poleward_tools.virtual_board.line import PtyLine
from poleward_tools.virtual_board.node_folder import NodeFolder
from poleward_tools.virtual_board.surroundings import Surroundings

_DEADLINE_S = 60


class SimulatedNode:
    """One node; `start` and `kill` are its power switch.

    Its board lives in a thread of its own: the tests' loop is the gateway's.
    """

    def __init__(self, folder: NodeFolder) -> None:
        self.folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._life: asyncio.Task[None] | None = None
        self._application: MicroPythonApplication | None = None

    @property
    def console(self) -> str:
        path = self.folder.console
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def resets(self) -> int:
        """How often the node has reset itself."""
        return self.console.count(f"rst:0x{ResetReason.SOFTWARE.value[0]:x}")

    @property
    def lamp_levels(self) -> list[int | None]:
        """What its lamp was driven to since it has power, in thousandths; None for a reset."""
        assert self._application is not None
        return list(self._application.outside.lamp.levels)

    def start(self) -> None:
        """Give it power."""
        self._call(self._start())

    def kill(self) -> None:
        """Cut the power."""
        self._call(self._kill())

    def press_button(self) -> None:
        """Press the emergency call button."""
        assert self._application is not None
        self._loop.call_soon_threadsafe(self._application.press_button)

    def close(self) -> None:
        """Put the board away."""
        self.kill()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_DEADLINE_S)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.result(_DEADLINE_S)

    async def _start(self) -> None:
        self._life = asyncio.create_task(self._live())

    async def _kill(self) -> None:
        if self._life:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life
            self._life = None

    async def _live(self) -> None:
        folder = self.folder
        async with contextlib.AsyncExitStack() as stack:
            flash = stack.enter_context(
                NorFlash.open(folder.flash, size_bytes=folder.flash.stat().st_size)
            )
            port = stack.enter_context(PtyLine())
            log = stack.enter_context(ConsoleLog(folder.console))
            self._application = MicroPythonApplication(
                flash, folder.flash, folder.mac,
                outside=Outside(Surroundings.load(folder.path)),
                interpreters=await stack.enter_async_context(Interpreters()),
            )  # fmt: skip
            line = LoggedLine(port, log)
            await Board(folder.chip, flash, folder.mac, line, self._application).run()
