"""Remembers which batches a fleet was given, so that none comes twice and no permit is exceeded.

A file beside the key that opens batches. What a node is to the fleet, the fleet knows itself.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ImportedBatch:
    """One line.

    Attributes:
        batch: SHA-256 of the batch, hexadecimal.
        station_key: that signed it.
        macs: of the nodes in it.
        at: when, ISO 8601.
    """

    batch: str
    station_key: bytes
    macs: tuple[bytes, ...]
    at: str


class ImportLedger:
    """The ledger in a file, made at the first import."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, batch: str) -> ImportedBatch | None:
        """Return the line of a batch, None when it was not imported."""
        return next((entry for entry in self._read() if entry.batch == batch), None)

    def nodes_of(self, station_key: bytes) -> set[bytes]:
        """Return the addresses of a station's nodes that are imported."""
        return {
            mac for entry in self._read() if entry.station_key == station_key for mac in entry.macs
        }

    def append(self, entry: ImportedBatch) -> None:
        """Add a line; it is on the disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        line = {
            "batch": entry.batch, "station_key": entry.station_key.hex(),
            "macs": [mac.hex() for mac in entry.macs], "at": entry.at,
        }  # fmt: skip
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> list[ImportedBatch]:
        if not self._path.exists():
            return []
        found = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                fields = json.loads(line)
                key = bytes.fromhex(fields["station_key"])
                macs = tuple(bytes.fromhex(mac) for mac in fields["macs"])
                found.append(ImportedBatch(fields["batch"], key, macs, fields["at"]))
            except (ValueError, KeyError, TypeError):
                # A power cut tore the line: the fleet takes its import again without a change.
                continue
        return found
