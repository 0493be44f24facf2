"""The application of a virtual board: MicroPython on the board's flash, with its console.

Not the chip's boot; it gets what that has loaded. The models of peripherals are in the guest.
"""

import asyncio
import contextlib
import logging
import socket
from pathlib import Path

from poleward_tools.flash_image.errors import FlashImageError
from poleward_tools.flash_image.nvs import NvsPartition
from poleward_tools.flash_image.partition_table import SUBTYPE_NVS, TYPE_DATA
from poleward_tools.virtual_board import guest
from poleward_tools.virtual_board.boot_rom import ResetReason, StartedApplication
from poleward_tools.virtual_board.console import Console
from poleward_tools.virtual_board.flash_chip import FlashRegion, NorFlash
from poleward_tools.virtual_board.guest_bus import GuestBus, Outside
from poleward_tools.virtual_board.interpreters import Interpreter, Interpreters
from poleward_tools.virtual_board.line import Line
from poleward_tools.virtual_board.partitions import AppPartitions
from poleward_tools.virtual_board.stand_ins import MICROPYTHON

DEFAULT_HEAP_BYTES = 256 * 1024
# What the guest's modules take of it; the chip has them in its flash.
GUEST_HEAP_BYTES = 18 * 1024
# For a watchdog that is fed through a pipe, each time with the milliseconds until it bites.
_FEEDING_VARIABLE = "POLEWARD_WATCHDOG_FD"
# A byte for each press of the emergency call button.
_BUTTON_VARIABLE = "POLEWARD_BUTTON_FD"
_log = logging.getLogger(__name__)

# What ESP-IDF's panic handler prints before it resets the chip.
_PANIC = b"Guru Meditation Error: Core  0 panic'ed (IllegalInstruction).\r\nRebooting...\r\n"

# `machine.reset_cause()` of each reason.
_RESET_CAUSES = {
    ResetReason.POWER_ON: 1,
    ResetReason.SOFTWARE: 2,
    ResetReason.WATCHDOG: 3,
    ResetReason.BROWN_OUT: 1,
}


class MicroPythonApplication:
    """Runs one VM at a time for one board; what it programs and erases goes through the flash.

    Without `interpreters` it has its own for each run.

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
        outside: Outside | None = None,
        interpreters: Interpreters | None = None,
    ) -> None:
        self._flash = flash
        self._flash_path = flash_path
        self._mac = mac
        self._heap_bytes = heap_bytes
        self._console: Console | None = None
        self.outside = outside or Outside()
        self._interpreters = interpreters
        self._vm: Interpreter | None = None
        self._button: socket.socket | None = None

    def receive(self, data: bytes) -> None:
        """Take bytes that came in on the board's line."""
        if self._console:
            self._console.type(data)

    def press_button(self) -> None:
        """Press the emergency call button; without power nothing notices."""
        if self._button:
            self._button.send(b"\n")

    def hang(self) -> None:
        """Stop the VM where it is; the watchdog, being hardware, goes on."""
        if self._vm:
            self._vm.freeze()

    async def run(self, started: StartedApplication, line: Line) -> ResetReason:
        """Run the VM until the chip resets, and say why it did."""
        self.outside.lamp.reset()
        about = started.description
        if about and not about.project.startswith(MICROPYTHON):
            _log.info("%s cannot be run here, only %s", about.project, MICROPYTHON)
            await line.write(_PANIC)
            return ResetReason.SOFTWARE
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
        async with contextlib.AsyncExitStack() as stack:
            ends = [stack.enter_context(end) for _ in range(3) for end in socket.socketpair()]
            ours, theirs, fed, feeding, self._button, pressed = ends
            flash_file = stack.enter_context(self._flash_path.open("rb"))
            interpreters = self._interpreters
            if interpreters is None:
                interpreters = await stack.enter_async_context(Interpreters())
            self._console = stack.enter_context(contextlib.closing(Console(line)))
            bus = GuestBus(
                ours, self._flash, AppPartitions(self._flash, started), nvs, self._console,
                fed, self.outside,
            )  # fmt: skip
            try:
                return await self._run_vm(
                    interpreters, bus,
                    (
                        theirs.fileno(), feeding.fileno(), flash_file.fileno(), pressed.fileno(),
                    ),
                    (files.offset, files.size_bytes, self._mac.hex(),
                     _RESET_CAUSES[started.reason]),
                )  # fmt: skip
            finally:
                self._console = self._button = None
                self.outside.link.close()

    async def _run_vm(
        self,
        interpreters: Interpreters,
        bus: GuestBus,
        descriptors: tuple[int, ...],
        about: tuple[object, ...],
    ) -> ResetReason:
        console = bus.console
        while True:
            vm = await interpreters.start(
                guest.FOLDER / "start.py",
                ["{1}", "{3}", *map(str, about)],
                heap_bytes=self._heap_bytes + GUEST_HEAP_BYTES,
                descriptors=(console.inner, *descriptors),
                # No history of consoles in anybody's home.
                environment={
                    "HOME": "/nonexistent", _FEEDING_VARIABLE: "{2}", _BUTTON_VARIABLE: "{4}",
                },
            )  # fmt: skip
            self._vm = vm
            tasks = [
                asyncio.create_task(work)
                for work in (vm.wait(), bus.serve(), console.show(), console.feed())
            ]
            exited, serving = tasks[:2]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # 1. The guest asked for a reset, 2. the power was cut, 3. the board's task was
                # cancelled: the process is still there. 4. It ended by itself: kill does nothing.
                vm.kill()
                await vm.wait()
                self._vm = None
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await console.show_rest()
            for task in tasks:
                if task is not exited and not task.cancelled() and task.exception():
                    raise task.exception() or AssertionError
            if not serving.cancelled():
                reason = serving.result()
                assert isinstance(reason, ResetReason)
                return reason
            # Ctrl-C in the moment where the VM has no handler: the chip would not even notice.
            _log.info("MicroPython %d ended, started again", vm.pid)
            await console.line.write(b"MPY: soft reboot\r\n")
