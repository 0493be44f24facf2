"""A station's folder: record, identities, labels, key and permit, for one process at a time.

It talks to no board.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from poleward_tools.flash_image.node_nvs import NodeIdentity, new_identity
from poleward_tools.flashing.errors import StationBusyError
from poleward_tools.flashing.identity_file import load_identity, save_identity
from poleward_tools.flashing.record import StationRecord
from poleward_tools.releases import keys

_KEY = "station.pem"
PERMIT = "permit.json"


class Station:
    """An open station folder.

    Args:
        folder: made when missing, readable by its owner only.
        record: what happened here.
    """

    def __init__(self, folder: Path, record: StationRecord) -> None:
        self.folder = folder
        self.record = record
        self._guard = threading.Lock()
        self._at_work: set[bytes] = set()

    @classmethod
    @contextmanager
    def open(cls, folder: Path, wall_clock: Callable[[], float] = time.time) -> Iterator[Self]:
        """Open a station for this process.

        Raises:
            StationBusyError: another process has it.
            RecordError: the record is damaged.
            OSError: the folder cannot be used.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("identities", "labels"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        with (folder / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise StationBusyError(
                    f"{folder} is in use by process {lock.read().strip() or 'unknown'}; "
                    "a batch belongs to one station at a time"
                ) from error
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            record = StationRecord(folder / "record.jsonl", wall_clock)
            try:
                yield cls(folder, record)
            finally:
                record.close()

    @property
    def labels(self) -> Path:
        """Where labels are written."""
        return self.folder / "labels"

    def key(self) -> Ed25519PrivateKey:
        """Load the key that signs batches, made at the first use.

        Raises:
            ReleaseKeyError: the file is not a key.
        """
        path = self.folder / _KEY
        return keys.load_key(path) if path.exists() else keys.create_key(path)

    @contextmanager
    def claim(self, mac: bytes) -> Iterator[bool]:
        """Keep an address for one slot; False when another slot has it at this moment."""
        with self._guard:
            is_free = mac not in self._at_work
            if is_free:
                self._at_work.add(mac)
        try:
            yield is_free
        finally:
            if is_free:
                with self._guard:
                    self._at_work.discard(mac)

    def identity(self, mac: bytes) -> NodeIdentity | None:
        """Return the identity made here for an address, None when there is none."""
        path = self._identity_path(mac)
        return load_identity(path) if path.exists() else None

    def keep_identity(self, mac: bytes, profile: str) -> NodeIdentity:
        """Return the identity of an address, made and on the disk when there was none.

        An interrupted board so gets the same one again: there are never two for one address, and
        none counts before the record says that its board passed.
        """
        known = self.identity(mac)
        if known is not None and known.profile == profile:
            return known
        identity = replace(known or new_identity(mac), profile=profile)
        save_identity(self._identity_path(mac), identity)
        return identity

    def _identity_path(self, mac: bytes) -> Path:
        return self.folder / "identities" / f"{mac.hex()}.json"
