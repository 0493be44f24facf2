"""A virtual board: flash, serial line and what the chip does with them from reset to reset.

Not how a process is started; the command line and the test rigs hold a board and its files.
"""

import asyncio
import contextlib
import logging
from enum import Enum
from typing import Protocol

from poleward_tools.virtual_board.boot_rom import (
    BootFailure,
    ResetReason,
    StartedApplication,
    boot,
    download_banner,
)
from poleward_tools.virtual_board.chips import Chip
from poleward_tools.virtual_board.flash_chip import NorFlash
from poleward_tools.virtual_board.line import Line
from poleward_tools.virtual_board.rom import (
    ChangeBaud,
    LeaveDownload,
    RomLoader,
    Send,
    is_sync,
)
from poleward_tools.virtual_board.slip import SlipReader

_log = logging.getLogger(__name__)
# How long the ROM keeps trying before its watchdog resets it, when nothing can be started.
_NO_IMAGE_RESET_S = 1.0
_MAX_SYNC_FRAME_BYTES = 64


class Mode(Enum):
    """What the board is doing."""

    OFF = "off"
    DOWNLOAD = "download"
    STARTING = "starting"
    RUNNING = "running"


class Application(Protocol):
    """What runs after the bootloader, connected to the board's line.

    Not guaranteed: that it ever ends by itself, or that cancelling it is harmless to the flash;
    a reset in the middle of a write is what real boards have to live with too.
    """

    async def run(self, started: StartedApplication, line: Line) -> ResetReason:
        """Run until the chip resets, and say why it did."""

    def receive(self, data: bytes) -> None:
        """Take bytes that came in on the console."""


class Board:
    """One board with its power on; `run` is its whole life and never ends by itself.

    1. A reset starts the application, or download mode when the boot button is held.
    2. A SYNC request on the console enters download mode: it stands for the reset lines by which
       a tool does that on a real board and which a pseudo-terminal does not have.
    3. A power cut in a flash operation is a `power_off` in that moment, whatever is asked of the
       board while its application still ends.

    Attributes:
        starts: how often it came out of reset.
        reason: of the last of them.
    """

    def __init__(
        self,
        chip: Chip,
        flash: NorFlash,
        mac: bytes,
        line: Line,
        application: Application | None = None,
        *,
        reset_takes_s: float = 0.0,
    ) -> None:
        self._mode = Mode.STARTING
        self._mode_changed = asyncio.Event()
        self.is_boot_button_held = False
        self.chip = chip
        self._flash = flash
        flash.on_power_cut = self._lose_power
        self._mac = mac
        self.line = line
        self._application = application
        self._reset_takes_s = reset_takes_s
        self.starts = 0
        self.reason = ResetReason.POWER_ON
        self._stop = asyncio.Event()
        self._restart_reason = ResetReason.POWER_ON
        self._power = asyncio.Event()
        self._power.set()

    @property
    def mode(self) -> Mode:
        """What the board is doing now; without power nothing, whatever still comes to its end."""
        return self._mode if self._power.is_set() else Mode.OFF

    async def wait_until(self, mode: Mode) -> None:
        """Wait until the board is in a mode; the caller sets the deadline."""
        while self.mode is not mode:
            self._mode_changed.clear()
            await self._mode_changed.wait()

    def _enter(self, mode: Mode) -> None:
        self._mode = mode
        self._mode_changed.set()

    def power_off(self) -> None:
        """Take the board's power away, or hold its reset button; RAM and the line's input go."""
        self._power.clear()
        self._mode_changed.set()
        self._restart_reason = ResetReason.POWER_ON
        self._stop.set()

    def power_on(self) -> None:
        """Give the board its power back, or let its reset button go."""
        if not self._power.is_set():
            self._power.set()
            self._enter(Mode.STARTING)

    def restart(self, reason: ResetReason) -> None:
        """Reset a board from outside, for this reason; nothing happens to one without power."""
        if self._power.is_set():
            self._restart_reason = reason
            self._stop.set()

    async def run(self) -> None:
        """Live from power-on until cancelled."""
        reason = ResetReason.POWER_ON
        while True:
            await self._power.wait()
            self._stop.clear()
            self._restart_reason = ResetReason.POWER_ON
            self.starts += 1
            self.reason = reason
            living = asyncio.create_task(self._live(reason))
            stopping = asyncio.create_task(self._stop.wait())
            reason = ResetReason.POWER_ON
            try:
                await asyncio.wait((living, stopping), return_when=asyncio.FIRST_COMPLETED)
                reason = self._restart_reason if self._stop.is_set() else living.result()
            finally:
                for task in (living, stopping):
                    task.cancel()
                await asyncio.gather(living, stopping, return_exceptions=True)
            await asyncio.sleep(self._reset_takes_s)

    def _lose_power(self) -> None:
        _log.warning("power cut in flash operation %d", self._flash.counts.operations)
        self.power_off()

    async def _live(self, reason: ResetReason) -> ResetReason:
        """Live from one reset to the next."""
        if self.is_boot_button_held:
            await self.line.write(download_banner(self.chip, reason))
            return await self._download(None)
        return await self._start(reason)

    async def _download(self, first: bytes | None) -> ResetReason:
        """Serve download mode; `first` is a request that came before it was entered."""
        self._enter(Mode.DOWNLOAD)
        loader = RomLoader(self.chip, self._flash, self._mac)
        while True:
            data = first if first is not None else await self.line.read()
            first = None
            for action in loader.receive(data, self.line.baud):
                match action:
                    case Send(reply):
                        await self.line.write(reply)
                    case ChangeBaud(baud):
                        _log.info("line runs at %d baud", baud)
                    case LeaveDownload(is_reset):
                        self.is_boot_button_held = False
                        return ResetReason.SOFTWARE if is_reset else ResetReason.POWER_ON

    async def _start(self, reason: ResetReason) -> ResetReason:
        self._enter(Mode.STARTING)
        outcome = boot(self.chip, self._flash, reason)
        await self.line.write(outcome.console)
        if isinstance(outcome, BootFailure):
            running: asyncio.Task[ResetReason] = asyncio.create_task(_reset_later())
        elif self._application is None:
            running = asyncio.create_task(_stand_still())
        else:
            running = asyncio.create_task(self._application.run(outcome, self.line))
        self._enter(Mode.RUNNING)
        watching = asyncio.create_task(self._watch_console())
        try:
            await asyncio.wait((running, watching), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return await running
            sync = await watching
        finally:
            for task in (running, watching):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        return await self._download(sync)

    async def _watch_console(self) -> bytes:
        """Hand the console's bytes to the application until a tool asks for download mode."""
        reader = SlipReader(_MAX_SYNC_FRAME_BYTES)
        while True:
            data = await self.line.read()
            if any(is_sync(frame) for frame in reader.feed(data)):
                return data
            if self._application:
                self._application.receive(data)


async def _reset_later() -> ResetReason:
    await asyncio.sleep(_NO_IMAGE_RESET_S)
    return ResetReason.WATCHDOG


async def _stand_still() -> ResetReason:
    await asyncio.Event().wait()
    return ResetReason.POWER_ON
