"""Work on nodes that takes a while, done by a few workers, one piece per node and kind at a time.

Not what the work is.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

import structlog

_log = structlog.get_logger(__name__)

Job = Callable[[], Awaitable[object]]


class JobPool:
    """A queue of jobs and the workers that do them.

    Bounded by its keys: a job whose key waits or runs already is dropped, because the one that is
    there does the same. So there are never more jobs than nodes times kinds of job.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._waiting: deque[tuple[Hashable, Job]] = deque()
        self._keys: set[Hashable] = set()
        self._wake = asyncio.Semaphore(0)

    def add(self, key: Hashable, job: Job) -> bool:
        """Queue a job; False when one with its key is there."""
        if key in self._keys:
            return False
        self._keys.add(key)
        self._waiting.append((key, job))
        self._wake.release()
        return True

    @property
    def is_busy(self) -> bool:
        """Whether a job waits or runs."""
        return bool(self._keys)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        """Be one worker."""
        while True:
            await self._wake.acquire()
            key, job = self._waiting.popleft()
            try:
                await job()
            except Exception:  # noqa: BLE001 - one job's failure must not end the worker
                _log.exception("job_failed", job=str(key))
            finally:
                self._keys.discard(key)
