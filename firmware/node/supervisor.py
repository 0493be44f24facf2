"""One supervisor owns every task of the node: starts, restarts with back-off, feeds the watchdog.

Not a scheduler: asyncio runs the tasks; this only decides which of them exist.
"""

import asyncio
import sys

from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Coroutine

    Start = Callable[[], Coroutine[Any, Any, None]]

_BACK_OFF_MIN_MS = const(500)
_BACK_OFF_MAX_MS = const(60000)
# A task that ran this long before it failed starts with the shortest back-off again.
_STEADY_MS = const(120000)
_CHECK_MS = const(1000)


class Task:
    """One supervised coroutine function.

    Args:
        name: For the console.
        start: Called without arguments for each (re)start; returns a coroutine.
        stall_ms: The task must call `beat()` at least this often; 0 when it need not.
    """

    def __init__(self, name: str, start: "Start", stall_ms: int) -> None:
        self.name = name
        self.start = start
        self.stall_ms = stall_ms
        self.restarts = 0
        self.beat_at = 0
        self.is_running = False


class Supervisor:
    """Owns the tasks and the watchdog.

    - A task that raises is restarted after a back-off that doubles from 0.5 s to 60 s.
    - A task that returns is done and is not restarted.
    - The watchdog is fed only while no task has stalled and none waits in the longest back-off,
      so a node that cannot recover by itself resets.

    Args:
        ticks_ms: Wrapping milliseconds.
        ticks_diff: Difference of two of them.
        feed_watchdog: Called about once a second while all is well.
        sleep_ms: asyncio's, unless a test passes its own.
    """

    def __init__(
        self,
        ticks_ms: "Callable[[], int]",
        ticks_diff: "Callable[[int, int], int]",
        feed_watchdog: "Callable[[], None]",
        sleep_ms: "Callable[[int], Coroutine[Any, Any, None]] | None" = None,
    ) -> None:
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._feed = feed_watchdog
        self._sleep_ms = sleep_ms or asyncio.sleep_ms
        self._tasks: list[Task] = []
        self._handles: list[asyncio.Task[None]] = []

    def add(self, name: str, start: "Start", stall_ms: int = 0) -> Task:
        """Register a task; it starts with `run()`, or at once when that runs already."""
        task = Task(name, start, stall_ms)
        self._tasks.append(task)
        if self._handles:
            self._handles.append(asyncio.create_task(self._keep(task)))
        return task

    def beat(self, task: Task) -> None:
        """Note that the task makes progress."""
        task.beat_at = self._ticks_ms()

    async def run(self) -> None:
        """Run all tasks until cancelled; then cancel and await them."""
        try:
            for task in self._tasks:
                self._handles.append(asyncio.create_task(self._keep(task)))
            while True:
                if self.all_well():
                    self._feed()
                await self._sleep_ms(_CHECK_MS)
        finally:
            for handle in self._handles:
                handle.cancel()
            for handle in self._handles:
                try:
                    await handle
                except asyncio.CancelledError:
                    pass
            self._handles = []

    def all_well(self) -> bool:
        """Tell whether every task makes progress or is about to be restarted."""
        now = self._ticks_ms()
        for task in self._tasks:
            if task.is_running:
                if task.stall_ms and self._ticks_diff(now, task.beat_at) > task.stall_ms:
                    return False
            elif task.restarts and _back_off_ms(task.restarts) >= _BACK_OFF_MAX_MS:
                return False
        return True

    async def _keep(self, task: Task) -> None:
        while True:
            started = self._ticks_ms()
            task.beat_at = started
            task.is_running = True
            try:
                await task.start()
                task.restarts = 0
                return
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if self._ticks_diff(self._ticks_ms(), started) >= _STEADY_MS:
                    task.restarts = 0
                task.restarts += 1
                print("task", task.name, "failed, restart", task.restarts)
                sys.print_exception(error)
            finally:
                task.is_running = False
            await self._sleep_ms(_back_off_ms(task.restarts))


def _back_off_ms(restarts: int) -> int:
    """Give the pause before the restart with this number, counted from 1."""
    return min(_BACK_OFF_MIN_MS << min(restarts - 1, 10), _BACK_OFF_MAX_MS)
