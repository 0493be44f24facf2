"""Makes patches in a process of its own, one at a time.

Not the choice of what is made (services/patches.py), nor the format (poleward_manifest.patch).
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor

from poleward_fleet.domain.errors import UnavailableError
from poleward_manifest import bundle, patch
from poleward_manifest.errors import EnvelopeError, MalformedError


class PatchWorker:
    """PatchMaker in a process that starts with the first patch."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def make(self, source: bytes, target: bytes) -> bytes | None:
        """Make a patch and try it; None when the whole component is smaller."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn"), initializer=_follow_fleet
            )
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, make_and_try, source, target
            )
        except BrokenExecutor as error:
            self._pool = None
            raise UnavailableError(f"the process that makes patches ended: {error}") from error
        except (EnvelopeError, MemoryError) as error:
            raise UnavailableError(f"the patch cannot be made: {error!r}") from error

    def close(self) -> None:
        """End the process; a patch under way is lost and made again when it is asked for."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def make_and_try(source: bytes, target: bytes) -> bytes | None:
    """Make a patch, build the target from it, and compare its size with that of the whole.

    Raises:
        MalformedError: what came out is not the target.
    """
    made = patch.make(source, target)
    if patch.apply(source, made) != target:
        raise MalformedError("the patch does not build its target")
    return made if len(made) < len(bundle.deflate(target)) else None


def _follow_fleet() -> None:
    """Let the fleet decide when the worker ends: not Ctrl-C in their terminal, but its own end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_fleet, daemon=True).start()


def _end_with_fleet() -> None:
    """End with a fleet that was killed; the pool's queue would be waited on for ever."""
    fleet = multiprocessing.parent_process()
    assert fleet is not None
    fleet.join()
    os._exit(1)
