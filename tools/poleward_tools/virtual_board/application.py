"""The application of a virtual board: MicroPython on the board's flash, with its console.

Not the chip's boot; it gets what that has loaded. Peripherals are not modelled here.
"""

import asyncio
import logging
import signal
import socket
import sys
import sysconfig
from pathlib import Path

from poleward_tools.flash_image.errors import FlashImageError
from poleward_tools.flash_image.nvs import NvsPartition
from poleward_tools.flash_image.partition_table import SUBTYPE_NVS, TYPE_DATA
from poleward_tools.virtual_board import guest
from poleward_tools.virtual_board.boot_rom import ResetReason, StartedApplication
from poleward_tools.virtual_board.console import Console
from poleward_tools.virtual_board.flash_chip import FlashRegion, NorFlash
from poleward_tools.virtual_board.guest_bus import GuestBus
from poleward_tools.virtual_board.line import Line

DEFAULT_HEAP_BYTES = 256 * 1024
# For a watchdog that is fed through a pipe, as `node.board.sim` does it.
DEFAULT_FED_TIMEOUT_S = 30.0
_FEEDING_VARIABLE = "POLEWARD_WATCHDOG_FD"
_INTERPRETER = Path(__file__).with_name("interpreter.py")
_log = logging.getLogger(__name__)

# `machine.reset_cause()` of each reason.
_RESET_CAUSES = {
    ResetReason.POWER_ON: 1,
    ResetReason.SOFTWARE: 2,
    ResetReason.WATCHDOG: 3,
    ResetReason.BROWN_OUT: 1,
}


class MicroPythonApplication:
    """Runs one VM at a time for one board; what it programs and erases goes through the flash.

    Raises (from `run`):
        PowerCutError: the flash lost its power in an operation of the guest.
    """

    def __init__(
        self,
        flash: NorFlash,
        flash_path: Path,
        mac: bytes,
        *,
        heap_bytes: int = DEFAULT_HEAP_BYTES,
        fed_timeout_s: float = DEFAULT_FED_TIMEOUT_S,
    ) -> None:
        self._flash = flash
        self._flash_path = flash_path
        self._mac = mac
        self._heap_bytes = heap_bytes
        self._fed_timeout_s = fed_timeout_s
        self._console: Console | None = None
        self._process: asyncio.subprocess.Process | None = None

    def receive(self, data: bytes) -> None:
        """Take bytes that came in on the board's line."""
        if self._console:
            self._console.type(data)

    def hang(self) -> None:
        """Stop the VM where it is; the watchdog, being hardware, goes on."""
        if self._process and self._process.returncode is None:
            self._process.send_signal(signal.SIGSTOP)

    async def run(self, started: StartedApplication, line: Line) -> ResetReason:
        """Run the VM until the chip resets, and say why it did."""
        files = started.file_system
        if files is None:
            await line.write(b"No partition with a file system.\r\n")
            await asyncio.Event().wait()
            raise AssertionError
        region = started.table.first(TYPE_DATA, SUBTYPE_NVS)
        nvs = None
        if region:
            try:
                nvs = NvsPartition(FlashRegion(self._flash, region.offset, region.size_bytes))
            except FlashImageError as error:
                _log.warning("no NVS: %s", error)
        ours, theirs = socket.socketpair()
        fed, feeding = socket.socketpair()
        with ours, theirs, fed, feeding, self._flash_path.open("rb") as flash_file:
            self._console = Console(line)
            bus = GuestBus(ours, self._flash, nvs, self._console, fed, self._fed_timeout_s)
            try:
                return await self._run_process(
                    theirs, feeding, flash_file.fileno(), bus,
                    (files.offset, files.size_bytes, self._mac.hex(),
                     _RESET_CAUSES[started.reason]),
                )  # fmt: skip
            finally:
                self._console.close()
                self._console = None

    async def _run_process(
        self,
        bus_end: socket.socket,
        feeding: socket.socket,
        flash_descriptor: int,
        bus: GuestBus,
        about: tuple[object, ...],
    ) -> ResetReason:
        console = bus.console
        arguments = [
            sysconfig.get_path("platlib"),
            str(self._heap_bytes),
            str(guest.FOLDER / "start.py"),
            str(bus_end.fileno()),
            str(flash_descriptor),
            *map(str, about),
        ]
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(_INTERPRETER), *arguments,
                stdin=console.inner, stdout=console.inner, stderr=console.inner,
                pass_fds=(bus_end.fileno(), feeding.fileno(), flash_descriptor),
                # No history of consoles in anybody's home.
                env={"HOME": "/nonexistent", _FEEDING_VARIABLE: str(feeding.fileno())},
                start_new_session=True,
            )  # fmt: skip
            self._process = process
            tasks = [
                asyncio.create_task(work)
                for work in (process.wait(), bus.serve(), console.show(), console.feed())
            ]
            exited, serving = tasks[:2]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # 1. The guest asked for a reset, 2. the power was cut, 3. the board's task was
                # cancelled: the process is still there. 4. It ended by itself: kill does nothing.
                if process.returncode is None:
                    process.kill()
                    await process.wait()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in tasks:
                if task is not exited and not task.cancelled() and task.exception():
                    raise task.exception() or AssertionError
            if not serving.cancelled():
                reason = serving.result()
                assert isinstance(reason, ResetReason)
                return reason
            # Ctrl-C in the moment where the VM has no handler: the chip would not even notice.
            _log.info("MicroPython ended with %s, started again", process.returncode)
            await console.line.write(b"MPY: soft reboot\r\n")
