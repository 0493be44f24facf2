"""What is written down about the gateway's own releases, in one file that is replaced as a whole.

Not what it means: domain/software.py.
"""

import json
import os
from pathlib import Path

from poleward_gateway.domain.errors import StorageError
from poleward_gateway.domain.software import SoftwareRecord
from poleward_gateway.domain.updates import NodeUpdate, UpdateState

_FILE = "record.json"


def load(folder: Path) -> SoftwareRecord:
    """Read the record; what cannot be read counts as none, so that a gateway always starts."""
    try:
        found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        ended, trial = found["ended"], found["trial"]
        return SoftwareRecord(
            confirmed=bytes.fromhex(found["confirmed"]),
            previous=bytes.fromhex(found["previous"]),
            trial=None if trial is None else bytes.fromhex(trial),
            is_begun=bool(found["is_begun"]),
            trial_s=int(found["trial_s"]),
            ended=None
            if ended is None
            else NodeUpdate(
                bytes.fromhex(ended["release"]), UpdateState(ended["state"]), ended["reason"]
            ),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return SoftwareRecord()


def save(folder: Path, record: SoftwareRecord) -> None:
    """Replace the record; a crash leaves the old one or the new one.

    Raises:
        StorageError: It is not on disk; nothing may be done that relies on it.
    """
    ended = record.ended
    content = {
        "confirmed": record.confirmed.hex(),
        "previous": record.previous.hex(),
        "trial": None if record.trial is None else record.trial.hex(),
        "is_begun": record.is_begun,
        "trial_s": record.trial_s,
        "ended": None
        if ended is None
        else {
            "release": ended.release_digest.hex(),
            "state": ended.state.value,
            "reason": ended.reason,
        },
    }
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(folder / _FILE, json.dumps(content, indent=1).encode() + b"\n")
    except OSError as error:
        raise StorageError(f"cannot write {folder / _FILE}: {error}; check the disk") from error


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that a power cut leaves all of it or what was there before."""
    unfinished = path.with_name(path.name + ".new")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
