"""`python -m poleward_gateway.launcher`: starts the gateway, tries its releases, goes back.

Not part of what is updated: it runs from the installation that was made by hand, like a node's
boot.py. Everything after its own options is passed to the gateway as it is.
"""

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from poleward_gateway.adapters.software.shelf import INSTALLATION_VARIABLE, SoftwareShelf
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.errors import ConfigurationError, StorageError
from poleward_gateway.domain.software import INSTALLED, START_OTHER_EXIT, begin, give_back

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STOP_S = 20.0


class Launcher:
    """Runs one gateway process after the other until one ends for good.

    Args:
        shelf: Releases of the gateway.
        arguments: Of the gateway's command line.
    """

    def __init__(self, shelf: SoftwareShelf, arguments: Sequence[str]) -> None:
        self._shelf = shelf
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopping = False

    def run(self) -> int:
        """Start what has to run, again and again.

        Returns:
            Exit code of the gateway that ended for good.

        Raises:
            StorageError: The record cannot be written; nothing was started.
        """
        while True:
            before = self._shelf.record()
            record, release = begin(before, self._shelf.is_whole)
            if record != before:
                self._shelf.write(record)
            code, why = self._run_once(release, record.trial_s if record.trial else None)
            after = self._shelf.record()
            if not self._is_stopping and after.trial is not None and after.is_begun:
                self._shelf.write(give_back(after, why))
            elif self._is_stopping or code != START_OTHER_EXIT:
                # What a signal ended is told as a shell does.
                return code if code >= 0 else 128 - code

    def stop(self, number: int, _frame: object) -> None:
        """Pass a signal on and end with the gateway."""
        self._is_stopping = True
        if self._process is not None:
            self._process.send_signal(number)

    def _run_once(self, release: bytes, trial_s: int | None) -> tuple[int, str]:
        """Run one release; return its exit code and why a trial of it would be over."""
        python = sys.executable if release == INSTALLED else str(self._shelf.python(release))
        environment = {**os.environ, INSTALLATION_VARIABLE: sysconfig.get_path("purelib")}
        self._process = subprocess.Popen(
            [python, "-m", "poleward_gateway", *self._arguments],
            env=environment,
            preexec_fn=_end_with_parent,
        )
        if self._is_stopping:
            self._process.terminate()  # the signal came before there was a process to pass it to
        try:
            code = self._process.wait(trial_s)
        except subprocess.TimeoutExpired:
            if self._shelf.record().trial is None:
                code = self._process.wait()  # it was confirmed
            else:
                return self._end(), f"it did not prove itself within {trial_s} s"
        return code, f"it ended with exit code {code} before it was confirmed"

    def _end(self) -> int:
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _end_with_parent() -> None:
    """Have the kernel end the gateway when its launcher is killed: two would share a folder."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m poleward_gateway.launcher", description=__doc__, add_help=False
    )
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--config", type=Path)
    arguments = sys.argv[1:]
    known, _ = parser.parse_known_args(arguments)
    try:
        if known.config is not None:
            given = {"data_dir": known.data_dir}
            folder = GatewayConfig.from_file(known.config, given).software_dir
        elif known.data_dir is not None:
            folder = GatewayConfig(known.data_dir.resolve()).software_dir
        else:
            raise ConfigurationError("name the gateway's folder with --data-dir or --config")
        launcher = Launcher(SoftwareShelf(folder), arguments)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, launcher.stop)
        return launcher.run()
    except (ConfigurationError, StorageError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, ConfigurationError) else 1


if __name__ == "__main__":
    sys.exit(main())
