"""Starts, watches and stops one program of the city as a process of its own.

It knows nothing of what the program does beyond its run file and its exit code.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poleward_tools.exit_codes import CommandError

_POLL_S = 0.05
_STOP_S = 20.0
_KILL_S = 5.0
_LOG_TAIL_LINES = 8
_BOUND_PROCESS = Path(__file__).with_name("bound_process.py")


class ProgramError(CommandError):
    """A program did not start or ended by itself; the message holds the end of its log."""


class Program:
    """One `poleward …` process with a log file; it ends when this process ends, however.

    Args:
        name: for people.
        arguments: of the `poleward` command.
        log: file that gets its output, appended.
        run_file: JSON that the program writes when it is ready, with its pid; None for none.
        environment: added to this process's own; for secrets, which no command line should show.
        script: run in place of the `poleward` command, with its arguments; None for none.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        *,
        log: Path,
        run_file: Path | None = None,
        environment: Mapping[str, str] | None = None,
        script: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._arguments = arguments
        self._command = [str(script)] if script else ["-m", "poleward_tools"]
        self._run_file = run_file
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process and return at once; call from the main thread."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-I", "-S", str(_BOUND_PROCESS), str(os.getpid()),
                    sys.executable, *self._command, *self._arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for the one who started all; it stops them in order.
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environment},
            )  # fmt: skip

    def wait_ready(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the run file of this very process and return its content.

        Raises:
            ProgramError: the program ended or the time is over; show it.
        """
        assert self._run_file is not None
        give_up_at = time.monotonic() + timeout_s
        while time.monotonic() < give_up_at:
            self.check()
            try:
                content = json.loads(self._run_file.read_text(encoding="utf-8"))
                if content.get("pid") == self.pid:
                    return dict(content)
            except (OSError, ValueError):
                pass  # not there yet, or half written
            time.sleep(_POLL_S)
        raise ProgramError(f"The {self.name} was not ready in {timeout_s:.0f} s.{self._log_tail()}")

    def check(self) -> None:
        """Make sure it still runs.

        Raises:
            ProgramError: it ended by itself; show it.
        """
        code = self.exit_code()
        if code is not None:
            raise ProgramError(
                f"The {self.name} ended with exit code {code}.{self._log_tail()}", code or 1
            )

    def exit_code(self) -> int | None:
        """Exit code once it ended; negative for a signal."""
        return self._process.poll() if self._process else None

    def wait(self, timeout_s: float) -> int:
        """Wait until it ended by itself and return its exit code.

        Raises:
            ProgramError: it still runs after timeout_s.
        """
        assert self._process is not None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ProgramError(
                f"The {self.name} did not end in {timeout_s:.0f} s.{self._log_tail()}"
            ) from error

    def stop(self) -> None:
        """End it orderly; by force when it does not within 20 s. Safe to call again."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_KILL_S)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL); start() may follow."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_KILL_S)
            self._process = None

    def _log_tail(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        if not lines:
            return f" Its log {self.log} is empty."
        return "\n".join([f" The end of {self.log}:", *lines[-_LOG_TAIL_LINES:]])
