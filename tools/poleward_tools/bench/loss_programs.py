"""The real programs of the loss experiment: started, killed, started again.

Not what is done to them and when: loss_profiles.py.
"""

import asyncio
import contextlib
import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from poleward_tools import demo

_BINDER = Path(demo.__file__).parent / "bound_process.py"
_READY_S = 60.0
_STOP_S = 20.0
_POLL_S = 0.05
_UNLIMITED = resource.RLIM_INFINITY


class LossProgramError(Exception):
    """A program did not start; the message has its last words."""


class Program:
    """One program that says in a file that it is ready; it ends when this process ends.

    Args:
        name: For messages and its log.
        run_file: Where it says that it is ready; its own process id is in it.
        log: Collects standard error of all its starts.
    """

    def __init__(self, name: str, run_file: Path, log: Path) -> None:
        self.name = name
        self._run_file = run_file
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Start it as `python -m …`; return what its run file says when it is ready.

        Raises:
            LossProgramError: It ended, or is not ready in time.
        """
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(_BINDER), str(os.getpid()),
                sys.executable, "-m", *arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READY_S):
                while self._process.returncode is None:
                    with contextlib.suppress(OSError, ValueError):
                        said = json.loads(self._run_file.read_text(encoding="utf-8"))
                        # After a kill the file of the start before is still there.
                        if said["pid"] == self._process.pid:
                            return dict(said)
                    await asyncio.sleep(_POLL_S)
        words = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        raise LossProgramError(f"{self.name} did not start: {' | '.join(words)}")

    async def kill(self) -> None:
        """End it at once, as a crash does (SIGKILL)."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """Stop it in an orderly way."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_S)
        except TimeoutError:
            await self.kill()

    def limit_files(self, limit_bytes: int | None) -> None:
        """Let none of its files grow beyond a size, as when the disk is full; None for any size."""
        assert self._process is not None
        soft = _UNLIMITED if limit_bytes is None else limit_bytes
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (soft, _UNLIMITED))

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)


class FleetProgram(Program):
    """The fleet manager on a database that is not its own child."""

    def __init__(self, data_dir: Path, database_url: str) -> None:
        super().__init__("the fleet", data_dir / "run" / "fleet.json", data_dir / "bench.log")
        self._arguments = [
            "poleward_fleet", "--data", str(data_dir), "--database-url", database_url,
            "--web-port", "0", "--api-port", "0", "--link-port", "0",
        ]  # fmt: skip

    async def launch(self) -> str:
        """Start it; return the address of its link port."""
        return str((await self.start(self._arguments))["link"])


class GatewayProgram(Program):
    """A gateway; it keeps its port from start to start unless told otherwise.

    Args:
        data_dir: Its folder; it is enrolled.
        module: `poleward_gateway`, or one that runs it in other surroundings.
    """

    def __init__(self, data_dir: Path, module: str = "poleward_gateway") -> None:
        super().__init__(data_dir.name, data_dir / "run" / "gateway.json", data_dir / "bench.log")
        self._data_dir = data_dir
        self._module = module
        self.port = 0

    async def launch(self) -> None:
        """Start it."""
        said = await self.start(
            [self._module, "--data-dir", str(self._data_dir), "serve", "--coap-port",
             str(self.port)]
        )  # fmt: skip
        self.port = int(said["coap"].rpartition(":")[2])

    def spool_bytes(self) -> int:
        """Return the size of its database with the log."""
        return sum(file.stat().st_size for file in self._data_dir.glob("gateway.db*"))

    def fill_disk(self) -> None:
        """Leave its database a little room to grow, and then none."""
        largest = max(file.stat().st_size for file in self._data_dir.glob("gateway.db*"))
        self.limit_files(largest + 64 * 1024)
