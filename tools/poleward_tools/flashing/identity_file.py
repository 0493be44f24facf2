"""Keeps one node's identity in a file that only its owner may read.

It makes no identity; `flash_image.node_nvs` does.
"""

import json
import os
from pathlib import Path

from poleward_tools.flash_image.node_nvs import NodeIdentity
from poleward_tools.flashing.errors import StationError


def save_identity(path: Path, identity: NodeIdentity) -> None:
    """Write an identity so that after a power cut there is all of it or nothing.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps(
        {
            "mac": identity.mac.hex(),
            "bootstrap_secret": identity.bootstrap_secret.hex(),
            "bootstrap_salt": identity.bootstrap_salt.hex(),
            "claim_code": identity.claim_code,
            "profile": identity.profile,
        }
    )
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_identity(path: Path) -> NodeIdentity:
    """Read an identity.

    Raises:
        StationError: the file is not one.
        OSError: it cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        identity = NodeIdentity(
            mac=bytes.fromhex(found["mac"]),
            bootstrap_secret=bytes.fromhex(found["bootstrap_secret"]),
            bootstrap_salt=bytes.fromhex(found["bootstrap_salt"]),
            claim_code=str(found["claim_code"]),
            profile=str(found["profile"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StationError(f"{path} is no identity of a node") from error
    sizes = len(identity.mac), len(identity.bootstrap_secret), len(identity.bootstrap_salt)
    if sizes != (6, 16, 8):
        raise StationError(f"{path} is no identity of a node: lengths {sizes}, not (6, 16, 8)")
    return identity
