"""The station's record: one JSON object a line, only ever appended, on the disk when it returns.

Not the identities, which are secret; the record may be shown to anybody.
"""

import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from poleward_tools.flashing.errors import RecordError

PASSED = "passed"
EXPORTED = "exported"


class StationRecord:
    """What happened at a station.

    Rules:
    1. A line that a power cut tore at the end is dropped when the record is opened, and that is
       recorded. It was never acknowledged, so nothing relied on it.
    2. A damaged line anywhere else is an error: nothing that we do makes one.
    3. Threads may append at the same time.
    """

    def __init__(self, path: Path, wall_clock: Callable[[], float]) -> None:
        self._path = path
        self._wall_clock = wall_clock
        self._guard = threading.Lock()
        self._passed: dict[str, dict[str, Any]] = {}
        self._exported: set[str] = set()
        content = path.read_bytes() if path.exists() else b""
        whole, _, torn = content.rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), 1):
            self._remember(_parsed(path, number, line))
        self._file = path.open("ab")
        if torn:
            self._file.truncate(len(content) - len(torn))
            self.append("torn", dropped_bytes=len(torn))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def append(self, event: str, **facts: Any) -> None:
        """Add a line and wait until the disk has it.

        Raises:
            OSError: it has not; whatever the line was about must not go on.
        """
        at = datetime.fromtimestamp(self._wall_clock(), UTC).isoformat(timespec="milliseconds")
        entry = {"at": at, "event": event, **facts}
        with self._guard:
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._remember(entry)

    def passed(self, mac: str) -> dict[str, Any] | None:
        """Return the line with which a board last passed, None when it never did."""
        with self._guard:
            return self._passed.get(mac)

    def all_passed(self) -> dict[str, dict[str, Any]]:
        """Return the last passing line of every board by its address, oldest first."""
        with self._guard:
            return dict(self._passed)

    def exported(self) -> set[str]:
        """Return the addresses of all boards that are in a batch."""
        with self._guard:
            return set(self._exported)

    def _remember(self, entry: dict[str, Any]) -> None:
        if entry.get("event") == PASSED:
            self._passed[str(entry.get("mac"))] = entry
        elif entry.get("event") == EXPORTED:
            self._exported.update(entry.get("macs", ()))


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        raise RecordError(f"{path}:{number} is damaged; restore the record from its copy")
    return entry
