"""The real MicroPython process of one simulated node, held by the hand.

Not the board host of poleward_tools, which runs many and decides for itself when they boot.
"""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

from poleward_tools.virtual_board.shims import start_path

RESET_CODE = 3
MICROPYTHON = Path(sys.executable).parent / "micropython"


class SimulatedNode:
    """One node; `start` and `kill` are its power switch.

    Args:
        folder: As `poleward_tools.virtual_board.node_folder` makes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.resets = 0
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def nvs(self) -> dict[str, dict[str, int | str]]:
        stored: dict[str, dict[str, int | str]] = json.loads((self.folder / "nvs.json").read_text())
        return stored

    @property
    def console(self) -> str:
        return "\n".join(self.lines)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, cause: str = "power_on", heap: str = "256k") -> None:
        process = subprocess.Popen(
            [MICROPYTHON, "-X", f"heapsize={heap}", start_path(), self.folder, cause],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        self._process = process
        self._reader = threading.Thread(target=self._follow, args=(process, heap), daemon=True)
        self._reader.start()

    def kill(self) -> None:
        """Cut the power."""
        process, self._process = self._process, None
        if process is not None and self._reader is not None:
            process.send_signal(signal.SIGKILL)
            self._reader.join(10)

    def _follow(self, process: "subprocess.Popen[str]", heap: str) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.lines.append(line.rstrip())
        if process.wait() == RESET_CODE and self._process is process:
            self.resets += 1
            self.start("reset", heap)
